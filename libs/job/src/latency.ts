/** How old records were when their output was committed: of all slices, for as long as this leader has had the job. */
import { LATENCY_BOUNDS_MS, type LatencyCounts } from '@weir/dataflow'

export interface LatencyView {
  readonly records: number
  readonly sumMs: number
  /** Upper bounds of the counts; the last count is of what is beyond. */
  readonly boundsMs: readonly number[]
  readonly counts: readonly number[]
}

export class Latency {
  #sumMs = 0
  readonly #counts: number[] = [...LATENCY_BOUNDS_MS, Number.POSITIVE_INFINITY].map(() => 0)

  /** Bounds of another version count as far as there are any. */
  add({ sumMs, counts }: LatencyCounts): void {
    this.#sumMs += sumMs
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i]! += counts[i] ?? 0
  }

  view(): LatencyView | null {
    const records = this.#counts.reduce((sum, count) => sum + count, 0)
    if (records === 0) return null
    return { records, sumMs: this.#sumMs, boundsMs: LATENCY_BOUNDS_MS, counts: [...this.#counts] }
  }
}
