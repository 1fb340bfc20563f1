/**
 * Another parallelism for a job, at a checkpoint taken for it.
 *
 * ```
 *   wish recorded in the job's record (PROTOCOL B4: the highest ever, before any subtask of it exists)
 *     └▶ running: the coordinator drains: sources stop behind a last barrier, its epoch becomes final
 *          └▶ the slices stop ─▶ claim ─▶ placing at the new parallelism ─▶ … ─▶ running
 *                                          └ no room in time: back to what it ran at (never down for want of slots)
 * ```
 *
 * In every other phase the wish waits for the next attempt. A failure on the way is a failure as any other: the recovery
 * redistributes whatever epoch it finds (libs/checkpoint/src/redistribute.ts).
 */
import type { RedistributionTarget } from '@weir/checkpoint'
import { WeirError, type JobId, type Subtask } from '@weir/model'
import { preparingSinks } from './ledger.ts'
import type { JobSpec, JobState } from './state.ts'

/** How long a rescaled job waits for its slots before it goes back to what it ran at. */
export const RESCALE_PLACEMENT_TIMEOUT_MS = 5_000

/** Asked for, and not begun. */
export interface RescaleWish {
  readonly parallelism: number
  /** The highest the job's record has. */
  readonly highestParallelism: number
  readonly sinceMs: number
}
/** Begun: no attempt has run at the new parallelism yet. */
export interface Rescaling {
  readonly from: number
  readonly sinceMs: number
}

export const parallelismOf = (spec: JobSpec): number => spec.plan.settings.parallelism
/** Subtasks the job has or had: their transactional ids are its own for ever (PROTOCOL B4). */
export const subtasksOf = (spec: JobSpec): number => Math.max(parallelismOf(spec), spec.highestParallelism ?? 0)

/** Subtasks whose sinks a slice recovers: itself, and those the job has no more (redistribute.ts deals them out so). */
export function caredBy(spec: JobSpec, subtask: Subtask): readonly number[] {
  const cared: number[] = []
  for (let k: number = subtask; k < subtasksOf(spec); k += parallelismOf(spec)) cared.push(k)
  return cared
}

export function targetOf(spec: JobSpec): RedistributionTarget {
  const { plan } = spec
  return {
    parallelism: parallelismOf(spec),
    highestParallelism: subtasksOf(spec),
    maxParallelism: plan.settings.maxParallelism,
    sinks: preparingSinks(plan),
    sourceStages: plan.nodes.filter(({ kind }) => kind === 'source').map(({ stage }) => stage),
  }
}

/** The next attempt is at the wished parallelism. Only while nothing is deployed. */
export function atWished(state: JobState): JobState {
  const { wished } = state
  if (wished === null) return state
  const from = parallelismOf(state.spec)
  const rescaling = state.rescaling ?? { from, sinceMs: wished.sinceMs }
  return {
    ...at(state, wished.parallelism, wished.highestParallelism),
    wished: null,
    rescaling: rescaling.from === wished.parallelism ? null : rescaling,
  }
}

/** No room for the new parallelism: as before. */
export const reverted = (state: JobState, { from }: Rescaling): JobState => ({
  ...at(state, from, 0),
  rescaling: null,
  lastError: {
    code: 'RESCALE_REVERTED',
    kind: 'retry',
    message: `there were no ${parallelismOf(state.spec)} free slots within ${RESCALE_PLACEMENT_TIMEOUT_MS} ms; the job goes on at parallelism ${from}. Start more task-managers and rescale again.`,
    facts: { wished: parallelismOf(state.spec), parallelism: from },
  },
})

function at(state: JobState, parallelism: number, highest: number): JobState {
  const { spec, coordinator } = state
  const plan = { ...spec.plan, settings: { ...spec.plan.settings, parallelism } }
  return {
    ...state,
    spec: { ...spec, plan, highestParallelism: Math.max(subtasksOf(spec), highest, parallelism) },
    coordinator: { ...coordinator, options: { ...coordinator.options, parallelism } },
  }
}

/**
 * Throws WeirError: `RESCALE_INVALID`, `RESCALE_TOO_WIDE`, `RESCALE_CONTINUOUS_SCOPE`, `RESCALE_JOB_ENDING` (invalid),
 * `RESCALE_NO_SLOTS` (retry).
 *
 * @param of the job as it stands; `room`: slots it holds and those that are free
 */
export function checkRescale(
  of: { readonly spec: JobSpec; readonly ending: boolean; readonly room: number },
  parallelism: unknown,
): asserts parallelism is number {
  const { spec, ending, room } = of
  const { jobId } = spec
  const { maxParallelism, commit } = spec.plan.settings
  const isWhole = typeof parallelism === 'number' && Number.isInteger(parallelism) && parallelism >= 1
  if (!isWhole || parallelism > maxParallelism) {
    throw refused(isWhole ? 'RESCALE_TOO_WIDE' : 'RESCALE_INVALID', jobId, { parallelism, maxParallelism }, [
      `parallelism must be a whole number from 1 to ${maxParallelism}, the job's maxParallelism, which is fixed for its life:`,
      'keys are spread over that many groups.',
    ])
  }
  if (ending) {
    throw refused('RESCALE_JOB_ENDING', jobId, {}, [
      `job "${jobId}" is ending or has ended; submit it again at another parallelism.`,
    ])
  }
  if (commit.scope === 'continuous') {
    throw refused('RESCALE_CONTINUOUS_SCOPE', jobId, {}, [
      `job "${jobId}" commits in the scope "continuous": its truth is the offsets that its subtasks' transactions hold, and`,
      'there is no moment at which all of them are fenced and none is read. Cancel it, which drains it, and submit it at',
      'another parallelism; or use the scope "epoch".',
    ])
  }
  if (parallelism > room) {
    throw new WeirError(
      { code: 'RESCALE_NO_SLOTS', kind: 'retry', jobId, needed: parallelism, room },
      `parallelism ${parallelism} needs as many slots, and job "${jobId}" could have ${room} (its own and those that are free): start more task-managers first. The job goes on as it is.`,
    )
  }
}

const refused = (code: string, jobId: JobId, facts: Record<string, unknown>, text: readonly string[]): WeirError =>
  new WeirError({ ...facts, code, kind: 'invalid', jobId }, text.join(' '))
