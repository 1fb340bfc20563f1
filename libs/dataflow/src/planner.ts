/**
 * From a job's graph to its plan. Pure and deterministic: the client plans to submit, the task-manager plans the same
 * bundle to run, and both must reach the same canonical text.
 *
 *     orders ─ filter ─▶ keyBy ─▶ reduce ─▶ sink            stage 0: orders, filter   → keyBy
 *                             └─▶ window ─▶ sink            stage 1: reduce, sink, window, sink
 *
 * A stage begins at a source or behind a keyBy and ends at sinks and keyBys; what operators with several inputs do is in `stages.ts`.
 * Nothing else moves records between tasks; a keyedBySource stays in its source's stage.
 */
import { WeirError, isJobId } from '@weir/model'
import { checkClaimsFit, checkIdempotent, claimedWindow, claimsHandedOn } from './claim-node.ts'
import { checkAsyncMap, checkCallsFit, checkCallsPerSplit } from './async-map-plan.ts'
import { canonicalJson, plain } from './canonical.ts'
import { checkContinuousScope } from './continuous-scope.ts'
import type {
  ConnectNode,
  ConnectorDescriptor,
  GraphNode,
  JobDefinition,
  KeyedProcessNode,
  LogicalGraph,
  NodeKind,
  SourceNode,
  WithBroadcastNode,
} from './graph.ts'
import type { AuditPlan, DeadLetterPlan, Plan, PlanSummary, Stage } from './plan.ts'
import { takesContext } from './record-context.ts'
import { validateSettings } from './settings.ts'
import { rateLimitOf, rateProblem } from './rate.ts'
import { checkSideOutputs } from './side-output.ts'
import { cutStages, forwarded, type Links } from './stages.ts'
import { plannedStates, statesOf } from './state-schema.ts'
import { unalignedPlanOf } from './unaligned.ts'
import { checkWatermarkMode } from './watermark-mode.ts'
import { checkWindow } from './window.ts'

/** Names in object keys, transactional ids and consumer groups: bounded, and safe in all of them. */
const UID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
/** Rows of its own make the engine, with other characters: `name[key]`, `name.touched`, `@event[]`. */
const STATE_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/
/** A graph somebody wrote by hand is far smaller; a loop that builds one for ever is stopped here. */
export const GRAPH_NODES_MAX = 1_000
/** Farther apart in event time records are not joined. */
const JOIN_BOUND_MS_MAX = 10 * 366 * 86_400_000

/**
 * Throws WeirError, kind `invalid`: `JOB_NAME_INVALID`, `SETTINGS_INVALID`, `WINDOW_INVALID`, `GRAPH_TOO_LARGE`, `GRAPH_UID_INVALID`,
 * `GRAPH_DUPLICATE_UID`, `GRAPH_CYCLE`, `GRAPH_INPUTS`, `GRAPH_NO_SOURCE`, `GRAPH_NO_SINK`, `GRAPH_UNKEYED_STATE`,
 * `GRAPH_KEYED_BY_SOURCE`, `GRAPH_SIDE_OUTPUT`, `CONTINUOUS_SCOPE_REFUSED`, `WATERMARK_MODE_REFUSED`, `GRAPH_NODE_INVALID`, `STATE_SCHEMA_INVALID`, `DEAD_LETTERS_INVALID`,
 * `AUDIT_INVALID`, `CALLS_TOO_LONG`, `CLAIMS_TOO_LONG`, `CLAIMS_WITHOUT_ORIGIN`, `CLAIM_STORE_INVALID`, `UNALIGNED_REFUSED`, `NOT_CANONICAL` (a descriptor that is not plain JSON).
 */
