/** The operators of a stage as one call tree: from its head down to sinks and outlets. */
import {
  chain,
  fanIn,
  fanOut,
  Sample,
  operatorFor,
  originNames,
  twoInputOperatorFor,
  withSides,
  type ConnectNode,
  type GraphNode,
  type Input,
  type KeyedStates,
  type Operator,
  type OperatorCounters,
  type OperatorNode,
  type SinkNode,
  type StateStore,
  type WithBroadcastNode,
} from '@weir/dataflow'
import { WeirError, assert, type OperatorUid, type RecordBatch, type Watermark } from '@weir/model'
import { refuseAt } from './asides.ts'
import { claimPortOf } from './claims.ts'
import { isFiring } from './firings.ts'
import { awaitLater } from './flow.ts'
import type { Outlet } from './outlet.ts'
import { portable } from './portable-outlet.ts'
import { countingIn, countingOut, countsOf, type RecordCounts } from './slice-metrics.ts'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

/** Where a chain of operators stands: what its operators open with, and how records leave it. */
interface ChainPlace {
  readonly state: KeyedStates
  readonly perSplit: boolean
  readonly watermark: Watermark
  readonly output: (outlet: Outlet) => Input
}

interface Linked {
  readonly input: Input
  /** What it emits into. */
  readonly next: Input
  readonly records: RecordCounts
}

/** Operators are opened on the restored state; `run.outputs` must be there. */
export function buildChains(scope: SliceScope, run: StageRun): void {
  const state = run.state ?? NO_STATE
  const keyedBySource = run.stage.nodes.some((i) => scope.node(i).kind === 'keyedBySource')
  if (keyedBySource || run.continuous !== null) return buildSplitChains(scope, run, state)
  const { watermark } = run
  const operands = chainOf(scope, run, {
    state,
    perSplit: false,
    watermark,
    output: (outlet) => ({
      emit: (batch) => outlet.write(batch),
      watermark: (timestamp) => outlet.watermark(timestamp),
      end: () => outlet.end(),
    }),
  })
  run.input = operands[0]!
  run.operands = operands
}

