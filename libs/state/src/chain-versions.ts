/** Which version of each operator's state a chain has got to: a segment must continue it, or begin anew. */
import type { SegmentRef } from '@weir/dataflow'
import { brokenChain } from './damage.ts'
import type { SegmentIndex, Versions } from './segment.ts'

export class ChainVersions {
  readonly #byWriter = new Map<string, Map<string, number>>()

  of(writer: string): Versions | undefined {
    return this.#byWriter.get(writer)
  }

  set(writer: string, versions: Versions): void {
    this.#byWriter.set(writer, new Map(versions))
  }

  /** A base begins its writer's versions; a delta must continue exactly them. Throws `SEGMENT_CHAIN_BROKEN` (invalid). */
  continue(ref: SegmentRef, { writer, versions }: SegmentIndex): void {
    let reached = this.#byWriter.get(writer)
    if (reached === undefined || ref.kind === 'base') this.#byWriter.set(writer, (reached = new Map<string, number>()))
    for (const [operatorUid, from, to] of versions) {
      const there = ref.kind === 'base' ? from : (reached.get(operatorUid) ?? 0)
      if (there !== from) throw brokenChain(ref.key, { writer, operatorUid, continues: from, restored: there })
      reached.set(operatorUid, to)
    }
  }
}