export function planJob(job: JobDefinition): Plan {
  if (!isJobId(job.name)) {
    throw refused('JOB_NAME_INVALID', { name: job.name }, [
      `job name ${JSON.stringify(job.name)}: use 1 to 63 of a-z, 0-9 and "-", beginning with a letter or digit.`,
    ])
  }
  validateSettings(job.settings)
  const { nodes, edges } = job.graph
  checkNodes(nodes)
  const links = checkEdges(job.graph)
  checkEnds(nodes, links)
  const { stages, stageOf } = cutStages(nodes, links)
  checkState(nodes, links, stages, stageOf)
  checkSideOutputs(nodes, links.inputs)
  if (job.settings.commit.scope === 'continuous') checkContinuousScope(nodes)
  checkWatermarkMode(job)
  checkCallsFit(job)
  checkClaimsFit(job)
  const claimed = new Map(
    [...nodes.entries()].flatMap(([i, { kind }]) =>
      kind === 'idempotent' ? [[i, claimedWindow(nodes, links, i)] as const] : [],
    ),
  )

  for (const stage of stages) checkPerSplit(nodes, stage)
  const deadLetters = job.settings.deadLetters && routed(job.settings.deadLetters, nodes, links, stages)
  const audit = job.settings.audit && audited(job, links)
  const unaligned = unalignedPlanOf(job, stages)
  const forwards = forwarded(stages)
  const summary: PlanSummary = {
    version: 1,
    name: job.name,
    settings: job.settings,
    nodes: nodes.map((node, i) => {
      const states = plannedStates(node)
      const { uid, kind } = node
      return { uid, kind, config: configOf(node), stage: stageOf[i]!, ...(states.length > 0 && { states }) }
    }),
    edges,
    stages: stages.length,
    ...(forwards > 0 && { forwarded: forwards }),
    sources: nodes.filter((node) => node.kind === 'source').map((node) => node.uid),
    sinks: nodes.filter((node) => node.kind === 'sink').map((node) => node.uid),
  }
  const carries = carriedBy(job)
  const retries = job.settings.deadLetters !== null && nodes.some((n) => n.kind === 'keyedProcess' && n.passes === true)
  return {
    job,
    stages,
    deadLetters,
    audit,
    carries,
    retries,
    claimed,
    unaligned,
    summary,
    canonical: canonicalJson(summary),
  }
}

/** The part of a job's plan that is sent and hashed. Throws as `planJob` does. */
export const planSummaryOf = (job: JobDefinition): PlanSummary => planJob(job).summary

function checkNodes(nodes: readonly GraphNode[]): void {
  if (nodes.length > GRAPH_NODES_MAX) {
    throw refused('GRAPH_TOO_LARGE', { nodes: nodes.length, bound: GRAPH_NODES_MAX }, [
      `the graph has ${nodes.length} nodes, more than ${GRAPH_NODES_MAX}: is a stream built in a loop?`,
    ])
  }
  const seen = new Map<string, number>()
  for (const [i, node] of nodes.entries()) {
    if (!UID.test(node.uid)) {
      throw refused('GRAPH_UID_INVALID', { uid: node.uid }, [
        `uid ${JSON.stringify(node.uid)} of a ${node.kind}: use 1 to 63 of A-Z, a-z, 0-9, ".", "_", "-", beginning with a`,
        'letter or digit.',
      ])
    }
    const other = seen.get(node.uid)
    if (other !== undefined) {
      throw refused('GRAPH_DUPLICATE_UID', { uid: node.uid, kinds: [nodes[other]!.kind, node.kind] }, [
        `two operators are called "${node.uid}" (a ${nodes[other]!.kind} and a ${node.kind}). State and transactions`,
        'are found again by uid: give one of them another uid.',
      ])
    }
    seen.set(node.uid, i)
    checkNode(node)
  }
}

