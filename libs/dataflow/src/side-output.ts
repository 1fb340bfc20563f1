/**
 * Side outputs: a second way out of an operator, by name and with a type of its own: what is too late for a window, what looks
 * suspicious, what was seen before.
 *
 *     process ──▶ map ──▶ sink                       stream.map(…).to(…)
 *        └─ suspicious ──▶ sink                      stream.sideOutput('suspicious').to(…)
 *
 * An operator says in its node which it has (`sidesOf`). Taking one is a node of the graph, `sideOutput`, behind the operator:
 * plain data, so a plan knows it, its hash has it, and all that is said of nodes and edges (stages, dead letters, receipts)
 * is said of it. One that nobody takes leads nowhere: what is put into it is gone, and costs no more than the call.
 *
 * It has the keys and the watermark of the operator's output. Records keep their event time; late ones stay late.
 */
import { WeirError } from '@weir/model'
import type { Input } from './chain.ts'
import type { GraphNode } from './graph.ts'
import type { Collector } from './operator.ts'

/** Says that there is one, and what it carries; its name is that of the property. */
export interface SideOutput<T> {
  readonly kind: 'sideOutput'
  /** Compile-time only. */
  readonly types?: T
}
/** By name. */
export type SideOutputs = Readonly<Record<string, SideOutput<unknown>>>
/** What each of them carries. */
export type SideTypes<O extends SideOutputs> = {
  readonly [N in keyof O]: O[N] extends SideOutput<infer T> ? T : never
}

/** `sides: { suspicious: sideOutput<Payment>() }` */
export const sideOutput = <T>(): SideOutput<T> => SIDE_OUTPUT
const SIDE_OUTPUT: SideOutput<never> = Object.freeze({ kind: 'sideOutput' })

/** Of every window of time: the records that came when theirs was gone, as they came. */
export const LATE = 'late'
export interface Late<T> {
  readonly late: T
}

/** Where the side outputs lead that somebody takes. */
export type SideCollectors = ReadonlyMap<string, Collector>
export const NO_SIDES: SideCollectors = new Map()

/** Names of the side outputs an operator has. */
export function sidesOf(node: GraphNode): readonly string[] {
  switch (node.kind) {
    case 'window':
      return node.window.type === 'global' ? [] : [LATE] // for all of time nothing is late
    case 'idempotent':
      return node.sides
    case 'connect':
    case 'withBroadcast':
    case 'keyedProcess':
    case 'resumable':
      return node.sides ?? []
    default:
      return []
  }
}

/** What follows an operator: its output, and side outputs that have the same watermark and end. */
export function withSides(output: Input, sides: ReadonlyMap<string, Input>): Input {
  if (sides.size === 0) return output
  const all = [output, ...sides.values()]
  return {
    emit: (batch) => output.emit(batch),
    watermark: (timestamp) => {
      for (const input of all) input.watermark(timestamp)
    },
    end: () => {
      for (const input of all) input.end()
    },
  }
}

/** Part of uids. */
const SIDE_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/

/** Throws WeirError `GRAPH_SIDE_OUTPUT` (invalid). */
export function checkSideOutputs(nodes: readonly GraphNode[], inputs: readonly (readonly number[])[]): void {
  for (const [i, node] of nodes.entries()) {
    const unnameable = sidesOf(node).find((side) => !SIDE_NAME.test(side))
    if (unnameable !== undefined) {
      throw refused(
        node,
        unnameable,
        'names a side output; use 1 to 63 of A-Z, a-z, 0-9, "_", "-", beginning with a letter.',
      )
    }
    if (node.kind !== 'sideOutput') continue
    const of = nodes[inputs[i]![0]!]!
    const there = sidesOf(of)
    if (there.includes(node.side)) continue
    const has = there.length === 0 ? 'no side outputs' : there.map((side) => `"${side}"`).join(', ')
    throw refused(of, node.side, `is taken as its side output, and it has ${has}.`)
  }
}

const refused = ({ kind, uid }: GraphNode, side: string, text: string): WeirError =>
  new WeirError(
    { code: 'GRAPH_SIDE_OUTPUT', kind: 'invalid', uid, side },
    `${kind} "${uid}": ${JSON.stringify(side)} ${text}`,
  )
