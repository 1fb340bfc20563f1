/**
 * A source whose input is cut at an event time: it hands out no record from behind the cut before the barrier is injected.
 * The tail of the batch in which a split comes to the cut is kept and handed out afterwards; positions are in front of it.
 */
import { batchOf, countOf, firstReaching, offsetAt, type SourceBatch, type SourceNode } from '@weir/dataflow'
import type { OffsetGap, RestoreContext, SourcePoll, SourceReader, SourceState, SplitWatermarks } from '@weir/dataflow'
import {
  WATERMARK_MAX,
  type CheckpointId,
  type Clock,
  type SourceReach,
  type TopicRecord,
  type Watermark,
} from '@weir/model'
import {
  noCut,
  stepSourceCut,
  type CutAsked,
  type CutExceptions,
  type SourceCutEvent,
  type SourceCutState,
} from './source-cut.ts'

/** Without a record for so long a split is idle: no cut waits for it. */
export const SPLIT_IDLE_MS = 1_000

export interface CuttingReaderDeps {
  readonly clock: Clock
  /** Of every split, as of the last batch handed out. */
  readonly watermarks: () => Pick<SplitWatermarks, 'entries' | 'foldOf'>
}

export class CuttingReader implements SourceReader {
  readonly #node: SourceNode
  readonly #reader: SourceReader
  readonly #deps: CuttingReaderDeps
  #cut: SourceCutState = noCut
  /** At most one per split: what is held is not polled. */
  #tails: SourceBatch[] = []
  #lastRecordMs = new Map<number, number>()
  /** Since when polls have found nothing. */
  #nothingSinceMs: number | null = null

  constructor(node: SourceNode, reader: SourceReader, deps: CuttingReaderDeps) {
    this.#node = node
    this.#reader = reader
    this.#deps = deps
  }

  async open(restored: SourceState | null, context: RestoreContext | null = null): Promise<readonly number[]> {
    const splits = await this.#reader.open(restored, context)
    const now = this.#deps.clock.monotonic()
    this.#lastRecordMs = new Map(splits.map((split) => [split, now]))
    return splits
  }

  /** The barrier is to be injected behind everything before `time`; another one that was asked for is forgotten. */
  ask(asked: CutAsked): void {
    const splits = this.#running().map(([split, watermark]) => ({ split, watermark }))
    this.#nothingSinceMs = null
    this.#step({ type: 'ask', asked, splits })
  }

  giveUp(checkpoint: CheckpointId): void {
    this.#step({ type: 'give-up', checkpoint })
  }

  /** Its barrier is due now, in front of whatever is polled next. */
  get due(): (CutAsked & CutExceptions) | null {
    return this.#cut.phase === 'cut' ? this.#cut : null
  }

  injected(): void {
    this.#step({ type: 'injected' })
  }

  /** Of the splits that have had a record lately; null: of none. */
  reach(): SourceReach | null {
    const since = this.#deps.clock.monotonic() - SPLIT_IDLE_MS
    const active = this.#running().filter(([split]) => this.#lastRecordMs.get(split)! >= since)
    if (active.length === 0) return null
    const watermarks = active.map(([, watermark]) => watermark)
    return { low: Math.min(...watermarks), high: Math.max(...watermarks) }
  }

  /** @param ahead splits that are held for their event time: what they have may come before the cut */
  async poll(maxRecords: number, ahead: ReadonlySet<number> = NONE): Promise<SourcePoll> {
    const held = ahead.size === 0 ? this.held : new Set([...this.held, ...ahead])
    const polled = this.#tail(held) ?? (await this.#reader.poll(maxRecords, held))
    if (polled === 'end') return polled
    const now = this.#deps.clock.monotonic()
    if (polled === 'idle') {
      if (this.#isWaitingFor(ahead)) {
        this.#nothingSinceMs = null
        return polled
      }
      this.#nothingSinceMs ??= now
      if (now - this.#nothingSinceMs >= SPLIT_IDLE_MS) this.#step({ type: 'idle' })
      return polled
    }
    this.#nothingSinceMs = null
    if (polled.kind === 'split-end') {
      this.#step({ type: 'ended', split: polled.split })
      return polled
    }
    this.#lastRecordMs.set(polled.split, now)
    return this.#until(polled)
  }

  interrupt(): void {
    this.#reader.interrupt?.()
  }

  snapshot(): SourceState {
    return this.#reader.snapshot(new Map(this.#tails.map((tail) => [tail.split, offsetAt(tail, 0)])))
  }

  /** The part of a batch before the cut. */
  #until(batch: SourceBatch): SourcePoll {
    const cut = this.#cut
    if (cut.phase === 'open') return batch
    const at = firstReaching(this.#node, batch, cut.time, this.#deps.watermarks().foldOf(batch.split))
    const count = countOf(batch)
    if (at === count) return batch
    this.#tails.push(batchOf(batch, at, count))
    this.#step({ type: 'reached', split: batch.split })
    return at === 0 ? 'idle' : batchOf(batch, 0, at)
  }

  /** The first of those that are not held any more. */
  #tail(held: ReadonlySet<number>): SourceBatch | undefined {
    const at = this.#tails.findIndex(({ split }) => !held.has(split))
    return at < 0 ? undefined : this.#tails.splice(at, 1)[0]
  }

  /** Have come to the cut. */
  get held(): ReadonlySet<number> {
    return this.#cut.phase === 'open' ? NONE : this.#cut.held
  }

  #isWaitingFor(splits: ReadonlySet<number>): boolean {
    if (this.#cut.phase === 'open') return false
    for (const split of splits) if (this.#cut.pending.has(split)) return true
    return false
  }

  #running(): (readonly [number, Watermark])[] {
    return [...this.#deps.watermarks().entries()].filter(([, watermark]) => watermark < WATERMARK_MAX)
  }

  #step(event: SourceCutEvent): void {
    this.#cut = stepSourceCut(this.#cut, event)
  }

  onGap(call: (gap: OffsetGap) => void): void {
    this.#reader.onGap?.(call)
  }
  originals(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]> {
    return this.#reader.originals?.(split, offsets) ?? Promise.resolve(offsets.map(() => null))
  }
  lags(): ReadonlyMap<number, number> {
    return this.#reader.lags?.() ?? NOTHING_KNOWN
  }
  committed(state: SourceState): void {
    this.#reader.committed?.(state)
  }
  close(): Promise<void> {
    return this.#reader.close()
  }
}

const NONE: ReadonlySet<number> = new Set()
const NOTHING_KNOWN: ReadonlyMap<number, number> = new Map()

/** Of all sources of a slice; undefined: they are not cut at event times. */
export function reachOf(
  stages: readonly { readonly source: { readonly cutting: CuttingReader | null } | null }[],
): SourceReach | null | undefined {
  const cutting = stages.flatMap(({ source }) => source?.cutting ?? [])
  if (cutting.length === 0) return undefined
  const reaches = cutting.flatMap((reader) => reader.reach() ?? [])
  if (reaches.length === 0) return null
  return { low: Math.min(...reaches.map(({ low }) => low)), high: Math.max(...reaches.map(({ high }) => high)) }
}