function checkNode(node: GraphNode): void {
  const invalid = (text: string): WeirError =>
    refused('GRAPH_NODE_INVALID', { uid: node.uid, kind: node.kind }, [`${node.kind} "${node.uid}": ${text}`])
  if (node.kind === 'window') checkWindow(node)
  if (node.kind === 'keyedProcess' || node.kind === 'connect' || node.kind === 'withBroadcast')
    checkKeyedProcess(node, invalid)
  if (node.kind === 'connect') checkJoin(node, invalid)
  if (node.kind === 'asyncMap') checkAsyncMap(node, invalid)
  if (node.kind === 'idempotent') checkIdempotent(node, invalid)
  if (node.kind === 'source') {
    if (!(Number.isSafeInteger(node.outOfOrderMs) && node.outOfOrderMs >= 0)) {
      throw invalid(`outOfOrderMs is ${node.outOfOrderMs}; it must be a whole number of milliseconds, 0 or more.`)
    }
    checkSourceTime(node, invalid)
    const problem = rateProblem(rateLimitOf(node))
    if (problem !== null) throw invalid(problem)
  }
  for (const { name: state, schema } of statesOf(node)) {
    if (schema === null) continue
    const { name, since } = schema
    if (!UID.test(name) || !(Number.isSafeInteger(since) && since > 0)) {
      throw refused('STATE_SCHEMA_INVALID', { uid: node.uid, state, name, since }, [
        `the schema of state "${state}" of ${node.kind} "${node.uid}" is called ${JSON.stringify(name)} and begins at version ${since}: use 1 to 63 of`,
        'A-Z, a-z, 0-9, ".", "_", "-" for its name and a whole number above 0 for its first version.',
      ])
    }
  }
}

/** Shorter, a poll that waits for its server would make a split idle. */
const IDLE_AFTER_MS_MIN = 100

function checkSourceTime(node: SourceNode, invalid: (text: string) => WeirError): void {
  const { idleAfterMs: idle = null, alignWithinMs: align = null, alignGroup: group = null } = node
  if (idle !== null && !(Number.isFinite(idle) && idle >= IDLE_AFTER_MS_MIN)) {
    throw invalid(`idleAfter is ${idle} ms; it must be ${IDLE_AFTER_MS_MIN} ms or more.`)
  }
  if (align !== null && !(Number.isFinite(align) && align > 0)) {
    throw invalid(`alignWithin is ${align} ms; it must be above 0.`)
  }
  if (group !== null && (align === null || typeof group !== 'string' || group === '')) {
    throw invalid(
      `alignGroup is ${JSON.stringify(group)}; it is the name of sources that wait for each other, and says nothing without alignWithin.`,
    )
  }
}

function checkKeyedProcess(
  node: KeyedProcessNode | ConnectNode | WithBroadcastNode,
  invalid: (text: string) => WeirError,
): void {
  const broadcast = node.kind === 'withBroadcast' ? node.broadcast : {}
  for (const name of Object.keys({ ...node.state, ...node.timers, ...broadcast })) {
    if (!STATE_NAME.test(name)) {
      throw invalid(
        `"${name}" names a state or timer; use 1 to 63 of A-Z, a-z, 0-9, "_", "-", beginning with a letter.`,
      )
    }
  }
  for (const [name, { ttl }] of Object.entries(node.state)) {
    if (ttl !== null && !(Number.isSafeInteger(ttl.ms) && ttl.ms > 0)) {
      throw invalid(`the ttl of state "${name}" is ${ttl.ms} ms; it must be a whole number above 0.`)
    }
  }
  if (Object.keys(node.timers).length > 0 && node.onTimer === null) {
    throw invalid('it has timers and no onTimer: nobody would hear them.')
  }
}

function checkJoin({ of }: ConnectNode, invalid: (text: string) => WeirError): void {
  if (of.type === 'interval-join') {
    const { lowerMs, upperMs } = of
    if (![lowerMs, upperMs].every((ms) => Number.isSafeInteger(ms) && Math.abs(ms) <= JOIN_BOUND_MS_MAX))
      throw invalid(`its bounds are ${lowerMs} and ${upperMs} ms; each must be a whole number of at most 10 years.`)
    if (lowerMs > upperMs) throw invalid(`its lower bound, ${lowerMs} ms, is above the upper one, ${upperMs} ms.`)
  }
  if (of.type === 'window-join') {
    const { sizeMs, slideMs } = of.window
    if (![sizeMs, slideMs].every((ms) => Number.isSafeInteger(ms) && ms > 0))
      throw invalid(`its window's size is ${sizeMs} ms, its slide ${slideMs} ms; both must be whole numbers above 0.`)
  }
}

