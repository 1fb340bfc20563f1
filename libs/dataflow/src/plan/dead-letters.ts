/** Where the dead letters of each stage leave the job, and which of its records they name as they were read. */
import { WeirError } from '@weir/model'
import { claimsHandedOn } from '../claim-node.ts'
import type { ConnectorDescriptor, GraphNode, NodeKind } from '../graph.ts'
import type { DeadLetterPlan, Stage } from '../plan.ts'
import type { Links } from '../stages.ts'
import { refused } from './refused.ts'

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
export function routed(
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
