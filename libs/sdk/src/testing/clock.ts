/** Time that moves only when a test says so. */
import type { Cancel, Clock } from '@weir/model'

interface Wait {
  readonly atMs: number
  readonly call: () => void
}

/** What the engine sees of it. */
export class StandingClock implements Clock {
  #nowMs: number
  #waits: Wait[] = []

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  now(): number {
    return this.#nowMs
  }

  monotonic(): number {
    return this.#nowMs
  }

  after(ms: number, call: () => void): Cancel {
    const wait = { atMs: this.#nowMs + ms, call }
    this.#waits.push(wait)
    return () => void (this.#waits = this.#waits.filter((other) => other !== wait))
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const cancel = this.after(ms, resolve)
      const aborted = (): void => {
        cancel()
        reject(signal!.reason as Error)
      }
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  /** One jump, as of a process that was suspended: what fell due meanwhile ends in order, all at the new time. */
  jump(ms: number): void {
    this.#nowMs += ms
    const due = this.#waits.filter(({ atMs }) => atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs)
    this.#waits = this.#waits.filter(({ atMs }) => atMs > this.#nowMs)
    for (const { call } of due) call()
  }
}

/** What a test sees of it. */
export interface TestClock {
  /** Wall clock of the job, ms since 1970. */
  now(): number
  /** Resolves when every timer of processing time that falls due has fired, and what it put out has come through. */
  advance(ms: number): Promise<void>
}
