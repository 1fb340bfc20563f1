/** Of which sources the receipts of each sink speak. */
import { WeirError } from '@weir/model'
import type { JobDefinition } from '../graph.ts'
import type { AuditPlan } from '../plan.ts'
import type { Links } from '../stages.ts'
import { refused } from './refused.ts'

/** Connectors whose sinks can write to other topics in the same transaction. */
const LOGS: ReadonlySet<string> = new Set(['kafka', 'log'])

/** A receipt is in the transaction it speaks of, so every sink must be able to write it. */
export function audited({ settings, graph: { nodes } }: JobDefinition, { inputs }: Links): AuditPlan {
  const { connector, topic } = settings.audit!
  const invalid = (text: string): WeirError =>
    refused('AUDIT_INVALID', { connector, topic }, [`receipts to "${String(topic)}": ${text}`])
  if (!LOGS.has(connector))
    throw invalid(`${connector} keeps none: receipts go to a topic, and every sink must write to its log.`)
  if (typeof topic !== 'string' || topic === '') throw invalid('name a topic, e.g. kafka.sink("orders.receipts").')
  if (settings.commit.scope === 'continuous') {
    throw invalid('the commit scope "continuous" writes none yet: use the scope "epoch".')
  }
  if (settings.deadLetters?.connector === connector && settings.deadLetters['topic'] === topic) {
    throw invalid('dead letters go to this topic too; give receipts one of their own.')
  }
  for (const { kind, uid, descriptor } of nodes.filter((node) => node.kind === 'source' || node.kind === 'sink')) {
    if (kind === 'sink' && descriptor.connector !== connector) {
      throw invalid(`sink "${uid}" writes to ${descriptor.connector}, and a transaction does not reach from there.`)
    }
    if (descriptor.connector === connector && descriptor['topic'] === topic) {
      throw invalid(`${kind} "${uid}" uses this topic too; give receipts one of their own.`)
    }
  }
  const sources: (readonly number[])[] = []
  for (const [i, from] of inputs.entries())
    sources[i] = from.length === 0 ? [i] : [...new Set(from.flatMap((input) => sources[input]!))]
  const sinks = [...nodes.keys()].filter((i) => nodes[i]!.kind === 'sink')
  return { topic, sources: new Map(sinks.map((i) => [i, sources[i]!])) }
}
