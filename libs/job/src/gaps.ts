/**
 * Gaps that sources went over as their policy said: what the job's view and metrics show for as long as a split has them
 * in its state. Attempts tell them again, and one that was found twice (before its epoch was published) is one.
 */
import type { OffsetGap } from '@weir/dataflow'

/** The newest that are shown; metrics count them all. */
const GAPS_MAX = 1_000

export interface SourceGap extends OffsetGap {
  readonly source: string
}

export class SourceGaps {
  readonly #gaps = new Map<string, SourceGap>()

  /** True: not known before. */
  add(source: string, gap: OffsetGap): boolean {
    const id = JSON.stringify([source, gap.partition, gap.offset])
    const known = this.#gaps.has(id)
    this.#gaps.set(id, { source, ...gap })
    if (this.#gaps.size > GAPS_MAX) this.#gaps.delete(this.#gaps.keys().next().value!)
    return !known
  }

  /** By source, partition, offset. */
  list(): readonly SourceGap[] {
    const order = (a: SourceGap, b: SourceGap): number =>
      a.source < b.source
        ? -1
        : a.source > b.source
          ? 1
          : a.partition - b.partition || Number(a.offset) - Number(b.offset)
    return [...this.#gaps.values()].sort(order)
  }
}
