/**
 * Which version of each operator's state a chain has got to, by the writer of the segments: a delta is added only to the
 * version it continues, so a segment that is missing or there twice is noticed.
 *
 * Behind rescales a chain is made of several runs, each for key groups of its own: one writer's deltas may stand in two runs,
 * and in a run they may begin late, where what was before them has none of its groups or was folded by another writer.
 */
import type { SegmentRef } from '@weir/dataflow'
import { intersection, type KeyGroupRange } from '@weir/model'
import { brokenChain } from './damage.ts'
import type { SegmentIndex, Versions } from './segment.ts'

export class ChainVersions {
  readonly #all = new Map<string, Map<string, number>>()
  #run = new Map<string, Map<string, number>>()
  #before: KeyGroupRange | null = null

  /** The highest of each operator; the writer's next segment continues them. */
  of(writer: string): Versions | undefined {
    return this.#all.get(writer)
  }

  set(writer: string, versions: Versions): void {
    this.#all.set(writer, new Map(versions))
  }

  /** A base begins a run, and so does what has no group in common with the segment before it. A delta must continue exactly
   * its writer’s versions. Throws `SEGMENT_CHAIN_BROKEN` (invalid). */
  continue(ref: SegmentRef, { writer, versions }: SegmentIndex): void {
    const groups = ref.only ?? ref.keyGroups
    const elsewhere = this.#before !== null && intersection(this.#before, groups) === null
    if (ref.kind === 'base' || elsewhere) this.#run = new Map<string, Map<string, number>>()
    this.#before = groups
    const run = versionsIn(this.#run, writer)
    const all = versionsIn(this.#all, writer)
    for (const [operatorUid, from, to] of versions) {
      const [inRun, ever] = [run.get(operatorUid), all.get(operatorUid)]
      const begins = ref.only !== undefined || (ever ?? 0) === from
      if (ref.kind !== 'base' && (inRun === undefined ? !begins : inRun !== from))
        throw brokenChain(ref.key, { writer, operatorUid, continues: from, restored: inRun ?? ever ?? 0 })
      run.set(operatorUid, to)
      all.set(operatorUid, Math.max(ever ?? 0, to))
    }
  }
}

function versionsIn(by: Map<string, Map<string, number>>, writer: string): Map<string, number> {
  let versions = by.get(writer)
  if (versions === undefined) by.set(writer, (versions = new Map<string, number>()))
  return versions
}