function checkEdges({ nodes, edges }: LogicalGraph): Links {
  const inputs: number[][] = nodes.map(() => [])
  const outputs: number[][] = nodes.map(() => [])
  for (const [from, to] of edges) {
    if (nodes[from] === undefined || nodes[to] === undefined) {
      throw refused('GRAPH_INPUTS', { from, to }, [`an edge [${from}, ${to}] names a node that does not exist.`])
    }
    if (from >= to) {
      throw refused('GRAPH_CYCLE', { from: nodes[from].uid, to: nodes[to].uid }, [
        `"${nodes[from].uid}" leads back to "${nodes[to].uid}": records would go round for ever. A graph has no cycles;`,
        'write to a topic and read it in another job instead.',
      ])
    }
    outputs[from]!.push(to)
    inputs[to]!.push(from)
  }
  for (const [i, node] of nodes.entries()) {
    const { length } = inputs[i]!
    const expected = node.kind === 'source' ? 0 : TWO_INPUTS.has(node.kind) ? 2 : 1
    if (node.kind === 'union' ? length < expected : length !== expected) {
      throw refused('GRAPH_INPUTS', { uid: node.uid, kind: node.kind, inputs: length, expected }, [
        `${node.kind} "${node.uid}" has ${length} inputs, expected ${expected}: a source has none, a union two or more,`,
        'a connect or join two, everything else exactly one. Put a union in front of it.',
      ])
    }
    if (node.kind === 'withBroadcast')
      checkBroadcast(
        node,
        inputs[i]!.map((input) => nodes[input]!),
      )
    else if (inputs[i]!.some((input) => nodes[input]!.kind === 'broadcast')) {
      throw refused('GRAPH_INPUTS', { uid: node.uid, kind: node.kind }, [
        `${node.kind} "${node.uid}" is behind a broadcast; only a stream that is connected with it can be:`,
        'stream.connect(rules.broadcast()).',
      ])
    }
    if (node.kind === 'connect')
      checkOperands(
        node,
        inputs[i]!.map((input) => nodes[input]!),
      )
  }
  return { inputs, outputs }
}

/** Two or more, of a union. */
const TWO_INPUTS: ReadonlySet<NodeKind> = new Set(['union', 'connect', 'withBroadcast'])

/** Both streams must come to where the key lives. */
function checkOperands({ uid }: ConnectNode, operands: readonly GraphNode[]): void {
  for (const { kind, uid: operand } of operands) {
    if (kind === 'keyBy') continue
    const code = kind === 'keyedBySource' ? 'GRAPH_KEYED_BY_SOURCE' : 'GRAPH_UNKEYED_STATE'
    throw refused(code, { uid, operand, kind }, [
      `connect or join "${uid}" has the ${kind} "${operand}" for an input; both must be a keyBy, which brings equal keys to one`,
      'place: write .keyBy(…) there.',
    ])
  }
}

function checkBroadcast({ uid, state, timers }: WithBroadcastNode, [stream, told]: readonly GraphNode[]): void {
  const { kind } = stream!
  if (told!.kind !== 'broadcast' || kind === 'broadcast') {
    throw refused('GRAPH_INPUTS', { uid, kinds: [kind, told!.kind] }, [
      `"${uid}" must have a stream and a broadcast for its inputs, in this order: stream.connect(rules.broadcast()).`,
    ])
  }
  if (kind === 'keyedBySource') {
    throw refused('GRAPH_KEYED_BY_SOURCE', { uid, kind }, [
      `"${uid}" keeps its state by key and keyedBySource "${stream!.uid}" by partition: write .keyBy(…) there.`,
    ])
  }
  if (kind !== 'keyBy' && Object.keys({ ...state, ...timers }).length > 0) {
    throw refused('GRAPH_UNKEYED_STATE', { uid, kind }, [
      `"${uid}" has state or timers by key and no keyBy comes right before it: write .keyBy(…).connect(…).`,
    ])
  }
}

