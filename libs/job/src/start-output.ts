/** What of a job's output a start would repeat, or has lost. */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import type { Judged, OutputStanding, StartPoint, StartProblem, StartTarget } from './start-from.ts'
import { sharesTopic } from './start-graphs.ts'

/**
 * In the continuous scope the output is ahead of a checkpoint, and the state in between is rebuilt by the same build from
 * the offsets committed under the same id; only where the job has stopped do they stand together (PROTOCOL A18).
 */
export function* scopeProblems(
  from: StartPoint,
  to: StartTarget,
  output: OutputStanding | null,
): Generator<StartProblem> {
  const [was, is] = [from.plan.settings.commit.scope, to.plan.settings.commit.scope]
  if (was !== is) {
    yield {
      code: 'COMMIT_SCOPE_CHANGED',
      message: `the commit scope is "${is}", ${from.label} was made under "${was}": keep it, or start without --from`,
    }
  } else if (is === 'continuous' && from.jobId !== to.jobId) {
    // Nothing is committed under the new id: output begins where the state is, and what there is behind it is the other job's.
    if (!from.stopped && sharesTopic(from.plan, to.plan)) {
      yield {
        code: 'CONTINUOUS_NOT_STOPPED',
        message: `in the commit scope "continuous" output of job ${from.jobId} is ahead of ${from.label}, and would be written again: start from the savepoint the job was stopped with last (\`weir stop\`), or write to other topics`,
      }
    }
  } else if (is === 'continuous') {
    const newest = output === null || output.published === from.epoch
    const sameBuild = from.bundleDigest === to.bundleDigest && from.graphHash === to.graphHash
    if (!newest || (!from.stopped && !sameBuild)) {
      yield {
        code: 'CONTINUOUS_NOT_STOPPED',
        message: `in the commit scope "continuous" output is ahead of ${from.label}: start from the savepoint the job was stopped with last (\`weir stop\`)`,
      }
    }
  }
}

/** What the job would write again, or has lost. @param accepted output may be there twice */
export function judgeOutput(from: StartPoint, to: StartTarget, accepted: boolean, output: OutputStanding): Judged {
  const problems: StartProblem[] = []
  const notes: string[] = []
  const same = from.jobId === to.jobId
  const repeats = same || sharesTopic(from.plan, to.plan)
  if (repeats && (output.published > from.epoch || output.running)) {
    const said = repeated(from, output)
    if (accepted) notes.push(`${said}; it will be there twice`)
    else {
      problems.push({
        code: 'OUTPUT_REPEATED',
        message: `${said}: started from here, the job would write it again. Start from ${output.running ? 'a savepoint that the job has stopped with (`weir stop`)' : `epoch ${output.published}`}, ${same ? '' : 'write to other topics, '}or accept it with --accept-repeated-output`,
      })
    }
  }
  if (same && output.published === from.epoch && output.lost.length > 0) {
    problems.push({
      code: 'OUTPUT_LOST',
      message: `output of epoch ${from.epoch} is lost or may be (sink ${output.lost.join(', ')}), and the state is behind it already: start from an older epoch with --accept-repeated-output, or under another id`,
    })
  }
  return { problems, notes }
}

/** What lies between the state and the newest published epoch. */
function repeated(from: StartPoint, { published, running, subtasks }: OutputStanding): string {
  const who = `job ${from.jobId}`
  const more = running ? `${who} is still running and writes to the same topics` : null
  if (published <= from.epoch) return more ?? `${who} has published nothing behind it`
  const [first, last] = [from.epoch + 1, published]
  const epochs = first === last ? `epoch ${last}` : `epochs ${first} to ${last}`
  const what = `output of ${epochs} of ${who} is published already`
  const read = subtasks === null ? [] : readAgain(from.subtasks, subtasks)
  const wrote = subtasks === null ? [] : writtenAgain(from.subtasks, subtasks)
  const facts = [...wrote, ...(read.length === 0 ? [] : [`read again: ${read.join(', ')}`])]
  return [`${what}${facts.length === 0 ? '' : ` (${facts.join('; ')})`}`, ...(more === null ? [] : [more])].join(
    ', and ',
  )
}

interface Positions {
  readonly partitions?: Readonly<Record<string, { readonly offset: string }>>
}

function readAgain(then: readonly SubtaskSnapshot[], now: readonly SubtaskSnapshot[]): string[] {
  const positions = (of: readonly SubtaskSnapshot[]): Map<string, bigint> => {
    const all = new Map<string, bigint>()
    for (const { sources } of of)
      for (const [uid, state] of Object.entries(sources))
        for (const [split, { offset }] of Object.entries((state as Positions).partitions ?? {}))
          all.set(`${uid}/${split}`, BigInt(offset))
    return all
  }
  const before = positions(then)
  return [...positions(now)].flatMap(([place, offset]) => {
    const at = before.get(place) ?? 0n
    return offset > at ? [`${place} from ${at} to ${offset}`] : []
  })
}

function writtenAgain(then: readonly SubtaskSnapshot[], now: readonly SubtaskSnapshot[]): string[] {
  const counts = new Map<string, number>()
  for (const { subtask, sinks } of now) {
    const before = then.find((s) => s.subtask === subtask)?.sinks ?? {}
    for (const [uid, { sequence }] of Object.entries(sinks))
      counts.set(uid, (counts.get(uid) ?? 0) + sequence - (before[uid]?.sequence ?? 0))
  }
  return [...counts]
    .filter(([, n]) => n > 0)
    .map(([uid, n]) => `${n} transaction${n === 1 ? '' : 's'} of sink "${uid}"`)
}
