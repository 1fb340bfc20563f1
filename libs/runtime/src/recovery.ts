/** A slice is brought to the restored epoch: its sinks, its state, its sources. Nothing flows yet. */
import type { InFlightRef, SubtaskSnapshot } from '@weir/checkpoint'
import {
  DegradeSwitch,
  Resumable,
  SplitWatermarks,
  operatorGroups,
  statesOf,
  type HandleProof,
  type LogSourceState,
  type Poison,
  type RestoreContext,
  type SegmentRef,
  type SinkState,
  type SourceNode,
  type SourceReader,
  type SourceState,
  type StateStore,
} from '@weir/dataflow'
import { WATERMARK_MIN, assert, epoch as epochOf, type Subtask } from '@weir/model'
import { asidesOf } from './asides.ts'
import { startContinuous } from './continuous.ts'
import { decodeFlight } from './flight.ts'
import { elementsInFlight } from './restored-flight.ts'
import type { RetiredSinks } from './retired-sinks.ts'
import type { SliceScope } from './slice-scope.ts'
import { timingOf } from './split-timing.ts'
import { makeStageRun, type StageRun } from './stage-run.ts'

/** How `SubtaskSnapshot.segments` is used: the chain of each stateful stage. */
export interface StageSegments {
  readonly stage: number
  readonly chain: readonly SegmentRef[]
}

/** What a sink found out about a transaction that was open or prepared. */
export interface SinkProof {
  readonly sink: string
  readonly subtask: Subtask
  readonly proof: HandleProof
}

/** Sinks go first: a lost or unknown transaction must be found before anything else is touched. */
export async function recoverSlice(
  scope: SliceScope,
  snapshot: SubtaskSnapshot | null,
  poison: Poison,
): Promise<readonly SinkProof[]> {
  scope.recordsIn = scope.recordsBefore = snapshot?.recordsIn ?? 0
  scope.poison = poison
  scope.degradeSwitch = new DegradeSwitch(snapshot?.degraded ?? false)
  for (const stage of scope.options.plan.stages) scope.stages.push(makeStageRun(scope, stage))
  const { subtask } = scope.options
  const proofs: SinkProof[] = []
  const retired = recoverRetired(scope, snapshot)
  await Promise.all([
    retired,
    ...scope.stages.flatMap((run) => [
      recoverContinuous(scope, run),
      ...run.sinks.map(async ({ node, sink }) => {
        const restored = (snapshot?.sinks[node.uid] as SinkState | undefined) ?? null
        scope.audit?.restore(node.uid, restored)
        for (const proof of await sink.recover(restored)) proofs.push({ sink: node.uid, subtask, proof })
      }),
    ]),
  ])
  await Promise.all(scope.stages.map((run) => restoreStage(scope, run, snapshot)))
  const encoders = scope.stages.flatMap((run) => run.encoders)
  if (encoders.length > 0) await Promise.all(encoders.map((encoder) => encoder.open()))
  if (snapshot?.inFlight) await restoreInFlight(scope, snapshot.inFlight)
  return [...proofs, ...(await retired)]
}

function recoverRetired(scope: SliceScope, snapshot: SubtaskSnapshot | null): ReturnType<RetiredSinks['recover']> {
  const indices = new Map(scope.options.plan.job.graph.nodes.map((node, index) => [node, index]))
  return scope.retired.recover(snapshot?.retired ?? {}, {
    nodes: [...indices.keys()].filter((node) => node.kind === 'sink'),
    createSink: (node, subtask) => {
      const asides = asidesOf(scope, [], indices.get(node)!, node)
      const context = { ...scope.contextOf(node.uid), subtask }
      return scope.deps.createSink(node, context, asides && { ...asides, audit: null })
    },
  })
}

async function recoverContinuous(scope: SliceScope, { continuous, source, stage }: StageRun): Promise<void> {
  if (continuous === null) return
  continuous.sink.onFailure((error) => scope.fail(error))
  const { latency } = source!
  continuous.sink.onTransaction?.({
    sealed: (sequence) => {
      latency.seal(sequence)
      scope.traces?.seal(stage.index, sequence)
    },
    committed: (sequence) => {
      latency.committed(sequence, scope.deps.clock.now())
      scope.traces?.committed('transaction', sequence)
    },
  })
  continuous.committed = await continuous.sink.recover()
}

