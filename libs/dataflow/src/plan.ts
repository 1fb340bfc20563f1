/**
 * The plan: a logical graph cut into stages wherever records leave a slice's chain (`stages.ts`), and the part of it that is plain
 * data (what the client sends, the job-manager places and everybody hashes). Client and task-manager plan on their own and must agree.
 */
import type { OperatorUid } from '@weir/model'
import type { JobDefinition, JobSettings, LogicalGraph } from './graph.ts'
import type { PlannedState } from './state-schema.ts'
import type { UnalignedPlan } from './unaligned.ts'

/** To the slice where the key lives, to the same slice, or to all. */
export type Route = 'keyed' | 'forward' | 'broadcast'

/** Records that come into a stage from another one. */
export interface StageInput {
  /** Which one sends. */
  readonly stage: number
  readonly route: Route
  /** Which operand of the operator at the head of the stage they are: 0, but for the right one of two. */
  readonly operand: number
}

/** Records that leave a stage. */
export interface StageOutput {
  /** The node at which they leave: a keyBy, whose keys are computed here (for each stage that wants them), or a union of several stages. */
  readonly node: number
  /** Which one receives. */
  readonly stage: number
  /** Index in the `inputs` of that stage. */
  readonly input: number
}

/** Nodes between two exchanges, run as plain calls in one task. Indices are into the graph's nodes. */
export interface Stage {
  readonly index: number
  /** The source node, or the node at which the records of this stage have left others (a keyBy, a union of several stages), or a connect. */
  readonly head: number
  /**
   * Every node executed in this stage, in topological order: from the source on in a source's stage (it is the first),
   * from behind the head on in the others. A keyBy is in no stage's `nodes`: it stands in the `outputs` of the stages
   * that compute its keys and is the `head` of the stage it feeds. From a union of several stages to a keyBy all is in each
   * of those.
   */
  readonly nodes: readonly number[]
  readonly outputs: readonly StageOutput[]
  /** Empty for a source. */
  readonly inputs: readonly StageInput[]
}

/** What is sent with a submit: no functions in it. JSON. */
export interface PlanSummary {
  readonly version: 1
  readonly name: string
  readonly settings: JobSettings
  /** `stage`: where the node is executed; of a keyBy, the stage it feeds. `config` is the node's plain data. */
  readonly nodes: readonly {
    readonly uid: string
    readonly kind: string
    readonly config: unknown
    readonly stage: number
    /** What it keeps by key. Absent: nothing. */
    readonly states?: readonly PlannedState[]
  }[]
  readonly edges: LogicalGraph['edges']
  readonly stages: number
  /** How many of them are fed by the same slice alone. Absent: none. */
  readonly forwarded?: number
  readonly sources: readonly string[]
  readonly sinks: readonly string[]
}

/** How dead letters get into a transaction. Null in a job without them. */
export interface DeadLetterPlan {
  readonly topic: string
  /** By stage: straight to one of its sinks (a node), or out by one of its `outputs` (an index) to a stage that has one. */
  readonly routes: readonly ({ readonly sink: number } | { readonly output: number })[]
  /** By node: a record that fails there has had no effect yet, on its whole way from the source. */
  readonly whole: readonly boolean[]
  /** By node: the idempotent nodes whose claims a record hands on that fails there. */
  readonly handsOn: readonly (readonly number[])[]
}

/** Receipts of every transaction. Null in a job without them. */
export interface AuditPlan {
  readonly topic: string
  /** By sink (a node): the sources (nodes) whose records lead to it. */
  readonly sources: ReadonlyMap<number, readonly number[]>
}

export interface Plan {
  readonly job: JobDefinition
  readonly stages: readonly Stage[]
  readonly deadLetters: DeadLetterPlan | null
  readonly audit: AuditPlan | null
  /** What batches carry of each record beside key, value and time: where it was read, and its trace context too. */
  readonly carries: 'nothing' | 'origins' | 'traces'
  /** And whose retry it is, of a replayed dead letter: claims in state are handed on to it. */
  readonly retries: boolean
  /** By node: the window whose results an idempotent node claims for; null: records that were read. */
  readonly claimed: ReadonlyMap<number, OperatorUid | null>
  /** Where barriers may overtake records (`unaligned.ts`). */
  readonly unaligned: UnalignedPlan | null
  readonly summary: PlanSummary
  /** Canonical JSON of the summary: hash it with SHA-256 to get the graph hash (hashing is I/O-free but not in this room). */
  readonly canonical: string
}

/** The plan of a job that was rescaled since it was submitted: the graph is the same, and so is its hash. */
export function atParallelism(plan: Plan, parallelism: number): Plan {
  const settings = { ...plan.job.settings, parallelism }
  return { ...plan, job: { ...plan.job, settings }, summary: { ...plan.summary, settings } }
}
