/**
 * The cut of a graph into stages: where records leave a slice's chain, and how they get to the next one.
 *
 *     orders ─ filter ─┐                              ┌─▶ sum        a keyBy sends to where the key lives, and heads the stage
 *                    union ─ map ─ keyBy ═════════════╡              it feeds. What comes before it is in each stage that sends:
 *     refunds ─────────┘                              └─▶ count      union and map twice here
 *
 *     orders ─┐                                                      where something comes first that is there once, as a sink
 *             ├─ union ─ map ─▶ sink                                 is, the union heads a stage that the same slice feeds
 *     refunds ┘
 *
 *     orders ── keyBy ══╗
 *                       ╠═▶ connect ─▶ sink                          two keyed streams at one key: both are sent straight to it, also
 *     payments ─ keyBy ═╝                                            where a keyBy heads a stage of its own for others behind it
 *
 *     payments (─ keyBy) ─══╗                                        beside a broadcast: as a connect; without a keyBy the stream stays in
 *                           ╠═▶ withBroadcast ─▶ sink                its slice, while what is broadcast goes to all of them
 *     rules ── broadcast ═══╝
 *
 * Where all inputs of a union are in one stage it is a step of its chain.
 */
import type { GraphNode, NodeKind } from './graph.ts'
import type { Route, Stage, StageInput, StageOutput } from './plan.ts'

/** Neighbours of each node, by index, in the order of the edges. */
export interface Links {
  readonly inputs: readonly (readonly number[])[]
  readonly outputs: readonly (readonly number[])[]
}

export interface StageCut {
  readonly stages: readonly Stage[]
  /** By node; of one that several stages execute, the stage it feeds. */
  readonly stageOf: readonly number[]
}

/** Without state and order of their own: the same in one stage and in several. */
const ANYWHERE: ReadonlySet<NodeKind> = new Set(['filter', 'map', 'flatMap'])

/** By node: may its records come from several stages, since they are brought together before anything else happens to them? */
function mergedBehind(nodes: readonly GraphNode[], { outputs }: Links): readonly boolean[] {
  const merged: boolean[] = []
  for (const [i, { kind }] of [...nodes.entries()].toReversed())
    merged[i] = kind === 'keyBy' || kind === 'union' || (ANYWHERE.has(kind) && outputs[i]!.every((to) => merged[to]))
  return merged
}

/** Of what an exchange sends; of anything else records stay in their slice. */
const ROUTES: { readonly [K in NodeKind]?: Route } = { keyBy: 'keyed', broadcast: 'broadcast' }
/** Two operands, each sent by the stages it comes from. */
const hasOperands = (kind: NodeKind): boolean => kind === 'connect' || kind === 'withBroadcast'

interface Draft {
  readonly index: number
  readonly head: number
  readonly nodes: number[]
  readonly outputs: StageOutput[]
  readonly inputs: StageInput[]
}

/** Stages are numbered in the order of their heads. Every node but a source has inputs, a union several, a connect two keyBys. */
export function cutStages(nodes: readonly GraphNode[], links: Links): StageCut {
  const stages: Draft[] = []
  const stageOf: number[] = []
  const merged = mergedBehind(nodes, links)
  /** By node: the stages in which its outputs appear. */
  const sending: (readonly number[])[] = []
  const open = (head: number): Draft => {
    const stage = { index: stages.length, head, nodes: [], outputs: [], inputs: [] }
    stages.push(stage)
    return stage
  }
  const feed = (to: Draft, node: number, from: readonly number[], how: Pick<StageInput, 'route' | 'operand'>): void => {
    for (const stage of from) {
      stages[stage]!.outputs.push({ node, stage: to.index, input: to.inputs.length })
      to.inputs.push({ stage, ...how })
    }
  }
  /** Executed by several, or by those that send: shown where they lead to. */
  const feeders: number[] = []
  for (const [i, { kind }] of nodes.entries()) {
    const from = [...new Set(links.inputs[i]!.flatMap((input) => sending[input]!))]
    const isMerged = links.outputs[i]!.every((to) => merged[to])
    const isForOperands = links.outputs[i]!.every((to) => hasOperands(nodes[to]!.kind))
    if (hasOperands(kind)) {
      const stage = open(i)
      stage.nodes.push(i)
      // Each operand has the stages that compute its keys, whether or not the keyBy heads another one.
      for (const [operand, input] of links.inputs[i]!.entries()) {
        const route = ROUTES[nodes[input]!.kind] ?? 'forward'
        if (route === 'forward') feed(stage, i, sending[input]!, { route, operand })
        else feed(stage, input, sending[links.inputs[input]![0]!]!, { route, operand })
      }
      stageOf[i] = stage.index
      sending[i] = [stage.index]
    } else if (kind === 'broadcast' || (kind === 'keyBy' && isForOperands)) {
      feeders.push(i)
      sending[i] = from
    } else if (kind === 'source' || kind === 'keyBy' || (kind === 'union' && from.length > 1 && !isMerged)) {
      const stage = open(i)
      if (kind === 'source') stage.nodes.push(i)
      feed(stage, i, from, { route: kind === 'keyBy' ? 'keyed' : 'forward', operand: 0 })
      stageOf[i] = stage.index
      sending[i] = [stage.index]
    } else {
      for (const stage of from) stages[stage]!.nodes.push(i)
      if (from.length > 1) feeders.push(i)
      stageOf[i] = from[0]!
      sending[i] = from
    }
  }
  for (const i of feeders.toReversed()) stageOf[i] = stageOf[links.outputs[i]![0]!]!
  return { stages, stageOf }
}

/** Stages that get all their records from the same slice: no slice hears of another through them. */
export const forwarded = (stages: readonly Stage[]): number =>
  stages.filter(({ inputs }) => inputs.length > 0 && inputs.every(({ route }) => route === 'forward')).length
