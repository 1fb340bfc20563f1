/** What one barrier overtakes, while it is being gathered: whole when nothing of the epoch can come any more. */
import { WeirError, type StreamElement } from '@weir/model'
import { Flight, type StreamName } from './flight.ts'

export class Capture {
  /** Resolves when it is whole, never when nobody needs it any more; rejects with `IN_FLIGHT_TOO_LARGE` (retry). */
  readonly whole: Promise<Flight>
  readonly #flight: Flight
  readonly #bytesMax: number
  #resolve!: (flight: Flight) => void
  #reject!: (error: WeirError) => void

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#flight = new Flight(bytesMax)
    this.whole = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.whole.catch(() => {}) // of an epoch that was given up nobody asks
  }

  /** False: it has failed, nothing more need be added. */
  add(name: StreamName, element: StreamElement, frame: Uint8Array | null): boolean {
    if (this.#flight.add(name, element, frame)) return true
    this.#reject(
      new WeirError(
        { code: 'IN_FLIGHT_TOO_LARGE', kind: 'retry', stage: name.stage, bytesMax: this.#bytesMax },
        `more than ${this.#bytesMax} bytes came between the first and the last barrier of stage ${name.stage}: the epoch is given up, the next one is aligned`,
      ),
    )
    return false
  }

  complete(): void {
    this.#resolve(this.#flight)
  }
}
