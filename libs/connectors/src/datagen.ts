/**
 * Generated payments. A record is a pure function of (options, split, offset): made again after a restart it is the
 * same, so a test can recount the output of a job without having seen its input.
 */
import { WeirError, type Clock } from '@weir/model'
import type { ConnectorDescriptor, SourcePoll, SourceReader, SourceState, SubtaskContext } from '@weir/dataflow'

/** The descriptor of `datagen.payments` (libs/sdk). */
export interface PaymentsOptions {
  readonly splits: number
  /** Null: without end. */
  readonly recordsPerSplit: number | null
  readonly users: number
  /** 0 … 100. */
  readonly paidPercent: number
  /** Event time of offset 0, ms since 1970. */
  readonly startTs: number
  /** Event time between two records of a split, ms. */
  readonly stepMs: number
  /** Unsigned 32 bits. */
  readonly seed: number
}

/** Money in minor units (1 … 100,000); `ts` is event time, ms since 1970. */
export interface Payment {
  readonly id: string
  readonly user: string
  readonly amountMinor: number
  readonly status: 'PAID' | 'FAILED'
  readonly ts: number
}

const AMOUNT_MINOR_MAX = 100_000
/** How long a reader without splits waits before it says `idle`, ms. */
const IDLE_MS = 100

/** The record of a split at an offset (from 0). */
export function payment(options: PaymentsOptions, split: number, offset: number): Payment {
  const { seed, users, paidPercent, startTs, stepMs } = options
  const base = mix(mix(mix(seed, split), Math.floor(offset / 0x1_0000_0000)), offset >>> 0)
  return {
    id: `p-${split}-${offset}`,
    user: `u-${mix(base, 1) % users}`,
    amountMinor: 1 + (mix(base, 2) % AMOUNT_MINOR_MAX),
    status: mix(base, 3) % 100 < paidPercent ? 'PAID' : 'FAILED',
    ts: startTs + offset * stepMs,
  }
}

/** murmur3's finalizer over both words: unsigned 32 bits. */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0xcc9e2d51) ^ Math.imul(b + 0x7f4a7c15, 0x1b873593)
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Throws `DESCRIPTOR_INVALID` (invalid) naming the option. */
export function paymentsOptions(descriptor: ConnectorDescriptor): PaymentsOptions {
  if (descriptor.connector !== 'datagen' || descriptor['generator'] !== 'payments') {
    throw invalid('generator', descriptor['generator'], 'must be "payments": this build has no other')
  }
  const whole = (option: string, min: number): number => {
    const value = descriptor[option]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value
    throw invalid(option, value, `must be a whole number, at least ${min}`)
  }
  return {
    splits: whole('splits', 1),
    recordsPerSplit: (descriptor['recordsPerSplit'] ?? null) === null ? null : whole('recordsPerSplit', 0),
    users: whole('users', 1),
    paidPercent: whole('paidPercent', 0),
    startTs: whole('startTs', 0),
    stepMs: whole('stepMs', 0),
    seed: whole('seed', 0),
  }
}

const invalid = (option: string, got: unknown, rule: string): WeirError =>
  new WeirError(
    { code: 'DESCRIPTOR_INVALID', kind: 'invalid', connector: 'datagen', option, got },
    `datagen: ${option} is ${JSON.stringify(got)}; it ${rule}. Make the descriptor with datagen.payments()`,
  )

const impossible = (split: number, position: unknown): WeirError =>
  new WeirError(
    { code: 'POSITION_INVALID', kind: 'invalid', connector: 'datagen', split, position },
    `datagen: ${JSON.stringify(position)} is no position of split ${split}; it must be a whole number, at least 0. The state was not written by this source: start it without, or under another uid`,
  )

interface Split {
  readonly id: number
  next: number
  /** Reported as ended. */
  ended: boolean
}

/** Owns the splits s with s % parallelism = subtask. State: split → offset of its next record. */
export class PaymentsSource implements SourceReader {
  readonly #options: PaymentsOptions
  readonly #context: SubtaskContext
  readonly #clock: Clock
  #splits: Split[] = []
  #turn = 0

  constructor(options: PaymentsOptions, deps: { context: SubtaskContext; clock: Clock }) {
    this.#options = options
    this.#context = deps.context
    this.#clock = deps.clock
  }

  open(restored: SourceState | null): Promise<readonly number[]> {
    const { subtask, parallelism } = this.#context
    this.#splits = []
    for (let id: number = subtask; id < this.#options.splits; id += parallelism) {
      const next = restored?.[id] ?? 0
      if (!Number.isSafeInteger(next) || (next as number) < 0) return Promise.reject(impossible(id, next))
      this.#splits.push({ id, next: next as number, ended: false })
    }
    return Promise.resolve(this.#splits.map((s) => s.id))
  }

  async poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    const end = this.#options.recordsPerSplit ?? Number.MAX_SAFE_INTEGER
    const n = this.#splits.length
    for (let i = 0; i < n; i++) {
      const split = this.#splits[(this.#turn + i) % n]!
      if (split.ended || held?.has(split.id)) continue
      this.#turn = (this.#turn + i + 1) % n
      if (split.next < end) return this.#make(split, Math.min(end, split.next + maxRecords))
      split.ended = true
      return { kind: 'split-end', split: split.id }
    }
    if (this.#splits.every((split) => split.ended) && this.#options.recordsPerSplit !== null) return 'end'
    await this.#clock.sleep(IDLE_MS, this.#context.signal)
    return 'idle'
  }

  #make(split: Split, to: number): SourcePoll {
    const values: Payment[] = []
    const timestamps: number[] = []
    const offsets: number[] = []
    for (; split.next < to; split.next++) {
      const made = payment(this.#options, split.id, split.next)
      values.push(made)
      timestamps.push(made.ts)
      offsets.push(split.next)
    }
    return { kind: 'values', split: split.id, values, timestamps, offsets }
  }

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return Object.fromEntries(this.#splits.map((s) => [s.id, from?.get(s.id) ?? s.next]))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
