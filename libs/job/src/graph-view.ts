/** The graph of a job as REST and people see it: what it consists of, and where records go from one slice to another. */
import type { PlanSummary } from '@weir/dataflow'

export interface GraphNodeView {
  readonly uid: string
  readonly kind: string
  /** Of a source or a sink: `kafka`, `postgres`…; null: an operator. */
  readonly connector: string | null
  /** Its topic, table, publication or folder; null: it names none. */
  readonly place: string | null
  /** Nodes of one stage run as one chain in each subtask. */
  readonly stage: number
  /** States it keeps by key. */
  readonly states: readonly string[]
}

export interface GraphEdgeView {
  /** Uids. */
  readonly from: string
  readonly to: string
  /** `chained`: a call in the same chain. `exchange`: records go to the subtask where their key lives, or to all. */
  readonly by: 'chained' | 'exchange'
}

export interface GraphView {
  readonly name: string
  readonly parallelism: number
  readonly nodes: readonly GraphNodeView[]
  readonly edges: readonly GraphEdgeView[]
  /** Of a submitted job: its bundle lies under it in the object store. */
  readonly bundleDigest?: string
}

/** Where a connector reads or writes. A URL is not among them: it may hold credentials. */
const PLACES = ['topic', 'table', 'publication', 'folder'] as const

export function graphView(plan: PlanSummary): GraphView {
  return {
    name: plan.name,
    parallelism: plan.settings.parallelism,
    nodes: plan.nodes.map(({ uid, kind, config, stage, states = [] }) => {
      const descriptor = (config as { descriptor?: Readonly<Record<string, unknown>> } | null)?.descriptor ?? {}
      const place = PLACES.map((name) => descriptor[name]).find((value) => typeof value === 'string')
      return {
        ...{ uid, kind, stage, states: states.map(({ name }) => name) },
        connector: typeof descriptor['connector'] === 'string' ? descriptor['connector'] : null,
        place: typeof place === 'string' ? place : null,
      }
    }),
    edges: plan.edges.map(([from, to]) => {
      const [head, tail] = [plan.nodes[from]!, plan.nodes[to]!]
      return { from: head.uid, to: tail.uid, by: head.stage === tail.stage ? 'chained' : 'exchange' }
    }),
  }
}