function buildSplitChains(scope: SliceScope, run: StageRun, state: Pick<StateStore, 'keyed'>): void {
  run.splits = new Map()
  for (const [split, watermark] of Object.entries(run.source!.watermarks.snapshot())) {
    const others = run.firings.length
    const [input] = chainOf(scope, run, {
      state: { keyed: (uid, name) => state.keyed(uid, name, Number(split)) },
      perSplit: true,
      watermark,
      output: (outlet) => ({ emit: (batch) => outlet.write(batch), watermark: () => {}, end: () => {} }),
    })
    const resume = run.begins?.get(Number(split))?.resume
    const replay = resume?.kind === 'replay' ? resume : null
    run.splits.set(Number(split), {
      ...{ input: input!, firings: run.firings.slice(others), watermark, ended: false },
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

const hasOperands = (node: GraphNode): node is ConnectNode | WithBroadcastNode =>
  node.kind === 'connect' || node.kind === 'withBroadcast'

/** By operand; watermarks and the end go to the first. */
function chainOf(scope: SliceScope, run: StageRun, place: ChainPlace): readonly Input[] {
  const { firingPartMax, plan } = scope.options
  const { edges } = plan.job.graph
  const { head, nodes } = run.stage
  const here = new Set([head, ...nodes])
  const isKeyBy = scope.node(head).kind === 'keyBy'
  /** By union: the inputs no edge has been given yet. */
  const merged = new Map<number, Input[]>()

  const after = (index: number): number[] => edges.flatMap(([from, to]) => (from === index ? [to] : []))
  const isSide = (index: number): boolean => scope.node(index).kind === 'sideOutput'

  /** But what has two operands behind a keyBy at the head: it gets its records from the stages that compute the keys. */
  const behind = (index: number): Input => {
    const isElsewhere = (to: number): boolean =>
      index === head && isKeyBy && !here.has(to) && hasOperands(scope.node(to))
    const branches = after(index).flatMap((to) => (isSide(to) || isElsewhere(to) ? [] : [entryTo(to)]))
    return fanOut(branches, new Sample(scope.options.freeze))
  }

  /** Of one of the edges that lead into a union: each has its own. */
  const mergedInto = (union: number, next: () => Input): Input => {
    let free = merged.get(union)
    if (free === undefined) {
      const count = edges.filter(([from, to]) => to === union && here.has(from)).length
      merged.set(union, (free = [...fanIn(count, next())]))
    }
    return free.shift()!
  }

  /** What an edge leads to: a sink, a union, or an operator with everything behind it; from where records leave, the outlets. */
  const entryTo = (index: number): Input => {
    const node = scope.node(index)
    if (node.kind === 'sink') return sinkInput(scope, run, node)
    const outlets = run.outputs.filter((_, i) => run.stage.outputs[i]!.node === index)
    const leaving = (): Input =>
      portable(fanOut(outlets.map(place.output)), {
        ...{ uid: node.uid, sample: new Sample(scope.options.freeze) },
        refuse: refuseAt(scope, run.refused, index),
      })
    const next = (): Input => (outlets.length > 0 ? leaving() : behind(index))
    assert(outlets.length > 0 || here.has(index), `node ${node.uid} is not in stage ${run.stage.index}`)
    assert(node.kind !== 'source', 'an edge leads into a source')
    if (node.kind === 'union') return mergedInto(index, next)
    if (outlets.length > 0 && node.kind !== 'keyBy') return next()
    return linked(run.resumables.get(index) ?? operatorFor(node as OperatorNode), index, next).input
  }

  /** Opened, with its output and its side outputs; and what it emits into. */
  const linked = (operator: Operator, index: number, output: () => Input): Linked => {
    const sides = sidesTaken(index)
    const counters: OperatorCounters = { lateRecords: 0 }
    run.counters.push({ uid: scope.node(index).uid, counters })
    const records = countsOf(run, scope.node(index).uid)
    operator.open({
      uid: scope.node(index).uid,
      subtask: scope.options.subtask,
      parallelism: scope.options.plan.job.settings.parallelism,
      maxParallelism: scope.maxParallelism,
      state: place.state,
      perSplit: place.perSplit,
      watermark: place.watermark,
      counters,
      sides,
      clock: scope.deps.clock,
      origins: originNames(scope.options.plan.job.graph.nodes),
      calls: {
        after: scope.deps.clock.after.bind(scope.deps.clock),
        signal: scope.signal,
        ready: () => wake(scope, run),
        isHeld: () => isFiring(run),
      },
      claims: () => claimPortOf(scope, index),
      refuse: refuseAt(scope, run.refused, index),
      freeze: scope.options.freeze,
      ...(plan.job.settings.degradable === true && { degraded: () => run.degraded }),
      ...(firingPartMax !== undefined && { firingPartMax }),
    })
    const next = withSides(countingOut(records, output()), sides)
    if (operator.firing) run.firings.push({ firing: operator.firing, out: next })
    if (operator.calls) run.calls.push({ calls: operator.calls, out: next })
    if (operator.processing) run.timed.push({ timers: operator.processing, out: next })
    return { input: countingIn(records, chain([operator], next)), next, records }
  }

  /** By name; what two take goes to both. */
  const sidesTaken = (index: number): Map<string, Input> => {
    const taken = new Map<string, Input[]>()
    for (const to of after(index)) {
      const taker = scope.node(to)
      if (taker.kind === 'sideOutput') taken.set(taker.side, [...(taken.get(taker.side) ?? []), behind(to)])
    }
    return new Map([...taken].map(([side, inputs]) => [side, fanOut(inputs)]))
  }

  const first = scope.node(head)
  if (!hasOperands(first)) return [behind(head)]
  const operator = twoInputOperatorFor(first)
  const { input: left, next, records } = linked(operator, head, () => behind(head))
  return [left, countingIn(records, { ...left, emit: (batch: RecordBatch) => operator.onRight(batch, next) })]
}

function wake(scope: SliceScope, run: StageRun): void {
  scope.wakeOf(run.stage.index).notify()
  run.gate?.wake()
}

function sinkInput(scope: SliceScope, run: StageRun, node: SinkNode): Input {
  const { continuous } = run
  const sink = run.sinks.find((s) => s.node === node)?.sink
  const records = countsOf(run, node.uid)
  return {
    emit: (batch: RecordBatch) => {
      if (run.muted) return
      scope.recordsOut += batch.values.length
      records.recordsIn += batch.values.length
      const passing = scope.traces?.writing(node.uid, batch) ?? null
      const full = continuous ? continuous.sink.write(node.uid, batch) : sink!.write(batch)
      awaitLater(run, full)
      if (passing !== null) scope.traces!.written(run, passing, full)
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
