/** What a sink has handed to its lanes and no broker has acknowledged, and who waits until that is less. */

/** Above it `write` waits. */
const IN_FLIGHT_BYTES_MAX = 8 << 20

export class InFlight {
  readonly #signal: AbortSignal
  #bytes = 0
  #waiters: (() => void)[] = []

  /** @param signal ends every wait. */
  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  get isFull(): boolean {
    return this.#bytes > IN_FLIGHT_BYTES_MAX
  }

  sent(bytes: number): void {
    this.#bytes += bytes
  }

  released(bytes: number): void {
    this.#bytes -= bytes
    this.wakeAll()
  }

  /** Throws the signal's reason when it is aborted. */
  async room(): Promise<void> {
    while (this.isFull) {
      this.#signal.throwIfAborted()
      await this.woken()
    }
  }

  /** Until something was released, `wakeAll` was called or the signal aborts. */
  woken(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiters.push(done)
      this.#signal.addEventListener('abort', done, { once: true })
    })
  }

  wakeAll(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }
}