function checkEnds(nodes: readonly GraphNode[], links: Links): void {
  if (!nodes.some((node) => node.kind === 'source')) {
    throw refused('GRAPH_NO_SOURCE', {}, ['the job reads nothing: begin with flow.from(…).'])
  }
  if (!nodes.some((node) => node.kind === 'sink')) {
    throw refused('GRAPH_NO_SINK', {}, ['the job writes nothing: end a stream with .to(…).'])
  }
  for (const [i, node] of nodes.entries()) {
    const leads = links.outputs[i]!.length > 0
    if (node.kind === 'sink' && leads) {
      throw refused('GRAPH_INPUTS', { uid: node.uid }, [`sink "${node.uid}" has an output; a sink is an end.`])
    }
    if (node.kind !== 'sink' && !leads) {
      throw refused('GRAPH_NO_SINK', { uid: node.uid, kind: node.kind }, [
        `${node.kind} "${node.uid}" leads nowhere: end it with .to(…), or remove it.`,
      ])
    }
  }
}

function checkState(
  nodes: readonly GraphNode[],
  links: Links,
  stages: readonly Stage[],
  stageOf: readonly number[],
): void {
  const keyed: boolean[] = []
  for (const [i, node] of nodes.entries()) {
    const input = links.inputs[i]![0]
    const before = input !== undefined && keyed[input]!
    // What a custom operator or a union emits may be of many records: it is not keyed.
    const passesKeys = node.kind !== 'resumable' && node.kind !== 'union'
    keyed[i] = node.kind === 'keyBy' || node.kind === 'keyedBySource' || (before && passesKeys)
    if (node.kind === 'keyedBySource' && stages[stageOf[i]!]!.inputs.length > 0) {
      throw refused('GRAPH_KEYED_BY_SOURCE', { uid: node.uid }, [
        `keyedBySource "${node.uid}" comes behind a keyBy or a union of several sources, which have taken the records away from`,
        'their partition: write .keyBy(…) here, or move the keyedBySource before it.',
      ])
    }
    if (['reduce', 'window', 'keyedProcess'].includes(node.kind) && !keyed[i]) {
      throw refused('GRAPH_UNKEYED_STATE', { uid: node.uid, kind: node.kind }, [
        `${node.kind} "${node.uid}" keeps state by key and no keyBy comes before it: write .keyBy(…) first, or .keyedBySource(…).`,
      ])
    }
  }
}

/** Does user code see where its records were read? Then batches carry it, which costs something on every record. */
function asksForOrigins(node: GraphNode): boolean {
  switch (node.kind) {
    case 'asyncMap':
    case 'idempotent':
      return true
    case 'filter':
      return takesContext(node.test)
    case 'map':
      return takesContext(node.map)
    case 'flatMap':
      return takesContext(node.flatMap)
    case 'keyedProcess':
    case 'resumable':
    case 'sink':
      return node.origins === true
    default:
      return false
  }
}

/** Where state is kept per split, every operator is there once per split; one with state of its own is there once. */
function checkPerSplit(nodes: readonly GraphNode[], stage: Stage): void {
  const inStage = stage.nodes.map((i) => nodes[i]!)
  checkCallsPerSplit(inStage)
  const [own, perSplit] = [inStage.find((n) => n.kind === 'resumable'), inStage.find((n) => n.kind === 'keyedBySource')]
  if (own === undefined || perSplit === undefined) return
  throw refused('GRAPH_KEYED_BY_SOURCE', { uid: own.uid, keyedBySource: perSplit.uid }, [
    `operator "${own.uid}" has one state for all partitions of its subtask, and keyedBySource "${perSplit.uid}" keeps`,
    'everything of its stage per partition: write .keyBy(…) there, or make two jobs of it.',
  ])
}

/** Connectors whose sinks can write to other topics in the same transaction. */
const LOGS: ReadonlySet<string> = new Set(['kafka', 'log'])

