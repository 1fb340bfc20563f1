/** A source that looks for idle splits, or aligns them: `dataflow/src/split-activity.ts` with the clock of its loop. */
import { SPLIT_TIMES_MAX, SplitActivity, type SourceLow, type SourcePoll, type SplitTime } from '@weir/dataflow'
import { WATERMARK_MAX, type Clock, type Watermark } from '@weir/model'
import type { SourceRun, StageRun } from './stage-run.ts'

/**
 * What was announced holds for so long. It is renewed every second (`job/src/alignment.ts`): behind a lost stream, or under a leader
 * that is gone, a subtask goes by its own splits alone.
 */
export const ALIGN_BOUND_MS_MAX = 5_000

export class SplitTiming {
  readonly #source: SourceRun
  readonly #clock: Clock
  readonly #activity: SplitActivity
  #polledMs: number
  #held: ReadonlySet<number> = NONE
  #bound: { readonly atMost: Watermark; readonly untilMs: number } | null = null

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
    this.#held = this.#activity.ahead(watermarks.entries(), cutting?.held ?? NONE, this.#atMost)
    return this.#held
  }

  /** What other subtasks let this one read. Null: they have nothing to say. */
  bound(atMost: Watermark | null): void {
    this.#bound = atMost === null ? null : { atMost, untilMs: this.#clock.monotonic() + ALIGN_BOUND_MS_MAX }
  }

  /** Of the splits that other subtasks wait for; null: there is none. */
  get lowest(): Watermark | null {
    const { watermarks, cutting } = this.#source
    return this.#activity.lowest(watermarks.entries(), cutting?.held ?? NONE)
  }

  get #atMost(): Watermark {
    const bound = this.#bound
    return bound === null || this.#clock.monotonic() >= bound.untilMs ? WATERMARK_MAX : bound.atMost
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
    const idle = this.#activity.polled(elapsedMs, found, held)
    if (idle.length > 1) {
      // The slowest first: where all fall quiet at one moment event time has come as far as if they had done so one by one.
      const at = new Map(watermarks.entries())
      idle.sort((a, b) => at.get(a)! - at.get(b)!)
    }
    for (const split of idle) watermarks.idle(split)
  }
}

const NONE: ReadonlySet<number> = new Set()

/** Of all sources of a slice; where they are too many, of those that are furthest behind. */
export function splitTimesOf(stages: readonly Pick<StageRun, 'source'>[]): SplitTime[] {
  const times = stages.flatMap(({ source }) => {
    if (source === null) return []
    const { node, reader, watermarks, timing } = source
    const lags = reader.lags?.()
    return [...watermarks.entries()].map(([split, watermark]): SplitTime => {
      const isOpen = watermarks.isIdleSplit(split) ? 'idle' : timing?.isHeld(split) ? 'ahead' : 'active'
      const lag = lags?.get(split)
      const state = watermark === WATERMARK_MAX ? 'ended' : isOpen
      return { source: node.uid, split, watermark, state, ...(lag !== undefined && { lag }) }
    })
  })
  if (times.length > SPLIT_TIMES_MAX) times.sort((a, b) => a.watermark - b.watermark)
  return times.slice(0, SPLIT_TIMES_MAX)
}

/** Of the sources that wait for splits of other subtasks; undefined: there is none. */
export function lowsOf(stages: readonly Pick<StageRun, 'source'>[]): SourceLow[] | undefined {
  const lows = stages.flatMap(({ source }): SourceLow[] =>
    source?.timing && source.node.alignWithinMs ? [{ source: source.node.uid, low: source.timing.lowest }] : [],
  )
  return lows.length > 0 ? lows : undefined
}

/** Null: event times of splits are taken as they come. */
export const timingOf = (source: SourceRun, clock: Clock): SplitTiming | null =>
  source.node.idleAfterMs || source.node.alignWithinMs ? new SplitTiming(source, clock) : null
