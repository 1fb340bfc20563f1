/** A world for several slices in which a seed decides when everything happens: the same seed, the same run. */
import type { SourcePoll, SourceReader, SourceState } from '@weir/dataflow'
import type { Cancel, Clock, TopicRecord } from '@weir/model'
import { SeededRandom } from '@weir/model/testing'
import { CHANNEL_CREDITS } from '../channel.ts'
import type { ExchangePort, InboundLink, LinkId, OutboundLink } from '../ports.ts'
import type { MemoryRecord } from './memory-log.ts'

/** Events one after the other; what one sets in motion as microtasks comes to its end before the next. */
export class ChanceWorld {
  readonly #random: SeededRandom
  #now = 0
  #drift = 0
  #events: { readonly at: number; readonly serial: number; readonly call: () => void }[] = []
  #serial = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(Math.imul(seed + 1, 0x9e3779b1))
    for (let i = 0; i < 8; i++) this.#random.next()
  }

  is(probability: number): boolean {
    return this.#random.next() < probability
  }

  whole(from: number, to: number): number {
    return from + Math.floor(this.#random.next() * (to - from + 1))
  }

  after(ms: number, call: () => void): Cancel {
    const event = { at: this.#now + ms, serial: this.#serial++, call }
    const i = this.#events.findIndex((e) => e.at > event.at)
    this.#events.splice(i < 0 ? this.#events.length : i, 0, event)
    return () => {
      this.#events = this.#events.filter((e) => e !== event)
    }
  }

  /** Calls come out in order, each after up to `slownessMs`, as long as somebody is there. */
  pipe(slownessMs: number, isAlive: () => boolean): (call: () => void) => void {
    const queue: (() => void)[] = []
    return (call) => {
      queue.push(call)
      this.after(this.whole(0, slownessMs), () => {
        const next = queue.shift()!
        if (isAlive()) next()
      })
    }
  }

  /** Of one attempt: nothing it has asked for happens when it is dead. `monotonic` moves on, as if work took time. */
  clock(isAlive: () => boolean): Clock {
    const after = (ms: number, call: () => void): Cancel => this.after(ms, () => isAlive() && call())
    return {
      now: () => Math.floor(this.#now),
      monotonic: () => this.#now + (this.#drift += this.#random.next() * 3),
      after,
      sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
    }
  }

  /** Runs until it is so; throws when nothing can make it so any more, or not within the given time. */
  async until(isSo: () => boolean, withinMs = 60_000): Promise<void> {
    const end = this.#now + withinMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      if (isSo()) return
      const event = this.#events.shift()
      if (event === undefined || event.at > end) throw new Error(`stuck after ${Math.round(this.#now)} ms`)
      this.#now = event.at
      event.call()
    }
  }
}

type Pipe = ReturnType<ChanceWorld['pipe']>

/** Links that take their time, in order. */
export class ChanceExchange implements ExchangePort {
  readonly #world: ChanceWorld
  readonly #isAlive: () => boolean
  readonly #links = new Map<string, { out: OutboundLink; in: InboundLink }>()
  readonly #slownessMs: number

  constructor(world: ChanceWorld, isAlive: () => boolean, slownessMs: number) {
    this.#world = world
    this.#isAlive = isAlive
    this.#slownessMs = slownessMs
  }

  connect(id: LinkId): Promise<OutboundLink> {
    return Promise.resolve(this.#pair(id).out)
  }

  accept(id: LinkId): Promise<InboundLink> {
    return Promise.resolve(this.#pair(id).in)
  }

  #pair(id: LinkId): { out: OutboundLink; in: InboundLink } {
    const name = JSON.stringify(id)
    let pair = this.#links.get(name)
    if (pair) return pair
    let credits = 0
    let onFrame: (frame: Uint8Array) => void = () => {}
    let onCredit = (): void => {}
    const [there, back] = [0, 1].map(() => this.#world.pipe(this.#slownessMs, this.#isAlive)) as [Pipe, Pipe]
    const ends = { id, onBroken: () => {}, close: () => {} }
    const out: OutboundLink = {
      ...ends,
      get credits() {
        return credits
      },
      send(frame) {
        if (credits-- <= 0) throw new Error('sent without credit')
        there(() => onFrame(frame))
      },
      onCredit: (call) => void (onCredit = call),
    }
    const inbound: InboundLink = {
      ...ends,
      framesMax: CHANNEL_CREDITS,
      onFrame: (call) => void (onFrame = call),
      grant(frames) {
        back(() => {
          credits += frames
          onCredit()
        })
      },
    }
    this.#links.set(name, (pair = { out, in: inbound }))
    return pair
  }
}

/** Splits `subtask`, `subtask` + parallelism, … of what there is to read. */
export class ChanceSource implements SourceReader {
  readonly #world: ChanceWorld
  readonly #clock: Clock
  readonly #splits: readonly (readonly MemoryRecord[])[]
  readonly #own: readonly number[]
  readonly #batchMax: number
  readonly #at = new Map<number, number>()
  readonly #ended = new Set<number>()

  constructor(
    { world, clock }: { readonly world: ChanceWorld; readonly clock: Clock },
    splits: readonly (readonly MemoryRecord[])[],
    { own, batchMax }: { readonly own: readonly number[]; readonly batchMax: number },
  ) {
    this.#world = world
    this.#clock = clock
    this.#splits = splits
    this.#own = own
    this.#batchMax = batchMax
  }

  open(restored: SourceState | null): Promise<readonly number[]> {
    const stored = (restored?.['at'] ?? {}) as Record<string, number | undefined>
    for (const split of this.#own) this.#at.set(split, stored[split] ?? 0)
    return Promise.resolve(this.#own)
  }

  async poll(_maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    if (this.#world.is(0.3)) await this.#clock.sleep(this.#world.whole(0, 10))
    if (this.#world.is(0.1)) return 'idle'
    if (this.#ended.size === this.#own.length) return 'end'
    const open = this.#own.filter((split) => !this.#ended.has(split) && !held?.has(split))
    if (open.length === 0) return 'idle'
    const split = open[this.#world.whole(0, open.length - 1)]!
    const from = this.#at.get(split)!
    const taken = this.#splits[split]!.slice(from, from + this.#world.whole(1, this.#batchMax))
    if (taken.length === 0) {
      this.#ended.add(split)
      return { kind: 'split-end', split }
    }
    this.#at.set(split, from + taken.length)
    return {
      ...{ kind: 'values', split, values: taken.map((r) => r.value), timestamps: taken.map((r) => r.ts) },
      offsets: taken.map((_, j) => from + j),
    }
  }

  originals(split: number, offsets: readonly number[]): Promise<readonly TopicRecord[]> {
    const records = offsets.map((offset): TopicRecord => {
      const { value, ts } = this.#splits[split]![offset]!
      return { key: null, value: Buffer.from(JSON.stringify(value)), timestamp: ts, headers: [] }
    })
    return this.#clock.sleep(this.#world.whole(0, 10)).then(() => records)
  }

  snapshot(): SourceState {
    return { at: Object.fromEntries(this.#at) }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