/** A receipt is in the transaction it speaks of, so every sink must be able to write it. */
function audited({ settings, graph: { nodes } }: JobDefinition, { inputs }: Links): AuditPlan {
  const { connector, topic } = settings.audit!
  const invalid = (text: string): WeirError =>
    refused('AUDIT_INVALID', { connector, topic }, [`receipts to "${String(topic)}": ${text}`])
  if (!LOGS.has(connector))
    throw invalid(`${connector} keeps none: receipts go to a topic, and every sink must write to its log.`)
  if (typeof topic !== 'string' || topic === '') throw invalid('name a topic, e.g. kafka.sink("orders.receipts").')
  if (settings.commit.scope === 'continuous') {
    throw invalid('the commit scope "continuous" writes none yet: use the scope "epoch".')
  }
  if (settings.deadLetters?.connector === connector && settings.deadLetters['topic'] === topic) {
    throw invalid('dead letters go to this topic too; give receipts one of their own.')
  }
  for (const { kind, uid, descriptor } of nodes.filter((node) => node.kind === 'source' || node.kind === 'sink')) {
    if (kind === 'sink' && descriptor.connector !== connector) {
      throw invalid(`sink "${uid}" writes to ${descriptor.connector}, and a transaction does not reach from there.`)
    }
    if (descriptor.connector === connector && descriptor['topic'] === topic) {
      throw invalid(`${kind} "${uid}" uses this topic too; give receipts one of their own.`)
    }
  }
  const sources: (readonly number[])[] = []
  for (const [i, from] of inputs.entries())
    sources[i] = from.length === 0 ? [i] : [...new Set(from.flatMap((input) => sources[input]!))]
  const sinks = [...nodes.keys()].filter((i) => nodes[i]!.kind === 'sink')
  return { topic, sources: new Map(sinks.map((i) => [i, sources[i]!])) }
}

function carriedBy({ settings, graph }: JobDefinition): Plan['carries'] {
  if (settings.traceContext === true) return 'traces'
  const asked = settings.deadLetters !== null || graph.nodes.some(asksForOrigins)
  return asked ? 'origins' : 'nothing'
}

/** Kinds whose outputs are not one to one with single records. */
const MANY_TO_MANY: ReadonlySet<NodeKind> = new Set([
  'flatMap',
  'reduce',
  'window',
  'resumable',
  'keyedProcess',
  'connect',
  'withBroadcast',
])

/** Dead letters travel in a transaction of a sink of their connector, so every stage must lead to one. */
function routed(
  { connector, topic }: ConnectorDescriptor,
  nodes: readonly GraphNode[],
  { inputs, outputs }: Links,
  stages: readonly Stage[],
): DeadLetterPlan {
  const invalid = (text: string): WeirError =>
    refused('DEAD_LETTERS_INVALID', { connector, topic }, [`dead letters to "${String(topic)}": ${text}`])
  if (typeof topic !== 'string' || topic === '') throw invalid('name a topic, e.g. kafka.sink("orders.dead").')
  for (const node of nodes) {
    if (node.kind !== 'source' && node.kind !== 'sink') continue
    if (node.descriptor.connector === connector && node.descriptor['topic'] === topic) {
      throw invalid(`${node.kind} "${node.uid}" uses this topic too; give dead letters one of their own.`)
    }
  }
  const routes: ({ sink: number } | { output: number } | null)[] = []
  for (const stage of stages.toReversed()) {
    const sink = stage.nodes.find((i) => {
      const node = nodes[i]!
      return node.kind === 'sink' && node.descriptor.connector === connector
    })
    const output = stage.outputs.findIndex((o) => routes[o.stage] !== null)
    routes[stage.index] = sink !== undefined ? { sink } : output >= 0 ? { output } : null
  }
  const found = routes.map((route, i) => {
    if (route !== null) return route
    throw invalid(
      `no sink behind "${nodes[stages[i]!.head]!.uid}" writes to ${connector}, so there is no transaction they could ` +
        'travel in. Name a topic where a sink writes to; of a job that writes to no log, put what it cannot process into a side ' +
        'output, and that into a sink.',
    )
  })
  const isFilter = (node: GraphNode): boolean => node.kind === 'keyedProcess' && node.passes === true
  // What is let through goes one way; what is not is another record.
  const waysFrom = (input: number): number =>
    outputs[input]!.filter(
      (to) => nodes[to]!.kind !== 'sideOutput' || !(isFilter(nodes[input]!) || nodes[input]!.kind === 'idempotent'),
    ).length
  // Stateless, one to one and with one way only from the source on.
  const whole: boolean[] = []
  for (const [i, node] of nodes.entries()) {
    const passes = (input: number): boolean => {
      const { kind } = nodes[input]!
      const isOne = !MANY_TO_MANY.has(kind) || isFilter(nodes[input]!)
      return whole[input]! && waysFrom(input) === 1 && isOne
    }
    whole[i] = node.kind === 'source' ? typeof node.descriptor['topic'] === 'string' : inputs[i]!.every(passes)
  }
  return { topic, routes: found, whole, handsOn: claimsHandedOn(nodes, { inputs, outputs }) }
}