async function restoreStage(scope: SliceScope, run: StageRun, snapshot: SubtaskSnapshot | null): Promise<void> {
  const { index } = run.stage
  const { checkpoint } = snapshot ?? {}
  // Of an epoch before snapshots had their name: it is known to be one, not which.
  const context: RestoreContext | null = snapshot && {
    epoch: checkpoint?.epoch ?? epochOf(0),
    checkpointTimestamp: checkpoint?.timestamp ?? 0,
  }
  if (run.stage.nodes.some((i) => statesOf(scope.node(i)).length > 0)) {
    run.state = await scope.deps.openState(index, scope.contextOf(scope.node(run.stage.head).uid))
    const stored = (snapshot?.segments as readonly StageSegments[] | undefined)?.find((s) => s.stage === index)
    scope.context.registerStateBackend(index, run.state) // first: also one that fails is closed
    await run.state.restore(stored?.chain ?? [])
    await restoreOperators(scope, run, run.state, context)
  }
  if (run.source) {
    const { uid } = run.source.node
    const position = (snapshot?.sources[uid] as SourceState | undefined) ?? null
    run.source.reader.onGap?.((gap) => scope.deps.report({ type: 'source-gap', source: uid, gap }))
    const splits = await openSource(scope, run, run.source.reader, position, position && context)
    if (scope.options.plan.claimed.size > 0) run.source.logId = (await run.source.reader.logId?.()) ?? null
    const restored: Record<string, number> = {}
    for (const split of splits) {
      const watermark = snapshot?.watermarks[`${uid}/${split}`]
      if (watermark !== undefined) restored[split] = watermark
    }
    const prefix = `${uid}/`
    const folds = Object.entries(snapshot?.watermarkFolds ?? {})
      .filter(([of]) => of.startsWith(prefix))
      .map(([of, state]) => [of.slice(prefix.length), state] as const)
    run.source.watermarks = new SplitWatermarks(run.source.node, splits, restored, Object.fromEntries(folds))
    run.source.timing = timingOf(run.source, scope.deps.clock)
  }
  run.degraded = snapshot?.degraded ?? false
  run.watermark = snapshot?.watermarks[`stage-${index}`] ?? WATERMARK_MIN
}

async function restoreOperators(
  scope: SliceScope,
  run: StageRun,
  state: StateStore,
  restored: RestoreContext | null,
): Promise<void> {
  const { index, head, nodes } = run.stage
  for (const i of nodes) {
    const node = scope.node(i)
    if (node.kind !== 'resumable') continue
    const context = scope.contextOf(node.uid)
    const groups = operatorGroups(scope.node(head).kind === 'source' ? 'source' : 'keyed', context)
    const operator = new Resumable(node, { ...context, state, groups })
    run.resumables.set(i, operator)
    await scope.context.registerOperator(index, operator, restored)
  }
}

async function restoreInFlight({ deps, options, stages }: SliceScope, refs: readonly InFlightRef[]): Promise<void> {
  const { inFlight } = deps
  assert(inFlight !== undefined, 'the epoch has records in flight, and the slice has no store for them')
  const flights = await Promise.all(refs.map(async (ref) => ({ ref, streams: decodeFlight(await inFlight.read(ref)) })))
  const { parallelism, maxParallelism } = options.plan.job.settings
  const elements = elementsInFlight(flights, { subtask: options.subtask, parallelism, maxParallelism })
  for (const run of stages) run.inFlight = elements.get(run.stage.index) ?? []
}

/** @returns the splits it has. */
async function openSource(
  scope: SliceScope,
  run: StageRun,
  reader: SourceReader,
  position: SourceState | null,
  restored: RestoreContext | null,
): Promise<readonly number[]> {
  if (run.continuous === null) return reader.open(position, restored)
  const head = scope.node(run.stage.head) as SourceNode
  const { jobId, attempt } = scope.options
  run.begins = await startContinuous({
    ...{ jobId, generation: attempt.generation, reader, ...run.continuous },
    topic: String(head.descriptor['topic']),
    restored: position as LogSourceState | null,
    context: restored,
  })
  return [...run.begins.keys()]
}
