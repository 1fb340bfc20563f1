/**
 * Worker threads that have loaded their modules and wait for a slice: a restart and a rescale do not wait for that.
 */
import type { Cancel } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { Worker } from 'node:worker_threads'
import type { SlotData } from './slot.ts'
import { startThread } from './thread.ts'

/** More would hold memory for the rare restart of many slices at once. */
const SPARES_MAX = 2
/** After the last one was taken: what is being deployed, and has a backlog to read, comes first. */
const REFILL_AFTER_MS = 5_000

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

  /** From now on there are spares: the first job finds them. */
  begin(): void {
    this.#cancelRefill()
    this.#fill()
  }

  /** For one slice; the caller listens to it and ends it. */
  take(): Worker {
    this.#cancelRefill()
    this.#cancelRefill = systemClock.after(REFILL_AFTER_MS, () => this.#fill())
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

  #fill(): void {
    while (this.#spares.size < this.#max) this.#spares.add(this.#idle())
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
    return startThread('slot', workerData.dataDir, { workerData, name: workerData.stateDir })
  }
}
