/**
 * Which calls to the remote tier are about the same key at the same time. Answers may come in another order than the writes were
 * done: of two that overlap nobody knows which text is the later one, so neither leaves a copy that is certain.
 */
interface Flight {
  calls: number
  overlapped: boolean
}

export class KeysInFlight {
  readonly #flights = new Map<string, Flight>()

  /** @returns whether the call was the only one about the key until now; and to be called at its end, behind its copies */
  begin(keys: readonly string[]): { alone(key: string): boolean; end(): void } {
    const all = new Set(keys)
    for (const key of all) {
      const flight = this.#flights.get(key)
      if (flight === undefined) this.#flights.set(key, { calls: 1, overlapped: false })
      else {
        flight.calls++
        flight.overlapped = true
      }
    }
    return {
      alone: (key) => this.#flights.get(key)?.overlapped === false,
      end: () => {
        for (const key of all) {
          const flight = this.#flights.get(key)!
          if (--flight.calls === 0) this.#flights.delete(key)
        }
      },
    }
  }
}
