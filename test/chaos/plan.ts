/** Which fault comes at which point of the protocol: chosen by a seed, so that a run can be repeated. Pure. */
import { SeededRandom } from '@weir/model/testing'

/** The phases of a checkpoint as an outsider can hold them open; see `points.ts`. */
export const PHASES = ['align', 'snapshot', 'upload', 'publish', 'commit'] as const
export type Phase = (typeof PHASES)[number]

export const FAULTS = [
  'kill-task-manager',
  'kill-job-manager',
  'kill-fleet',
  'freeze-task-manager',
  'freeze-job-manager',
  'part-task-manager',
  'part-job-manager',
  'restart-kafka',
  'restart-etcd',
  'restart-s3',
] as const
export type Fault = (typeof FAULTS)[number]

export interface Round {
  /** From 1. */
  readonly number: number
  readonly phase: Phase
  readonly fault: Fault
  /** Final epochs before the fault. */
  readonly epochs: number
  /** Chooses among equals: points of a phase, task-managers. */
  readonly pick: number
  /** How long who was killed, frozen or parted stays away, ms. */
  readonly awayMs: number
  /** Another task-manager killed while the job recovers; ms after the fault, null: none. */
  readonly againAfterMs: number | null
}

/** Longer than a lease in about half of the cases. */
const AWAY_MS = [100, 6_000] as const
const EPOCHS = [1, 4] as const
const AGAIN_SHARE = 0.25
const AGAIN_MS = [200, 2_500] as const

/** Any five rounds in a row have every phase, any ten every fault; what meets what is the seed's. */
export function planRounds(seed: number, rounds: number): Round[] {
  const random = new SeededRandom(seed)
  for (let i = 0; i < 8; i++) random.next() // small seeds begin alike
  const between = ([from, to]: readonly [number, number]): number => from + Math.floor(random.next() * (to - from + 1))
  const shuffled = <T>(all: readonly T[]): T[] =>
    all
      .map((one) => ({ one, at: random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one)
  const cycle = <T>(all: readonly T[]): (() => T) => {
    const order = shuffled(all)
    let i = 0
    return () => order[i++ % order.length]!
  }
  const phase = cycle(PHASES)
  let fault = cycle(FAULTS)
  return Array.from({ length: rounds }, (_, i) => {
    // Ten faults and five phases would meet in the same pairs for ever.
    if (i > 0 && i % FAULTS.length === 0) fault = cycle(FAULTS)
    return {
      number: i + 1,
      phase: phase(),
      fault: fault(),
      epochs: between(EPOCHS),
      pick: random.next(),
      awayMs: between(AWAY_MS),
      againAfterMs: random.next() < AGAIN_SHARE ? between(AGAIN_MS) : null,
    }
  })
}
