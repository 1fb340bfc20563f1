/**
 * May a job be started from this savepoint or epoch, and with what? Pure: two plans and what is known of the output go in, a
 * refusal with every reason, or the state of the first epoch comes out.
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
import { ended, withKeys, type SinkSnapshot, type StoredSegment, type SubtaskSnapshot } from '@weir/checkpoint'
import type { ConnectorDescriptor, PlanSummary } from '@weir/dataflow'
import { WeirError, type Digest, type Epoch, type JobId } from '@weir/model'
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
export const NOTHING_ACCEPTED: Accepted = { droppedState: [], repeatedOutput: false }

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
  const problems: StartProblem[] = []
  const notes: string[] = []
  const dropped = [...gone(from, to)]
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
  problems.push(...changed(from.plan, to.plan))
  const schemas = judgeSchemas(from.subtasks, from.plan, to.plan)
  problems.push(...schemas.problems)
  notes.push(...schemas.notes)
  for (const what of dropped) {
    if (accepted.droppedState.some((name) => name === what || what.startsWith(`${name}/`))) {
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
  for (const name of accepted.droppedState) {
    if (dropped.some((what) => what === name || what.startsWith(`${name}/`))) continue
    problems.push({
      code: 'STATE_NOT_DROPPED',
      uid: name,
      message: `--allow-dropped-state ${name}: ${from.label} has no such state, or the job still has it`,
    })
  }
  if (from.subtasks.some(({ inFlight = [] }) => inFlight.length > 0) && shapeOf(from.plan) !== shapeOf(to.plan)) {
    problems.push({
      code: 'IN_FLIGHT_RECORDS',
      message: `${from.label} holds records in flight between operators, and the graph has changed: stop the job with a savepoint ("weir stop"), whose barriers are aligned, and start from that`,
    })
  }
  problems.push(...scopeProblems(from, to, output))
  const same = from.jobId === to.jobId
  const repeats = output !== null && (same || sharesTopic(from.plan, to.plan))
  if (repeats && (output.published > from.epoch || output.running)) {
    const said = repeated(from, output)
    if (accepted.repeatedOutput) notes.push(`${said}; it will be there twice`)
    else {
      problems.push({
        code: 'OUTPUT_REPEATED',
        message: `${said}: started from here, the job would write it again. Start from ${output.running ? 'a savepoint that the job has stopped with (`weir stop`)' : `epoch ${output.published}`}, ${same ? '' : 'write to other topics, '}or accept it with --accept-repeated-output`,
      })
    }
  }
  if (same && output !== null && output.published === from.epoch && output.lost.length > 0) {
    problems.push({
      code: 'OUTPUT_LOST',
      message: `output of epoch ${from.epoch} is lost or may be (sink ${output.lost.join(', ')}), and the state is behind it already: start from an older epoch with --accept-repeated-output, or under another id`,
    })
  }
  if (problems.length > 0) {
    throw new WeirError(
      { code: 'START_REFUSED', kind: 'invalid', jobId: to.jobId, from: from.label, problems },
      `job ${to.jobId} cannot be started from ${from.label}:\n${problems.map(({ message }) => `- ${message}`).join('\n')}`,
    )
  }
  notes.push(...fresh(from.plan, to.plan))
  return { notes, dropped }
}

// ---- graphs ---------------------------------------------------------------------------------------------------------

type Node = PlanSummary['nodes'][number]

const find = (plan: PlanSummary, uid: string): Node | undefined => plan.nodes.find((node) => node.uid === uid)
/** Names of the states a node keeps by key. */
const statesOf = (node: Node): readonly string[] => (node.states ?? []).map(({ name }) => name)
/** Of a stage. */
const headOf = (plan: PlanSummary, stage: number): Node | undefined => {
  const there = plan.nodes.filter((node) => node.stage === stage)
  return (
    there.find(({ kind }) => kind === 'source' || kind === 'keyBy') ??
    there.find(({ kind }) => ['union', 'connect', 'withBroadcast'].includes(kind))
  )
}
/** What makes the place a source reads, or a sink writes, another one: a stored position means nothing there. */
const PLACE = ['topic', 'folder', 'url', 'table', 'slot'] as const
/** `kafka topic "orders"`, `postgres url "env:DB", slot "weir"`. */
function placeOf(node: Node): string {
  const { descriptor } = node.config as { readonly descriptor: ConnectorDescriptor }
  const named = PLACE.filter((name) => descriptor[name] !== undefined)
  return `${descriptor.connector} ${named.map((name) => `${name} ${JSON.stringify(descriptor[name])}`).join(', ')}`.trim()
}

