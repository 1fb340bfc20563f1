/**
 * Time, chance and processes. One event after the other: an event runs, everything it set in motion as microtasks runs
 * to its end (one turn of the event loop), then the next event. So the order of all that happens depends on the seed only.
 */
import { createHash } from 'node:crypto'
import type { Cancel, Clock, Random } from '@weir/model'

/** mulberry32 over a scrambled seed: seeds beside each other have nothing in common. */
export class Chance implements Random {
  #state: number

  constructor(seed: number, stream: number) {
    let z = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    this.#state = (z ^ (z >>> 15)) >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }

  nonce(): string {
    const word = (): string => Math.floor(this.next() * 0x1_0000_0000).toString(16)
    return [word(), word(), word(), word()].map((w) => w.padStart(8, '0')).join('')
  }

  /** True with probability p. */
  is(p: number): boolean {
    return this.next() < p
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from)
  }

  whole(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1))
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!
  }
}

interface Planned {
  readonly at: number
  readonly serial: number
  readonly call: () => void
}

export class World {
  readonly seed: number
  /** Latencies and what the network does. */
  readonly chance: Chance
  /** Simulated ms since the beginning. */
  now = 0
  #heap: Planned[] = []
  #serial = 0
  #events = 0
  readonly #hash = createHash('sha256')
  readonly #lines: string[] | null
  readonly findings: string[] = []
  /** Hears every line of the trace. */
  onTrace: (text: string) => void = () => {}

  /** @param keepTrace keep the lines of the trace, not only their hash */
  constructor(seed: number, keepTrace = false) {
    this.seed = seed
    this.chance = new Chance(seed, 0)
    this.#lines = keepTrace ? [] : null
  }

  get events(): number {
    return this.#events
  }

  get traceLines(): readonly string[] {
    return this.#lines ?? []
  }

  traceHash(): string {
    return this.#hash.copy().digest('hex')
  }

  trace(text: string): void {
    const line = `${this.now.toFixed(3)} ${text}`
    this.#hash.update(line)
    this.#lines?.push(line)
    this.onTrace(text)
  }

  /** A rule was broken: the run goes on, so that all that follows from it is seen too. */
  found(checker: string, what: string): void {
    this.trace(`VIOLATION ${checker}: ${what}`)
    this.findings.push(`${checker}: ${what}`)
  }

  at(ms: number, call: () => void): void {
    this.#push({ at: Math.max(this.now, ms), serial: this.#serial++, call })
  }

  after(ms: number, call: () => void): void {
    this.at(this.now + ms, call)
  }

  /** Until nothing is left, the time is up, or `over` says so. */
  async run(untilMs: number, over: () => boolean): Promise<void> {
    while (this.#heap.length > 0 && !over()) {
      if (this.#heap[0]!.at > untilMs) break
      const { at, call } = this.#pop()
      this.now = at
      this.#events++
      call()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #before(a: Planned, b: Planned): boolean {
    return a.at < b.at || (a.at === b.at && a.serial < b.serial)
  }

  #push(item: Planned): void {
    const heap = this.#heap
    let i = heap.push(item) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.#before(item, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = item
  }

  #pop(): Planned {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++
      if (!this.#before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return top
  }
}

export type Standing = 'up' | 'frozen' | 'dead'

/**
 * One operating-system process, or a thread of one. Everything that happens to it comes through `run`: a dead one hears
 * nothing more, a frozen one (SIGSTOP) hears all of it when it wakes.
 */
export class Process {
  readonly world: World
  readonly host: string
  readonly name: string
  readonly clock: ProcessClock
  standing: Standing = 'up'
  #backlog: (() => void)[] = []
  readonly #onDeath: (() => void)[] = []
  readonly #onFreeze: (() => void)[] = []
  readonly #onThaw: (() => void)[] = []

  constructor(world: World, host: string, name: string, drift: Drift = NO_DRIFT) {
    this.world = world
    this.host = host
    this.name = name
    this.clock = new ProcessClock(this, drift)
  }

  run(call: () => void): void {
    if (this.standing === 'dead') return
    if (this.standing === 'frozen') this.#backlog.push(call)
    else call()
  }

  freeze(): void {
    if (this.standing !== 'up') return
    this.standing = 'frozen'
    for (const call of this.#onFreeze) call()
  }

  /** What has come meanwhile is heard in its order, each with its own turn. */
  thaw(): void {
    if (this.standing !== 'frozen') return
    this.standing = 'up'
    const backlog = this.#backlog
    this.#backlog = []
    for (const call of backlog) this.world.after(0, () => this.run(call))
    for (const call of this.#onThaw) call()
  }

  /** kill -9 */
  kill(): void {
    if (this.standing === 'dead') return
    this.standing = 'dead'
    this.#backlog = []
    for (const call of this.#onDeath) call()
  }

  onFreeze(call: () => void): void {
    this.#onFreeze.push(call)
  }

  onThaw(call: () => void): void {
    this.#onThaw.push(call)
  }

  onDeath(call: () => void): void {
    this.#onDeath.push(call)
  }
}

export interface Drift {
  /** Monotonic ms per simulated ms. */
  readonly rate: number
  /** Wall clock − simulated time, ms. */
  readonly offsetMs: number
}
const NO_DRIFT: Drift = { rate: 1, offsetMs: 0 }
const EPOCH_MS = 1_750_000_000_000

class ProcessClock implements Clock {
  readonly #process: Process
  readonly #rate: number
  #offsetMs: number

  constructor(process: Process, { rate, offsetMs }: Drift) {
    this.#process = process
    this.#rate = rate
    this.#offsetMs = offsetMs
  }

  get drift(): Drift {
    return { rate: this.#rate, offsetMs: this.#offsetMs }
  }

  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.#offsetMs += ms
  }

  now(): number {
    return Math.round(EPOCH_MS + this.#offsetMs + this.#process.world.now)
  }

  monotonic(): number {
    return this.#process.world.now * this.#rate
  }

  after(ms: number, call: () => void): Cancel {
    const process = this.#process
    let over = false
    process.world.after(Math.max(0, ms) / this.#rate, () => {
      if (over) return
      process.run(() => {
        if (over) return
        over = true
        call()
      })
    })
    return () => {
      over = true
    }
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const aborted = (): void => {
        cancel()
        reject(signal!.reason as Error)
      }
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', aborted)
        resolve()
      })
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }
}
