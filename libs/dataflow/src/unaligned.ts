/**
 * Where barriers may overtake records (PROTOCOL B9): on keyed edges into an operator. Never on one that leads straight into
 * a sink or to an asyncMap or idempotent, whose calls and claims a barrier waits for, and not in a job whose output or cut is tied to exact positions of its sources.
 */
import { WeirError } from '@weir/model'
import type { GraphNode, JobDefinition } from './graph.ts'
import type { Stage } from './plan.ts'

export interface UnalignedPlan {
  /** After the trigger; until then barriers are aligned. */
  readonly afterMs: number
  /** By stage: may the barrier overtake what waits in front of it? */
  readonly stages: readonly boolean[]
}

/** Null: all barriers are aligned. Throws WeirError `UNALIGNED_REFUSED` (invalid) with `reason`. */
export function unalignedPlanOf({ settings, graph }: JobDefinition, stages: readonly Stage[]): UnalignedPlan | null {
  const { unaligned, alignedTimeoutMs } = settings.checkpoint
  const afterMs = alignedTimeoutMs ?? (unaligned ? 0 : null)
  if (afterMs === null) return null
  if (settings.commit.scope === 'continuous') {
    throw refused('scope', 'commit scope "continuous" has no keyed edges, so there is nothing to overtake.')
  }
  const aligned = stages.find(({ inputs }) => inputs.some(({ route }) => route !== 'keyed'))
  if (aligned !== undefined) {
    const { kind, uid } = graph.nodes[aligned.head]!
    const holdsUp = 'which is not keyed, so its barriers are always aligned and would hold up all others.'
    throw kind === 'union'
      ? refused(
          'union',
          `union "${uid}" of several sources has a stage of its own, ${holdsUp} Let only filter, map and flatMap stand between it and a keyBy.`,
        )
      : refused('broadcast', `"${uid}" has a broadcast for an input, ${holdsUp}`)
  }
  /** Nodes with a sink right behind them; a union between the two is no operator. */
  const intoSink = new Set<number>()
  for (const [from, to] of graph.edges.toSorted(([, a], [, b]) => b - a)) {
    const { kind } = graph.nodes[to]!
    if (kind === 'sink' || (kind === 'union' && intoSink.has(to))) intoSink.add(from)
  }
  // An operator with two inputs is at the head itself: it stands between.
  const leadsIntoSink = (head: number): boolean => graph.nodes[head]!.kind === 'keyBy' && intoSink.has(head)
  const keyed = stages.filter(({ inputs }) => inputs.length > 0)
  const callingIn = (stage: Stage): GraphNode | undefined =>
    stage.nodes.map((i) => graph.nodes[i]!).find(({ kind }) => kind === 'asyncMap' || kind === 'idempotent')
  const overtaking = stages.map(
    (stage) => keyed.includes(stage) && !leadsIntoSink(stage.head) && callingIn(stage) === undefined,
  )
  if (overtaking.includes(true)) return { afterMs, stages: overtaking }
  const [edge] = keyed
  if (edge === undefined)
    throw refused('no-keyed-edge', 'the job has no keyBy, so there is no edge it could be used on.')
  const { uid } = graph.nodes[edge.head]!
  const calling = callingIn(edge)
  if (calling !== undefined)
    throw refused('calls', `behind keyBy "${uid}" barriers wait for the calls of ${calling.kind} "${calling.uid}".`)
  throw refused('edge-into-sink', `keyBy "${uid}" leads straight into a sink, where barriers are always aligned.`)
}

const refused = (
  reason: 'scope' | 'no-keyed-edge' | 'edge-into-sink' | 'union' | 'broadcast' | 'calls',
  why: string,
): WeirError =>
  new WeirError(
    { code: 'UNALIGNED_REFUSED', kind: 'invalid', reason },
    `unaligned checkpoints are asked for, and ${why} Leave out checkpoint.unaligned and checkpoint.alignedTimeoutMs.`,
  )