/** Positions and states that nobody takes over. What has become another thing under its uid is told by `changed`. */
function* gone(from: StartPoint, to: StartTarget): Generator<string> {
  for (const node of from.plan.nodes) {
    const now = find(to.plan, node.uid)
    if (now === undefined) {
      if (node.kind === 'source' || statesOf(node).length > 0) yield node.uid
    } else if (now.kind === node.kind) {
      const kept = statesOf(now)
      for (const name of statesOf(node)) if (!kept.includes(name)) yield `${node.uid}/${name}`
    }
  }
}

function nameOf(what: string, plan: PlanSummary): { readonly uid: string; readonly is: string } {
  const [uid = what, state] = what.split('/')
  const kind = find(plan, uid)?.kind ?? 'operator'
  if (kind === 'source') return { uid, is: `source "${uid}", whose position is stored,` }
  return { uid, is: `state ${state === undefined ? '' : `"${state}" `}of ${kind} "${uid}"` }
}

/** Same uid, and another thing. */
function* changed(before: PlanSummary, now: PlanSummary): Generator<StartProblem> {
  for (const old of before.nodes) {
    const node = find(now, old.uid)
    if (node === undefined) continue
    const keeps = old.kind === 'source' || statesOf(old).length > 0
    const { uid } = old
    const another = `give it another uid, and drop the old state with --allow-dropped-state ${uid}`
    if (node.kind !== old.kind) {
      if (!keeps) continue
      yield {
        code: 'OPERATOR_CHANGED',
        uid,
        message: `"${uid}" is a ${node.kind} and was a ${old.kind} when its state was stored: ${another}`,
      }
      continue
    }
    if (old.kind === 'source') {
      const [was, is] = [placeOf(old), placeOf(node)]
      if (was !== is) {
        yield {
          code: 'SOURCE_CHANGED',
          uid,
          message: `source "${uid}" reads ${is}, its stored position is in ${was}: ${another}`,
        }
      }
      continue
    }
    if (!keeps) continue
    const [was, is] = [windowOf(old), windowOf(node)]
    if (was !== is) {
      yield {
        code: 'OPERATOR_CHANGED',
        uid,
        message: `${node.kind} "${uid}" is ${is} and was ${was} when its state was stored: ${another}`,
      }
    }
    const [keyedThen, keyedNow] = [keyedBy(before, old), keyedBy(now, node)]
    if (keyedThen !== keyedNow) {
      yield {
        code: 'OPERATOR_CHANGED',
        uid,
        message: `state of "${uid}" is kept ${keyedNow} and was stored ${keyedThen}: ${another}`,
      }
    }
  }
}

function windowOf({ kind, config }: Node): string | null {
  if (kind === 'connect') return JSON.stringify((config as { readonly of: object }).of)
  if (kind !== 'window') return null
  const { window, aggregate } = config as { readonly window: object; readonly aggregate: string }
  return `${JSON.stringify(window)} ${aggregate}`
}

/** Where state is keyed by its source, a split is the key group. */
function keyedBy(plan: PlanSummary, node: Node): string {
  const head = headOf(plan, node.stage)
  return head?.kind === 'source' ? `by the splits of "${head.uid}"` : 'by key'
}

/** Between which operators records are on their way. */
const shapeOf = ({ nodes, edges }: PlanSummary): string =>
  JSON.stringify([nodes.map(({ uid, kind, stage }) => [uid, kind, stage]), edges])

function* fresh(before: PlanSummary, now: PlanSummary): Generator<string> {
  for (const node of now.nodes) {
    const old = find(before, node.uid)
    if (old?.kind === node.kind) {
      if (node.kind === 'sink' && placeOf(old) !== placeOf(node))
        yield `sink "${node.uid}" writes to ${placeOf(node)} from here on, and wrote to ${placeOf(old)}`
      continue
    }
    if (node.kind === 'source') yield `source "${node.uid}" is new: it begins where it is configured to`
    if (statesOf(node).length > 0) yield `${node.kind} "${node.uid}" is new: it begins with empty state`
  }
}

const sharesTopic = (before: PlanSummary, now: PlanSummary): boolean => {
  const places = new Set(before.nodes.filter(({ kind }) => kind === 'sink').map(placeOf))
  return now.nodes.some((node) => node.kind === 'sink' && places.has(placeOf(node)))
}

// ---- output ---------------------------------------------------------------------------------------------------------

/**
 * In the continuous scope the output is ahead of a checkpoint, and the state in between is rebuilt by the same build from
 * the offsets committed under the same id; only where the job has stopped do they stand together (PROTOCOL A18).
 */
