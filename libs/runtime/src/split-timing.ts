/** A source that looks for idle splits, or aligns them: `dataflow/src/split-activity.ts` with the clock of its loop. */
import { SPLIT_TIMES_MAX, SplitActivity, type SourcePoll, type SplitTime } from '@weir/dataflow'
import { WATERMARK_MAX, type Clock } from '@weir/model'
import type { SourceRun, StageRun } from './stage-run.ts'

export class SplitTiming {
  readonly #source: SourceRun
  readonly #clock: Clock
  readonly #activity: SplitActivity
  #polledMs: number
  #held: ReadonlySet<number> = NONE

  constructor(source: SourceRun, clock: Clock) {
    const { idleAfterMs = null, alignWithinMs = null } = source.node
    this.#source = source
    this.#clock = clock
    const running = [...source.watermarks.entries()].filter(([, watermark]) => watermark < WATERMARK_MAX)
    this.#activity = new SplitActivity(
      { idleAfterMs, alignWithinMs },
      running.map(([split]) => split),
    )
    this.#polledMs = clock.monotonic()
  }

  /** Splits the next poll leaves out. */
  held(): ReadonlySet<number> {
    const { watermarks, cutting } = this.#source
    this.#held = this.#activity.ahead(watermarks.entries(), cutting?.held ?? NONE)
    return this.#held
  }

  isHeld(split: number): boolean {
    return this.#held.has(split)
  }

  /** Before what was polled counts for event time. */
  polled(polled: SourcePoll): void {
    const { watermarks, cutting } = this.#source
    const now = this.#clock.monotonic()
    const elapsedMs = now - this.#polledMs
    this.#polledMs = now
    if (polled === 'end') return
    const found = polled === 'idle' ? null : polled.split
    if (typeof polled === 'object' && polled.kind === 'split-end') this.#activity.ended(polled.split)
    const held = cutting === null ? this.#held : new Set([...this.#held, ...cutting.held])
    for (const split of this.#activity.polled(elapsedMs, found, held)) watermarks.idle(split)
  }
}

const NONE: ReadonlySet<number> = new Set()

/** Of all sources of a slice; where they are too many, of those that are furthest behind. */
export function splitTimesOf(stages: readonly Pick<StageRun, 'source'>[]): SplitTime[] {
  const times = stages.flatMap(({ source }) => {
    if (source === null) return []
    const { node, watermarks, timing } = source
    return [...watermarks.entries()].map(([split, watermark]): SplitTime => {
      const isOpen = watermarks.isIdleSplit(split) ? 'idle' : timing?.isHeld(split) ? 'ahead' : 'active'
      return { source: node.uid, split, watermark, state: watermark === WATERMARK_MAX ? 'ended' : isOpen }
    })
  })
  if (times.length > SPLIT_TIMES_MAX) times.sort((a, b) => a.watermark - b.watermark)
  return times.slice(0, SPLIT_TIMES_MAX)
}

/** Null: event times of splits are taken as they come. */
export const timingOf = (source: SourceRun, clock: Clock): SplitTiming | null =>
  source.node.idleAfterMs || source.node.alignWithinMs ? new SplitTiming(source, clock) : null
