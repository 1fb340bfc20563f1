/** What a start finds by laying the graph that made a state beside the one that is to take it over. */
import type { ConnectorDescriptor, PlanSummary } from '@weir/dataflow'
import type { StartPoint, StartProblem, StartTarget } from './start-from.ts'

type Node = PlanSummary['nodes'][number]
export const find = (plan: PlanSummary, uid: string): Node | undefined => plan.nodes.find((node) => node.uid === uid)

/** Names of the states a node keeps by key. */
export const statesOf = (node: Node): readonly string[] => (node.states ?? []).map(({ name }) => name)

/** Of a stage. */
export const headOf = (plan: PlanSummary, stage: number): Node | undefined => {
  const there = plan.nodes.filter((node) => node.stage === stage)
  return (
    there.find(({ kind }) => kind === 'source' || kind === 'keyBy') ??
    there.find(({ kind }) => ['union', 'connect', 'withBroadcast'].includes(kind))
  )
}

/** What makes the place a source reads, or a sink writes, another one: a stored position means nothing there. */
const PLACE = ['topic', 'folder', 'url', 'table', 'slot'] as const

/** `kafka topic "orders"`, `postgres url "env:DB", slot "weir"`. */
function placeOf(node: Node): string {
  const { descriptor } = node.config as { readonly descriptor: ConnectorDescriptor }
  const named = PLACE.filter((name) => descriptor[name] !== undefined)
  return `${descriptor.connector} ${named.map((name) => `${name} ${JSON.stringify(descriptor[name])}`).join(', ')}`.trim()
}

/** Positions and states that nobody takes over. What has become another thing under its uid is told by `changed`. */
export function* gone(from: StartPoint, to: StartTarget): Generator<string> {
  for (const node of from.plan.nodes) {
    const now = find(to.plan, node.uid)
    if (now === undefined) {
      if (node.kind === 'source' || statesOf(node).length > 0) yield node.uid
    } else if (now.kind === node.kind) {
      const kept = statesOf(now)
      for (const name of statesOf(node)) if (!kept.includes(name)) yield `${node.uid}/${name}`
    }
  }
}

export function nameOf(what: string, plan: PlanSummary): { readonly uid: string; readonly is: string } {
  const [uid = what, state] = what.split('/')
  const kind = find(plan, uid)?.kind ?? 'operator'
  if (kind === 'source') return { uid, is: `source "${uid}", whose position is stored,` }
  return { uid, is: `state ${state === undefined ? '' : `"${state}" `}of ${kind} "${uid}"` }
}

/** Same uid, and another thing. */
export function* changed(before: PlanSummary, now: PlanSummary): Generator<StartProblem> {
  for (const old of before.nodes) {
    const node = find(now, old.uid)
    if (node === undefined) continue
    const keeps = old.kind === 'source' || statesOf(old).length > 0
    const { uid } = old
    const another = `give it another uid, and drop the old state with --allow-dropped-state ${uid}`
    if (node.kind !== old.kind) {
      if (!keeps) continue
      yield {
        code: 'OPERATOR_CHANGED',
        uid,
        message: `"${uid}" is a ${node.kind} and was a ${old.kind} when its state was stored: ${another}`,
      }
      continue
    }
    if (old.kind === 'source') {
      const [was, is] = [placeOf(old), placeOf(node)]
      if (was !== is) {
        yield {
          code: 'SOURCE_CHANGED',
          uid,
          message: `source "${uid}" reads ${is}, its stored position is in ${was}: ${another}`,
        }
      }
      continue
    }
    if (!keeps) continue
    const [was, is] = [windowOf(old), windowOf(node)]
    if (was !== is) {
      yield {
        code: 'OPERATOR_CHANGED',
        uid,
        message: `${node.kind} "${uid}" is ${is} and was ${was} when its state was stored: ${another}`,
      }
    }
    const [keyedThen, keyedNow] = [keyedBy(before, old), keyedBy(now, node)]
    if (keyedThen !== keyedNow) {
      yield {
        code: 'OPERATOR_CHANGED',
        uid,
        message: `state of "${uid}" is kept ${keyedNow} and was stored ${keyedThen}: ${another}`,
      }
    }
  }
}

function windowOf({ kind, config }: Node): string | null {
  if (kind === 'connect') return JSON.stringify((config as { readonly of: object }).of)
  if (kind !== 'window') return null
  const { window, aggregate } = config as { readonly window: object; readonly aggregate: string }
  return `${JSON.stringify(window)} ${aggregate}`
}

/** Where state is keyed by its source, a split is the key group. */
function keyedBy(plan: PlanSummary, node: Node): string {
  const head = headOf(plan, node.stage)
  return head?.kind === 'source' ? `by the splits of "${head.uid}"` : 'by key'
}

/** Between which operators records are on their way. */
export const shapeOf = ({ nodes, edges }: PlanSummary): string =>
  JSON.stringify([nodes.map(({ uid, kind, stage }) => [uid, kind, stage]), edges])

export function* fresh(before: PlanSummary, now: PlanSummary): Generator<string> {
  for (const node of now.nodes) {
    const old = find(before, node.uid)
    if (old?.kind === node.kind) {
      if (node.kind === 'sink' && placeOf(old) !== placeOf(node))
        yield `sink "${node.uid}" writes to ${placeOf(node)} from here on, and wrote to ${placeOf(old)}`
      continue
    }
    if (node.kind === 'source') yield `source "${node.uid}" is new: it begins where it is configured to`
    if (statesOf(node).length > 0) yield `${node.kind} "${node.uid}" is new: it begins with empty state`
  }
}

export const sharesTopic = (before: PlanSummary, now: PlanSummary): boolean => {
  const places = new Set(before.nodes.filter(({ kind }) => kind === 'sink').map(placeOf))
  return now.nodes.some((node) => node.kind === 'sink' && places.has(placeOf(node)))
}