function* scopeProblems(from: StartPoint, to: StartTarget, output: OutputStanding | null): Generator<StartProblem> {
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

// ---- the first epoch ------------------------------------------------------------------------------------------------

interface StageSegments {
  readonly stage: number
  readonly chain: readonly StoredSegment[]
}

/**
 * The state of the first epoch, for the stages and sinks of the new graph.
 * @param keyOf where a segment lies now
 */
export function startingSubtasks(
  from: StartPoint,
  to: StartTarget,
  { dropped }: Pick<Start, 'dropped'>,
  output: OutputStanding | null,
  keyOf: (key: string) => string,
): readonly SubtaskSnapshot[] {
  const own = { running: false, published: from.epoch, subtasks: from.subtasks, lost: [] }
  const takenOver = from.jobId !== to.jobId && to.plan.settings.commit.scope === 'continuous'
  const newest = from.jobId === to.jobId ? (output ?? own) : null
  const sinks = newest === null ? new Map<number, never>() : sinksOf(from, newest)
  return from.subtasks.map(({ retired: _retired, ...subtask }) => {
    const inCare = [...sinks].filter(([k]) => k >= from.parallelism && k % from.parallelism === subtask.subtask)
    return {
      ...withKeys({ ...subtask, segments: segmentsFor(subtask, from.plan, to.plan, dropped) }, keyOf),
      sources: Object.fromEntries(
        Object.entries(subtask.sources)
          .filter(([uid]) => find(to.plan, uid)?.kind === 'source')
          .map(([uid, state]) => [uid, takenOver ? { ...(state as object), takenOver } : state]),
      ),
      sinks: sinks.get(subtask.subtask) ?? {},
      watermarks: watermarksFor(subtask, from.plan, to.plan),
      ...(inCare.length > 0 && { retired: Object.fromEntries(inCare) }),
    }
  })
}

/** A stage takes every chain that has state of its operators, without that of others. */
function segmentsFor(
  { segments }: SubtaskSnapshot,
  before: PlanSummary,
  now: PlanSummary,
  dropped: readonly string[],
): readonly StageSegments[] {
  const kept = before.nodes.filter((node) => statesOf(node).length > 0)
  const stages = Array.from({ length: now.stages }, (_, stage) => {
    const chain = (segments as readonly StageSegments[]).flatMap((old) => {
      const there = kept.filter((node) => node.stage === old.stage)
      const taken = there.filter((node) => {
        const is = find(now, node.uid)
        return is?.stage === stage && is.kind === node.kind
      })
      if (taken.length === 0) return []
      const without = [
        ...there.filter((node) => !taken.includes(node)).map(({ uid }) => uid),
        ...dropped.filter((what) => taken.some(({ uid }) => what.startsWith(`${uid}/`))),
      ]
      return without.length === 0 ? old.chain : old.chain.map((segment) => excluding(segment, without))
    })
    return { stage, chain }
  })
  return stages.filter(({ chain }) => chain.length > 0)
}

/** Until it is folded into another one, the segment says whose rows in it count for nothing. */
function excluding(segment: StoredSegment & { readonly without?: readonly string[] }, more: readonly string[]) {
  return { ...segment, without: [...new Set([...(segment.without ?? []), ...more])] }
}

/**
 * Of every subtask there is, or was when the job was wider: ended and proven, so without handles. The sequence only grows,
 * whatever epoch the state is of (PROTOCOL A10).
 */
function sinksOf(
  from: StartPoint,
  newest: OutputStanding,
): ReadonlyMap<number, Readonly<Record<string, SinkSnapshot>>> {
  const known = newest.subtasks ?? from.subtasks
  // At most one transaction per epoch: what cannot be read is not above this.
  const add = newest.subtasks === null ? newest.published - from.epoch : 0
  const own = known.map(({ subtask, sinks }) => [subtask, sinks] as const)
  const retired = known.flatMap((of) =>
    Object.entries(of.retired ?? {}).map(([k, sinks]) => [Number(k), sinks] as const),
  )
  return new Map(
    [...retired, ...own].map(([subtask, sinks]) => {
      const raised = Object.entries(ended(sinks)).map(([uid, sink]) => [
        uid,
        { ...sink, sequence: sink.sequence + add },
      ])
      return [subtask, Object.fromEntries(raised) as Record<string, SinkSnapshot>]
    }),
  )
}

/** Of a stage by the uid of its head; of splits by that of their source. */
function watermarksFor({ watermarks }: SubtaskSnapshot, before: PlanSummary, now: PlanSummary): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [place, watermark] of Object.entries(watermarks)) {
    const [, index] = /^stage-(\d+)$/.exec(place) ?? []
    if (index === undefined) {
      found[place] = watermark
      continue
    }
    const head = headOf(before, Number(index))?.uid
    const stage = head === undefined ? undefined : find(now, head)?.stage
    if (stage !== undefined && headOf(now, stage)?.uid === head) found[`stage-${stage}`] = watermark
  }
  return found
}
