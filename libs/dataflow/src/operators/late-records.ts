/** Records that came when their window was gone: counted, and put into the side output `late` where somebody takes it. */
import { emptyOrigins, pushOrigin, type Key, type Origins, type RecordBatch } from '@weir/model'
import type { Collector, OperatorContext, OperatorCounters } from '../operator.ts'
import { LATE } from '../side-output.ts'

export class LateRecords {
  readonly #counters: OperatorCounters
  readonly #collector: Collector | undefined
  #batch: { keys: Key[]; values: unknown[]; timestamps: number[]; origins: Origins | undefined } | null = null

  constructor({ counters, sides }: Pick<OperatorContext, 'counters' | 'sides'>) {
    this.#counters = counters
    this.#collector = sides?.get(LATE)
  }

  /** As it came, with its event time. */
  add({ keys, values, timestamps, origins }: RecordBatch, index: number): void {
    this.#counters.lateRecords++
    if (this.#collector === undefined) return
    const late = (this.#batch ??= {
      ...{ keys: [], values: [], timestamps: [] },
      origins: origins && emptyOrigins(origins, origins.ordinals !== null),
    })
    late.keys.push(keys![index]!)
    late.values.push(values[index])
    late.timestamps.push(timestamps[index]!)
    if (late.origins !== undefined) pushOrigin(late.origins, origins!, index)
  }

  /** At the end of every batch. */
  flush(): void {
    const batch = this.#batch
    if (batch === null) return
    this.#batch = null
    this.#collector!.emit(batch)
  }
}
