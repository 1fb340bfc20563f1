/**
 * Worker threads that have loaded their modules and wait for a slice: a restart and a rescale do not wait for that.
 */
import { systemClock, type Cancel } from '@weir/model'
import { Worker } from 'node:worker_threads'
import type { SlotData } from './slot.ts'

/** More would hold memory for the rare restart of many slices at once. */
const SPARES_MAX = 2
/** After the last one was taken: what is being deployed comes first. */
const REFILL_AFTER_MS = 2_000

export class SpareWorkers {
  readonly #dataOf: () => SlotData
  readonly #max: number
  readonly #spares = new Set<Worker>()
  #cancelRefill: Cancel = () => {}

  /** @param dataOf what the next worker is given, never the same twice */
  constructor(slots: number, dataOf: () => SlotData) {
    this.#max = Math.min(slots, SPARES_MAX)
    this.#dataOf = dataOf
  }

  /** From now on there are spares, after a while. */
  begin(): void {
    this.#cancelRefill()
    this.#cancelRefill = systemClock.after(REFILL_AFTER_MS, () => {
      while (this.#spares.size < this.#max) this.#spares.add(this.#idle())
    })
  }

  /** For one slice; the caller listens to it and ends it. */
  take(): Worker {
    this.begin()
    const [spare] = this.#spares
    if (spare === undefined) return this.#start()
    this.#spares.delete(spare)
    return spare.removeAllListeners()
  }

  /** Those that wait are ended, and no new ones come. */
  async end(): Promise<void> {
    this.#cancelRefill()
    const spares = [...this.#spares]
    this.#spares.clear()
    await Promise.all(spares.map((spare) => spare.terminate()))
  }

  #idle(): Worker {
    const worker = this.#start()
    // A deploy that finds none starts its own, and tells why that does not work.
    worker.on('error', () => this.#spares.delete(worker))
    worker.on('exit', () => this.#spares.delete(worker))
    return worker
  }

  #start(): Worker {
    const workerData = this.#dataOf()
    return new Worker(new URL('./slot.js', import.meta.url), { workerData, name: workerData.stateDir })
  }
}
