/**
 * May a job be started from this savepoint or epoch, and with what? Pure: two plans and what is known of the output go in, a
 * refusal with every reason, or what `first-epoch.ts` makes the first epoch of comes out.
 *
 * ```
 *   source      found again by uid: same connector, same topic; a new one begins where it is told to
 *   state       found again by uid, whatever stage it is in now; a new one is empty; one that is gone has to be named
 *   sink        under the same job id: goes on from the sequence of the newest published epoch, whatever epoch the state is
 *               of, since markers only grow (PROTOCOL A10). Under another id ids and markers are new (A23)
 *   handles     none in either case: the old run has ended, and every transaction of it is proven
 *   subtasks    those of the state: the first epoch is as wide as what it is made of, the attempt that restores it deals it out
 * ```
 *
 * Going back repeats output that later epochs have published already. That is said, and refused unless it is accepted.
 */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import type { PlanSummary } from '@weir/dataflow'
import { WeirError, type Digest, type Epoch, type JobId } from '@weir/model'
import { changed, fresh, gone, nameOf, shapeOf } from './start-graphs.ts'
import { judgeOutput, scopeProblems } from './start-output.ts'
import { judgeSchemas } from './start-schemas.ts'

/** What is started from. */
export interface StartPoint {
  /** For people: `savepoint "x" of job y`. */
  readonly label: string
  readonly jobId: JobId
  readonly epoch: Epoch
  /** The sources stopped at its barrier. */
  readonly stopped: boolean
  readonly plan: PlanSummary
  readonly graphHash: string
  readonly bundleDigest: Digest
  readonly parallelism: number
  readonly maxParallelism: number
  readonly subtasks: readonly SubtaskSnapshot[]
}

export interface StartTarget {
  readonly jobId: JobId
  readonly plan: PlanSummary
  readonly graphHash: string
  readonly bundleDigest: Digest
  /** Absent: the plan's. */
  readonly parallelism?: number
}

/** What the user says yes to. */
export interface Accepted {
  /** Uids of operators and sources, or `uid/state`, whose state is thrown away. */
  readonly droppedState: readonly string[]
  readonly repeatedOutput: boolean
}

/** What the job that is started from has published: null where nobody here knows it. */
export interface OutputStanding {
  readonly running: boolean
  /** Its newest published epoch. */
  readonly published: Epoch
  /** Of that epoch; null: its manifest cannot be read. */
  readonly subtasks: readonly SubtaskSnapshot[] | null
  /** Sinks of that epoch whose output is lost, or may be. */
  readonly lost: readonly string[]
}

export interface StartProblem {
  readonly code: string
  readonly uid?: string
  readonly message: string
}

export interface Start {
  /** For people: what is empty, dropped, read again, repeated. */
  readonly notes: readonly string[]
  /** State that is not taken over: uids or `uid/state`. */
  readonly dropped: readonly string[]
}

/** Throws `START_REFUSED` (invalid) with every problem and what to do about it. */
export function judgeStart(
  from: StartPoint,
  to: StartTarget,
  accepted: Accepted,
  output: OutputStanding | null,
): Start {
  const dropped = [...gone(from, to)]
  const schemas = judgeSchemas(from.subtasks, from.plan, to.plan)
  const judged = [
    judgeWidth(from, to),
    { problems: [...changed(from.plan, to.plan)], notes: [] },
    schemas,
    judgeDropped(from, accepted.droppedState, dropped),
    { problems: [...inFlightProblems(from, to), ...scopeProblems(from, to, output)], notes: [] },
    ...(output === null ? [] : [judgeOutput(from, to, accepted.repeatedOutput, output)]),
  ]
  const problems = judged.flatMap((of) => of.problems)
  const notes = judged.flatMap((of) => of.notes)
  if (problems.length > 0) {
    throw new WeirError(
      { code: 'START_REFUSED', kind: 'invalid', jobId: to.jobId, from: from.label, problems },
      `job ${to.jobId} cannot be started from ${from.label}:\n${problems.map(({ message }) => `- ${message}`).join('\n')}`,
    )
  }
  notes.push(...fresh(from.plan, to.plan))
  return { notes, dropped }
}

/** What one look at a start has found. */
export interface Judged {
  readonly problems: readonly StartProblem[]
  readonly notes: readonly string[]
}

function judgeWidth(from: StartPoint, to: StartTarget): Judged {
  const problems: StartProblem[] = []
  const notes: string[] = []
  if (from.maxParallelism !== to.plan.settings.maxParallelism) {
    problems.push({
      code: 'MAX_PARALLELISM_CHANGED',
      message: `maxParallelism is ${to.plan.settings.maxParallelism}, the state is cut into ${from.maxParallelism} key groups: set maxParallelism: ${from.maxParallelism}`,
    })
  }
  const { parallelism = to.plan.settings.parallelism } = to
  if (from.parallelism !== parallelism) {
    const of = `parallelism is ${parallelism}, the state is of ${from.parallelism}`
    // Its truth is offsets that the transactions of single subtasks hold (rescale.ts); under another id there are none yet.
    if (to.plan.settings.commit.scope === 'continuous' && from.jobId === to.jobId) {
      problems.push({
        code: 'PARALLELISM_CHANGED',
        message: `${of}, and in the commit scope "continuous" a subtask goes on only from its own: set parallelism: ${from.parallelism}, or start under another id`,
      })
    } else notes.push(`${of}: keys and splits are dealt out anew`)
  }
  return { problems, notes }
}

/** @param accepted names of what may be dropped */
function judgeDropped(from: StartPoint, accepted: readonly string[], dropped: readonly string[]): Judged {
  const problems: StartProblem[] = []
  const notes: string[] = []
  for (const what of dropped) {
    if (accepted.some((name) => name === what || what.startsWith(`${name}/`))) {
      notes.push(`state of "${what}" is dropped`)
      continue
    }
    const { uid, is } = nameOf(what, from.plan)
    problems.push({
      code: 'STATE_DROPPED',
      uid,
      message: `${is} is not in the job any more: give it back its uid, or drop it with --allow-dropped-state ${what}`,
    })
  }
  for (const name of accepted) {
    if (dropped.some((what) => what === name || what.startsWith(`${name}/`))) continue
    problems.push({
      code: 'STATE_NOT_DROPPED',
      uid: name,
      message: `--allow-dropped-state ${name}: ${from.label} has no such state, or the job still has it`,
    })
  }
  return { problems, notes }
}

function* inFlightProblems(from: StartPoint, to: StartTarget): Generator<StartProblem> {
  if (from.subtasks.every(({ inFlight = [] }) => inFlight.length === 0) || shapeOf(from.plan) === shapeOf(to.plan))
    return
  yield {
    code: 'IN_FLIGHT_RECORDS',
    message: `${from.label} holds records in flight between operators, and the graph has changed: stop the job with a savepoint ("weir stop"), whose barriers are aligned, and start from that`,
  }
}
