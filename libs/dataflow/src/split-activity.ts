/**
 * Which splits of a source are quiet, and which are too far ahead: idleness and watermark alignment in one subtask. Pure;
 * time comes in as the time between two polls.
 *
 *     quiet     polls have found nothing of it for `idleAfterMs`, and all splits have had their turn since
 *     ahead     its watermark is more than `alignWithinMs` above the lowest, or above what the job-manager has announced for
 *               the splits of the other subtasks (`job/src/alignment.ts`): it is not polled until the others come up
 *
 * Time in which a split is not polled does not make it quiet: it is held, or its task waits for room. A poll adds at most
 * `POLL_STEP_MS_MAX`, so that a process that was frozen, or a batch that took long, makes no split quiet either.
 *
 * Nobody waits for a split that cannot come up: one that has ended, is held for another reason (a barrier), or has been
 * quiet for `idleAfterMs`, or `ALIGN_QUIET_MS` where no such time is given. So there is always one that is polled, here or in
 * another subtask.
 */
import { WATERMARK_MAX, type Watermark } from '@weir/model'

/** What one poll can add to the time without records. */
export const POLL_STEP_MS_MAX = 250
/** Without records for so long a split is not waited for, also where its event time still is. */
export const ALIGN_QUIET_MS = 1_000

export interface ActivityOptions {
  /** Null: a split without records holds the others' event time back until it ends. */
  readonly idleAfterMs: number | null
  /** Null: every split is read as fast as it comes. */
  readonly alignWithinMs: number | null
}

interface Quiet {
  ms: number
  /** Polls since its last record that were not of it. */
  polls: number
}

type SplitWatermarkEntries = Iterable<readonly [split: number, watermark: Watermark]>

export class SplitActivity {
  readonly #options: ActivityOptions
  readonly #quiet = new Map<number, Quiet>()

  constructor(options: ActivityOptions, splits: Iterable<number>) {
    this.#options = options
    for (const split of splits) this.#quiet.set(split, { ms: 0, polls: 0 })
  }

  /**
   * A poll has ended. `found`: the split its records are of; null: none had any. `held`: not polled.
   * @returns splits that are idle by now
   */
  polled(elapsedMs: number, found: number | null, held: ReadonlySet<number>): number[] {
    const { idleAfterMs } = this.#options
    const idle: number[] = []
    for (const [split, quiet] of this.#quiet) {
      if (held.has(split)) continue
      if (split === found) {
        quiet.ms = quiet.polls = 0
        continue
      }
      quiet.ms += Math.min(elapsedMs, POLL_STEP_MS_MAX)
      quiet.polls = found === null ? this.#quiet.size : quiet.polls + 1
      if (idleAfterMs !== null && this.#isQuiet(quiet, idleAfterMs)) idle.push(split)
    }
    return idle
  }

  ended(split: number): void {
    this.#quiet.delete(split)
  }

  /**
   * Splits that are too far ahead. `held`: by somebody else, so that nobody waits for them. `atMost`: how far the splits of other
   * subtasks let these go.
   */
  ahead(watermarks: SplitWatermarkEntries, held: ReadonlySet<number>, atMost: Watermark = WATERMARK_MAX): Set<number> {
    const { alignWithinMs } = this.#options
    const ahead = new Set<number>()
    if (alignWithinMs === null) return ahead
    const running = [...watermarks].filter(([, watermark]) => watermark < WATERMARK_MAX)
    const limit = Math.min((this.lowest(running, held) ?? WATERMARK_MAX) + alignWithinMs, atMost)
    for (const [split, watermark] of running) if (watermark > limit) ahead.add(split)
    return ahead
  }

  /** Of the splits that others wait for; null: there is none. */
  lowest(watermarks: SplitWatermarkEntries, held: ReadonlySet<number>): Watermark | null {
    const quietMs = this.#options.idleAfterMs ?? ALIGN_QUIET_MS
    let lowest: Watermark | null = null
    for (const [split, watermark] of watermarks) {
      const quiet = this.#quiet.get(split)
      if (watermark === WATERMARK_MAX || quiet === undefined || held.has(split) || this.#isQuiet(quiet, quietMs))
        continue
      if (lowest === null || watermark < lowest) lowest = watermark
    }
    return lowest
  }

  #isQuiet({ ms, polls }: Quiet, afterMs: number): boolean {
    return ms >= afterMs && polls >= this.#quiet.size
  }
}
