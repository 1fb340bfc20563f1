/** The operators of a stage as one call tree: from its head down to sinks and partitioners. */
import {
  chain,
  fanOut,
  operatorFor,
  withSides,
  type Input,
  type KeyedStates,
  type Operator,
  type OperatorNode,
  type SinkNode,
  type StateStore,
} from '@weir/dataflow'
import { WeirError, assert, type OperatorUid, type RecordBatch, type Watermark } from '@weir/model'
import { refuseAt } from './asides.ts'
import { awaitLater } from './flow.ts'
import type { Partitioner } from './partitioner.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

/** Where a chain of operators stands: what its operators open with, and how records leave it. */
interface ChainPlace {
  readonly state: KeyedStates
  readonly watermark: Watermark
  readonly output: (partitioner: Partitioner) => Input
}

/** Operators are opened on the restored state; `run.outputs` must be there. */
export function buildChains(scope: SliceScope, run: StageRun): void {
  const state = run.state ?? NO_STATE
  const keyedBySource = run.stage.nodes.some((i) => scope.node(i).kind === 'keyedBySource')
  if (keyedBySource || run.continuous !== null) return buildSplitChains(scope, run, state)
  const { watermark } = run
  run.input = chainOf(scope, run, {
    state,
    watermark,
    output: (partitioner) => ({
      emit: (batch) => partitioner.write(batch),
      watermark: (timestamp) => partitioner.watermark(timestamp),
      end: () => partitioner.end(),
    }),
  })
}

function buildSplitChains(scope: SliceScope, run: StageRun, state: Pick<StateStore, 'keyed'>): void {
  run.splits = new Map()
  for (const [split, watermark] of Object.entries(run.source!.watermarks.snapshot())) {
    const input = chainOf(scope, run, {
      state: { keyed: (uid, name) => state.keyed(uid, name, Number(split)) },
      watermark,
      output: (partitioner) => ({ emit: (batch) => partitioner.write(batch), watermark: () => {}, end: () => {} }),
    })
    const resume = run.begins?.get(Number(split))?.resume
    const replay = resume?.kind === 'replay' ? resume : null
    run.splits.set(Number(split), {
      ...{ input, watermark, ended: false },
      offset: Number(replay?.from.offset ?? 0),
      replayUntil: replay?.until ?? 0,
      endCommitted: replay?.mark.ended ?? false,
    })
  }
  run.input = {
    emit: () => assert(false, 'records of a split went round its chain'),
    // What leaves the stage has the event time of all its splits.
    watermark: (timestamp) => {
      for (const output of run.outputs) output.watermark(timestamp)
    },
    end: () => {
      for (const { input } of run.splits!.values()) input.end()
      for (const output of run.outputs) output.end()
    },
  }
}

function chainOf(scope: SliceScope, run: StageRun, place: ChainPlace): Input {
  const { edges } = scope.options.plan.job.graph
  const inStage = new Set(run.stage.nodes)
  const build = (index: number): Input => {
    const after = edges.flatMap(([from, to]) => (from === index && scope.node(to).kind !== 'sideOutput' ? [to] : []))
    return fanOut(after.map((to) => entryTo(scope, run, place, to, inStage, build)))
  }
  return build(run.stage.head)
}

/** What an edge leads to: a partitioner (keyBy), a sink or an operator with everything behind it. */
function entryTo(
  scope: SliceScope,
  run: StageRun,
  place: ChainPlace,
  index: number,
  inStage: ReadonlySet<number>,
  build: (index: number) => Input,
): Input {
  const node = scope.node(index)
  if (node.kind === 'sink') return sinkInput(scope, run, node)
  const output = run.stage.outputs.findIndex((o) => o.keyBy === index)
  assert(output >= 0 || inStage.has(index), `node ${node.uid} is not in stage ${run.stage.index}`)
  assert(node.kind !== 'source', 'an edge leads into a source')
  const sides = sideInputs(scope, index, build)
  const operator: Operator = run.resumables.get(index) ?? operatorFor(node as OperatorNode)
  operator.open({
    uid: node.uid,
    subtask: scope.options.subtask,
    parallelism: scope.options.plan.job.settings.parallelism,
    maxParallelism: scope.maxParallelism,
    state: place.state,
    watermark: place.watermark,
    counters: { lateRecords: 0 },
    sides,
    clock: scope.deps.clock,
    refuse: refuseAt(scope, run.refused, index),
    freeze: scope.options.freeze,
  })
  const next = withSides(output >= 0 ? place.output(run.outputs[output]!) : build(index), sides)
  if (operator.processing) run.timed.push({ timers: operator.processing, out: next })
  return chain([operator], next)
}

/** By name; what two take goes to both. */
function sideInputs(scope: SliceScope, index: number, build: (index: number) => Input): Map<string, Input> {
  const taken = new Map<string, Input[]>()
  for (const [from, to] of scope.options.plan.job.graph.edges) {
    const taker = from === index ? scope.node(to) : null
    if (taker?.kind !== 'sideOutput') continue
    taken.set(taker.side, [...(taken.get(taker.side) ?? []), build(to)])
  }
  return new Map([...taken].map(([side, inputs]) => [side, fanOut(inputs)]))
}

function sinkInput(scope: SliceScope, run: StageRun, node: SinkNode): Input {
  const { continuous } = run
  const sink = run.sinks.find((s) => s.node === node)?.sink
  return {
    emit: (batch: RecordBatch) => {
      if (run.muted) return
      scope.recordsOut += batch.values.length
      const full = continuous ? continuous.sink.write(node.uid, batch) : sink!.write(batch)
      awaitLater(run, full)
    },
    watermark: () => {},
    end: () => {},
  }
}

const NO_STATE = {
  keyed(uid: OperatorUid): never {
    throw new WeirError({ code: 'INTERNAL', kind: 'invalid', operatorUid: uid }, `operator ${uid} has no state store`)
  },
}
