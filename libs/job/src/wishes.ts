/** What people may ask of a running job, and how they are refused. */
import { WeirError, type Subtask } from '@weir/model'
import { regionsOf } from './regions.ts'
import type { Failure, JobState } from './state.ts'

/** Throws `JOB_ENDING`, `SAVEPOINT_NEEDS_STOP` (invalid). */
export function checkSavepoint({ spec, ending, stop, phase }: JobState): void {
  const { jobId, plan } = spec
  if (ending !== null || stop !== null || phase === 'ended') {
    throw new WeirError(
      { code: 'JOB_ENDING', kind: 'invalid', jobId },
      `job ${jobId} is about to end: start from its last epoch or its last savepoint instead`,
    )
  }
  if (plan.settings.commit.scope === 'continuous') {
    throw new WeirError(
      { code: 'SAVEPOINT_NEEDS_STOP', kind: 'invalid', jobId },
      `job ${jobId} commits continuously, so its output is ahead of its state but where it has stopped: \`weir stop ${jobId} NAME\``,
    )
  }
}

/**
 * The subtask whose failure is to be feigned. Throws `JOB_NOT_RUNNING` (retry), `SUBTASK_NEEDED`, `SUBTASK_UNKNOWN` (invalid).
 * @param wished null: whichever, of a job that is one region
 */
export function subtaskToRestart({ phase, spec, slices }: JobState, wished: number | null): Subtask {
  const { jobId, plan } = spec
  if (phase !== 'running')
    throw new WeirError(
      { code: 'JOB_NOT_RUNNING', kind: 'retry', jobId },
      `job ${jobId} is restarting or ending already`,
    )
  const regions = regionsOf(plan)
  if (wished === null && regions.length > 1) {
    const text = `job ${jobId} has ${regions.length} regions that restart by themselves: say which, by the number of a subtask`
    throw new WeirError({ code: 'SUBTASK_NEEDED', kind: 'invalid', jobId }, text)
  }
  const subtask = (wished ?? 0) as Subtask
  if (!slices.has(subtask))
    throw new WeirError(
      { code: 'SUBTASK_UNKNOWN', kind: 'invalid', jobId, subtask: wished },
      `job ${jobId} has no subtask ${subtask}`,
    )
  return subtask
}

export const restartAsked = (reason: string): Failure => ({
  code: 'RESTART_ASKED',
  kind: 'restart',
  message: `a restart was asked for: ${reason}`,
  facts: {},
})
