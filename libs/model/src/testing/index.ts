import type { Cancel, Clock, Random } from '../ports.ts'

/** A clock that moves only when told to; timers fire in order of their time. */
export class ManualClock implements Clock {
  #now: number
  #timers: { at: number; call: () => void }[] = []

  constructor(startMs = 0) {
    this.#now = startMs
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  after(ms: number, call: () => void): Cancel {
    const timer = { at: this.#now + ms, call }
    this.#timers.push(timer)
    this.#timers.sort((a, b) => a.at - b.at)
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer)
    }
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const cancel = this.after(ms, resolve)
      signal?.addEventListener('abort', () => {
        cancel()
        reject(signal.reason as Error)
      })
    })
  }

  /** Moves time forward, firing what falls due on the way. */
  advance(ms: number): void {
    const until = this.#now + ms
    for (let t = this.#timers[0]; t && t.at <= until; t = this.#timers[0]) {
      this.#timers.shift()
      this.#now = t.at
      t.call()
    }
    this.#now = until
  }
}

/** xorshift32: the same seed gives the same sequence. */
export class SeededRandom implements Random {
  #s: number

  constructor(seed: number) {
    this.#s = (seed ^ 0x9e3779b9) >>> 0 || 1
  }

  next(): number {
    this.#s ^= this.#s << 13
    this.#s ^= this.#s >>> 17
    this.#s ^= this.#s << 5
    this.#s >>>= 0
    return this.#s / 0x1_0000_0000
  }

  nonce(): string {
    let hex = ''
    for (let i = 0; i < 4; i++)
      hex += Math.floor(this.next() * 0x1_0000_0000)
        .toString(16)
        .padStart(8, '0')
    return hex
  }
}