/** A node's plain data: what is shown, and what two builds of a job must have in common. Functions are not in it. */
function configOf(node: GraphNode): unknown {
  switch (node.kind) {
    case 'source':
      return {
        descriptor: node.descriptor,
        decodes: node.decode !== null,
        ownTimestamp: node.timestamp !== null,
        outOfOrderMs: node.outOfOrderMs,
        // Named where they are there: jobs without them keep their hash.
        ...(node.watermarks && { watermarks: { initial: plain(node.watermarks.initial) } }),
        ...(node.idleAfterMs && { idleAfterMs: node.idleAfterMs }),
        ...(node.alignWithinMs && { alignWithinMs: node.alignWithinMs }),
        ...(node.alignGroup && { alignGroup: node.alignGroup }),
        recordsPerSecond: node.recordsPerSecond,
        ...(node.minRecordsPerSecond && { minRecordsPerSecond: node.minRecordsPerSecond }),
      }
    case 'filter':
    case 'map':
    case 'flatMap':
    case 'union':
    case 'broadcast':
    case 'keyBy':
    case 'keyedBySource':
      return {}
    case 'resumable':
      return { ...(node.sides && { sides: node.sides }), ...(node.origins && { origins: true }) }
    case 'sideOutput':
      return { side: node.side }
    case 'asyncMap': {
      const { mode, capacity, timeoutMs, retries, backoffMs, backoffMsMax, onFailure } = node
      return { mode, capacity, timeoutMs, retries, backoffMs, backoffMsMax, onFailure }
    }
    case 'idempotent': {
      const { claims, windowMs, ttlMs, rewindMs, onConflict, onUnavailable, sides } = node
      return { claims, windowMs, ttlMs, rewindMs, onConflict, onUnavailable, sides }
    }
    case 'reduce':
      return { initial: plain(node.initial) }
    case 'window':
      return {
        ...{ window: node.window, aggregate: node.aggregateName, initial: plain(node.aggregate.initial) },
        ...(node.trigger && { trigger: node.trigger }),
        ...(node.allowedLatenessMs && { allowedLatenessMs: node.allowedLatenessMs }),
      }
    case 'keyedProcess':
      return { ...keptOf(node), ...(node.origins && { origins: true }) }
    case 'connect':
      return node.of.type === 'process' ? { of: node.of, ...keptOf(node) } : { of: node.of }
    case 'withBroadcast':
      return { ...keptOf(node), broadcast: Object.keys(node.broadcast) }
    case 'sink':
      return { descriptor: node.descriptor }
  }
}

const keptOf = ({
  state,
  timers,
  onTimer,
  sides,
}: KeyedProcessNode | ConnectNode | WithBroadcastNode): Record<string, unknown> => ({
  state: Object.entries(state).map(([name, of]) => {
    const initial = of.kind === 'value' || of.kind === 'aggregating' ? plain(of.initial) : null
    return { name, kind: of.kind, ttl: of.ttl, initial }
  }),
  timers,
  onTimer: onTimer !== null,
  ...(sides && { sides }),
})

const refused = (code: string, facts: Record<string, unknown>, text: readonly string[]): WeirError =>
  new WeirError({ ...facts, code, kind: 'invalid' }, text.join(' '))
