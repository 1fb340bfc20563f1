/** Stages whose splits have chains of their own: what is read goes into the chain of its split, at its own event time. */
import { watermarkCuts, type SourceBatch, type SplitProgress } from '@weir/dataflow'
import { WATERMARK_MAX, sliceOrigins, type RecordBatch, type Watermark } from '@weir/model'
import { progressOf } from './continuous.ts'
import { endFiringsAtOnce, isFiring } from './firings.ts'
import type { SplitRun, StageRun } from './stage-run.ts'

/** Yields where a firing is open: the caller ends it first. */
export function* emitToSplit(run: StageRun, polled: SourceBatch, batch: RecordBatch): Generator<void> {
  const of = run.splits!.get(polled.split)!
  const { outOfOrderMs } = run.source!.node
  const fold = run.source!.watermarks.foldOf(polled.split)
  const reached = fold === null ? { at: batch.timestamps, outOfOrderMs } : { at: fold.reached, outOfOrderMs: 0 }
  if (run.continuous === null) return yield* emitAtWatermarks(run, of, batch, reached)
  const polledOffsets = polled.kind === 'raw' ? polled.raw.offsets : polled.offsets
  const last = polledOffsets[(polled.kind === 'raw' ? polled.raw.count : polledOffsets.length) - 1]!
  // Where some were refused, the batch has fewer records than were polled.
  const offsets = batch.origins?.offsets ?? polledOffsets
  const count = batch.values.length
  const replayed = replayedIn(offsets, count, of.replayUntil)
  const part = (from: number, to: number): Generator<void> =>
    from === 0 && to === count
      ? emitAtWatermarks(run, of, batch, reached)
      : emitAtWatermarks(run, of, sliceOf(batch, from, to), { ...reached, at: reached.at.slice(from, to) })
  if (replayed > 0) muted(run, of, part(0, replayed))
  if (replayed < count) yield* part(replayed, count)
  of.offset = last + 1
  run.moved.push({ split: polled.split, offset: of.offset, ended: false })
}

/** The windows that are still open fire. Yields as `emitToSplit`. */
export function* endSplit(run: StageRun, split: number): Generator<void> {
  const of = run.splits!.get(split)!
  if (of.endCommitted) muted(run, of, reach(of, WATERMARK_MAX))
  else yield* reach(of, WATERMARK_MAX)
  of.ended = true
  if (run.continuous !== null) run.moved.push(...splitProgressOf(run))
}

/**
 * What the splits that read again may be polled for: none of them gets far beyond what it has read before.
 * @returns null when nothing is read again
 */
export function replayPoll(
  run: StageRun,
  max: number,
  held: ReadonlySet<number> | undefined,
): { readonly records: number; readonly held: ReadonlySet<number> } | null {
  if (run.splits === null) return null
  const others = new Set(held)
  let records = Infinity
  for (const [split, { offset, replayUntil }] of run.splits) {
    if (offset < replayUntil) records = Math.min(records, replayUntil - offset)
    else others.add(split)
  }
  return records === Infinity ? null : { records: Math.min(max, records), held: others }
}

/** How many of the polled records are read for the first time. */
export function freshOf(run: StageRun, polled: SourceBatch, count: number): number {
  const until = run.splits?.get(polled.split)?.replayUntil ?? 0
  const offsets = polled.kind === 'raw' ? polled.raw.offsets : polled.offsets
  return count - replayedIn(offsets, count, until)
}

/** Of the first `count` offsets, which rise. */
function replayedIn(offsets: ArrayLike<number>, count: number, until: number): number {
  let replayed = 0
  while (replayed < count && offsets[replayed]! < until) replayed++
  return replayed
}

export function splitProgressOf(run: StageRun): SplitProgress[] {
  return progressOf(run.source!.reader.snapshot(), (split) => run.splits!.get(split)!.ended)
}

/** Outputs and dead letters of these calls are in their topics already: they only rebuild state, so nobody waits for room. */
function muted(run: StageRun, of: SplitRun, calls: Generator<void>): void {
  const refused = run.refused.length
  run.muted = true
  while (calls.next().done !== true) endFiringsAtOnce(of)
  run.muted = false
  run.refused.length = refused
}

/** Event time behind each record, before it is set back. */
interface Reached {
  readonly at: readonly number[]
  readonly outOfOrderMs: number
}

function* emitAtWatermarks(
  run: StageRun,
  of: SplitRun,
  batch: RecordBatch,
  { at, outOfOrderMs }: Reached,
): Generator<void> {
  const cuts = watermarkCuts(at, of.watermark, { outOfOrderMs, quantumMs: run.quantumMs })
  let from = 0
  for (const { to, watermark } of cuts) {
    if (to > from) of.input.emit(cuts.length === 1 ? batch : sliceOf(batch, from, to))
    if (watermark > of.watermark) yield* reach(of, (of.watermark = watermark))
    from = to
  }
}

function* reach(of: SplitRun, watermark: Watermark): Generator<void> {
  of.input.watermark(watermark)
  if (isFiring(of)) yield
}

/** `keys` is null: in front of a source's chain no key is known. */
const sliceOf = ({ values, timestamps, origins }: RecordBatch, from: number, to: number): RecordBatch => ({
  keys: null,
  values: values.slice(from, to),
  timestamps: timestamps.slice(from, to),
  origins: origins && sliceOrigins(origins, from, to),
})
