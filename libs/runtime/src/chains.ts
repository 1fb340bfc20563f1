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
  type LogicalGraph,
  type Operator,
  type OperatorContext,
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
const chainOf = (scope: SliceScope, run: StageRun, place: ChainPlace): readonly Input[] =>
  new ChainBuilder(scope, run, place).inputs()

class ChainBuilder {
  readonly #scope: SliceScope
  readonly #run: StageRun
  readonly #place: ChainPlace
  readonly #edges: LogicalGraph['edges']
  /** The nodes of the stage. */
  readonly #here: ReadonlySet<number>
  /** By union: the inputs no edge has been given yet. */
  readonly #merged = new Map<number, Input[]>()

  constructor(scope: SliceScope, run: StageRun, place: ChainPlace) {
    this.#scope = scope
    this.#run = run
    this.#place = place
    this.#edges = scope.options.plan.job.graph.edges
    this.#here = new Set([run.stage.head, ...run.stage.nodes])
  }

  inputs(): readonly Input[] {
    const { head } = this.#run.stage
    const first = this.#scope.node(head)
    if (!hasOperands(first)) return [this.#behind(head)]
    const operator = twoInputOperatorFor(first)
    const { input: left, next, records } = this.#linked(operator, head, () => this.#behind(head))
    return [left, countingIn(records, { ...left, emit: (batch: RecordBatch) => operator.onRight(batch, next) })]
  }

  #behind(index: number): Input {
    const branches = this.#after(index).flatMap((to) => {
      const isSide = this.#scope.node(to).kind === 'sideOutput'
      return isSide || this.#isFedElsewhere(index, to) ? [] : [this.#entryTo(to)]
    })
    return fanOut(branches, new Sample(this.#scope.options.freeze))
  }

  /** What has two operands behind a keyBy at the head gets its records from the stages that compute the keys. */
  #isFedElsewhere(from: number, to: number): boolean {
    const isKeyedHead = from === this.#run.stage.head && this.#scope.node(from).kind === 'keyBy'
    return isKeyedHead && !this.#here.has(to) && hasOperands(this.#scope.node(to))
  }

  /** What an edge leads to: a sink, a union, or an operator with everything behind it; from where records leave, the outlets. */
  #entryTo(index: number): Input {
    const { stage, outputs, resumables } = this.#run
    const node = this.#scope.node(index)
    if (node.kind === 'sink') return sinkInput(this.#scope, this.#run, node)
    const outlets = outputs.filter((_, i) => stage.outputs[i]!.node === index)
    const next = (): Input => (outlets.length > 0 ? this.#leaving(node, index, outlets) : this.#behind(index))
    assert(outlets.length > 0 || this.#here.has(index), `node ${node.uid} is not in stage ${stage.index}`)
    assert(node.kind !== 'source', 'an edge leads into a source')
    if (node.kind === 'union') return this.#mergedInto(index, next)
    if (outlets.length > 0 && node.kind !== 'keyBy') return next()
    return this.#linked(resumables.get(index) ?? operatorFor(node as OperatorNode), index, next).input
  }

  #leaving({ uid }: GraphNode, index: number, outlets: readonly Outlet[]): Input {
    return portable(fanOut(outlets.map(this.#place.output)), {
      ...{ uid, sample: new Sample(this.#scope.options.freeze) },
      refuse: refuseAt(this.#scope, this.#run.refused, index),
    })
  }

  /** Of one of the edges that lead into a union: each has its own. */
  #mergedInto(union: number, next: () => Input): Input {
    let free = this.#merged.get(union)
    if (free === undefined) {
      const count = this.#edges.filter(([from, to]) => to === union && this.#here.has(from)).length
      this.#merged.set(union, (free = [...fanIn(count, next())]))
    }
    return free.shift()!
  }

  /** Opened, with its output and its side outputs; and what it emits into. */
  #linked(operator: Operator, index: number, output: () => Input): Linked {
    const run = this.#run
    const { uid } = this.#scope.node(index)
    const sides = this.#sidesTaken(index)
    const counters: OperatorCounters = { lateRecords: 0 }
    run.counters.push({ uid, counters })
    const records = countsOf(run, uid)
    operator.open(this.#contextOf(index, counters, sides))
    const next = withSides(countingOut(records, output()), sides)
    if (operator.firing) run.firings.push({ firing: operator.firing, out: next })
    if (operator.calls) run.calls.push({ calls: operator.calls, out: next })
    if (operator.processing) run.timed.push({ timers: operator.processing, out: next })
    return { input: countingIn(records, chain([operator], next)), next, records }
  }

  #contextOf(index: number, counters: OperatorCounters, sides: ReadonlyMap<string, Input>): OperatorContext {
    const scope = this.#scope
    const run = this.#run
    const { state, perSplit, watermark } = this.#place
    const { subtask, plan, freeze, firingPartMax } = scope.options
    const { settings, graph } = plan.job
    const { clock } = scope.deps
    return {
      uid: scope.node(index).uid,
      ...{ subtask, parallelism: settings.parallelism, maxParallelism: scope.maxParallelism },
      ...{ state, perSplit, watermark, counters, sides, clock, freeze },
      origins: originNames(graph.nodes),
      calls: {
        after: clock.after.bind(clock),
        signal: scope.signal,
        ready: () => wake(scope, run),
        isHeld: () => isFiring(run),
      },
      claims: () => claimPortOf(scope, index),
      refuse: refuseAt(scope, run.refused, index),
      ...(settings.degradable === true && { degraded: () => run.degraded }),
      ...(firingPartMax !== undefined && { firingPartMax }),
    }
  }

  /** By name; what two take goes to both. */
  #sidesTaken(index: number): Map<string, Input> {
    const taken = new Map<string, Input[]>()
    for (const to of this.#after(index)) {
      const taker = this.#scope.node(to)
      if (taker.kind === 'sideOutput') taken.set(taker.side, [...(taken.get(taker.side) ?? []), this.#behind(to)])
    }
    return new Map([...taken].map(([side, inputs]) => [side, fanOut(inputs)]))
  }

  #after(index: number): readonly number[] {
    return this.#edges.flatMap(([from, to]) => (from === index ? [to] : []))
  }
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
