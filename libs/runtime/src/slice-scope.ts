/** What the parts of one slice share: its stages, its counts, and the one way in which it ends. */
import { DegradeSwitch, NO_POISON, originNames, type GraphNode, type Poison, type SubtaskContext } from '@weir/dataflow'
import type { OperatorUid, WeirError } from '@weir/model'
import { Audit } from './audit.ts'
import { withOrigin } from './failure-origin.ts'
import { SliceClaims } from './claims.ts'
import { RecordTraces } from './record-traces.ts'
import { RetiredSinks } from './retired-sinks.ts'
import { Signal } from './signal.ts'
import type { SliceDeps, SliceOptions } from './slice-ports.ts'
import type { StageRun } from './stage-run.ts'
import { StreamContext } from './stream-context.ts'

const IN_FLIGHT_BYTES_MAX = 32 * 1024 * 1024

export class SliceScope {
  readonly options: SliceOptions
  readonly deps: SliceDeps
  /** Lifecycle, snapshots and what is dirty. */
  readonly context: StreamContext
  readonly audit: Audit | null
  readonly retired = new RetiredSinks()
  readonly claims = new SliceClaims()
  /** Null: no records are traced. */
  readonly traces: RecordTraces | null
  /** By stage index. */
  readonly stages: StageRun[] = []
  poison: Poison = NO_POISON
  degradeSwitch = new DegradeSwitch(false)
  recordsIn = 0
  /** Of `recordsIn`: before this attempt. */
  recordsBefore = 0
  recordsOut = 0
  readonly #abort = new AbortController()
  readonly #wake = new Map<number, Signal>()
  #failed = false

  constructor(options: SliceOptions, deps: SliceDeps) {
    this.options = options
    this.deps = deps
    this.context = new StreamContext({ clock: deps.clock })
    this.traces = deps.traces ? new RecordTraces(this) : null
    const { plan, jobId, attempt, subtask } = options
    const now = (): number => deps.clock.now()
    const { nodes } = plan.job.graph
    this.audit = plan.audit && new Audit({ plan: plan.audit, nodes, jobId, attempt, subtask, now })
  }

  get over(): boolean {
    return this.#abort.signal.aborted
  }

  /** Aborted when the slice is over. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get inFlightBytesMax(): number {
    return this.options.inFlightBytesMax ?? IN_FLIGHT_BYTES_MAX
  }

  get maxParallelism(): number {
    return this.options.plan.job.settings.maxParallelism
  }

  node(index: number): GraphNode {
    return this.options.plan.job.graph.nodes[index]!
  }

  /** The operator at the head of a stage. */
  headOf(stage: number): OperatorUid {
    return this.node(this.options.plan.stages[stage]!.head).uid
  }

  contextOf(uid: OperatorUid): SubtaskContext {
    const { jobId, attempt, subtask, plan } = this.options
    const { parallelism, maxParallelism } = plan.job.settings
    return { jobId, attempt, operatorUid: uid, subtask, parallelism, maxParallelism, signal: this.signal }
  }

  /** Wakes the loop of a stage. */
  wakeOf(stage: number): Signal {
    let signal = this.#wake.get(stage)
    if (!signal) this.#wake.set(stage, (signal = new Signal()))
    return signal
  }

  wakeSources(): void {
    for (const run of this.stages) if (run.source) this.wakeOf(run.stage.index).notify()
  }

  /** The loops stand still and the sinks wait for `stop`; the first failure is the one that is told. */
  fail(error: WeirError): void {
    if (this.#failed || this.over) return
    this.#failed = true
    const named = withOrigin(error, originNames(this.options.plan.job.graph.nodes))
    this.end(named)
    this.deps.report({ type: 'failed', error: named })
  }

  end(reason: WeirError): void {
    if (!this.over) this.#abort.abort(reason)
    for (const signal of this.#wake.values()) signal.notify()
    for (const run of this.stages) run.gate?.wake()
  }
}
