/**
 * What a graph must be for the `continuous` commit scope: one chain from Kafka to Kafka in which every output is a function
 * of one partition's records. Then a restart rebuilds the state behind committed output by reading those records again
 * (PROTOCOL A17, A18). The scope is asked for by name, so a graph that cannot have it is refused and not run in another.
 */
import { WeirError } from '@weir/model'
import type { GraphNode, KeyedProcessNode, NodeKind, WindowNode } from './graph.ts'

interface Refusal {
  readonly reason: Reason
  readonly text: string
}
type Reason = 'sources' | 'source' | 'sink' | 'shuffle' | 'not-deterministic'

/** Null: its output is a function of its input and its state per partition. Every new kind must say. */
const REFUSED: Readonly<Record<Exclude<NodeKind, 'keyedProcess' | 'window'>, Refusal | null>> = {
  source: null,
  filter: null,
  map: null,
  flatMap: null,
  keyedBySource: null,
  reduce: null,
  sideOutput: null,
  sink: null,
  broadcast: {
    reason: 'shuffle',
    text: 'it sends records to all tasks, and a transaction holds the offsets of one only.',
  },
  withBroadcast: {
    reason: 'not-deterministic',
    text: 'what it has been told by then depends on when that came. Make two jobs of it.',
  },
  connect: {
    reason: 'shuffle',
    text: 'its two streams are brought together by key, from several tasks. Make two jobs of it.',
  },
  asyncMap: {
    reason: 'not-deterministic',
    text: 'what it answers may be something else when the same records are read again, so state behind it would not be rebuilt.',
  },
  idempotent: {
    reason: 'not-deterministic',
    text: 'who holds a claim may change between two readings of the same records, so state behind it would not be rebuilt.',
  },
  resumable: {
    reason: 'not-deterministic',
    text: 'its state is of all partitions of its subtask together, so records read again would not rebuild it.',
  },
  union: {
    reason: 'not-deterministic',
    text: 'it merges its inputs in the order in which batches come, so records read again would come out of it in another. Make two jobs of it.',
  },
  keyBy: {
    reason: 'shuffle',
    text:
      'it moves records between tasks, and a transaction holds the offsets of one task only. If the topic is partitioned ' +
      'by this key, write .keyedBySource(…) instead.',
  },
}

/** With event timers and TTL (which is event time) it is deterministic: a split's watermark is a function of its records. */
function refusalOfTimers({ timers }: KeyedProcessNode): Refusal | null {
  const [name] = Object.entries(timers).find(([, kind]) => kind === 'processing') ?? []
  if (name === undefined) return null
  return {
    reason: 'not-deterministic',
    text:
      `its timer "${name}" goes by processing time, so a replay of the same records fires it between other records and ` +
      `puts out something else. Make it an event timer: timers: { ${name}: 'event' }.`,
  }
}

function refusalOfTrigger({ trigger }: WindowNode): Refusal | null {
  if (trigger?.every.by !== 'processing-time') return null
  return {
    reason: 'not-deterministic',
    text:
      'its trigger goes by processing time, so a replay of the same records fires it between other records and puts out ' +
      'something else. Make it one of event time: everyEventTime(…).',
  }
}

function refusalOf(node: GraphNode): Refusal | null {
  if (node.kind === 'keyedProcess') return refusalOfTimers(node)
  return node.kind === 'window' ? refusalOfTrigger(node) : REFUSED[node.kind]
}

/** Throws WeirError `CONTINUOUS_SCOPE_REFUSED` (invalid) with `uid` and `reason`. */
export function checkContinuousScope(nodes: readonly GraphNode[]): void {
  for (const node of nodes) {
    const refusal = refusalOf(node)
    if (refusal !== null) throw refused(node, refusal.reason, refusal.text)
    if ((node.kind === 'source' || node.kind === 'sink') && node.descriptor.connector !== 'kafka') {
      throw refused(
        node,
        node.kind,
        `its connector is "${node.descriptor.connector}", and offsets and outputs must be in transactions of one Kafka cluster.`,
      )
    }
  }
  for (const node of nodes) {
    if (node.kind === 'source' && (node.idleAfterMs || node.alignWithinMs)) {
      throw refused(
        node,
        'source',
        'idleAfter and alignWithin are about partitions that wait for each other, and here each has its own event time: leave them out.',
      )
    }
    const policy = node.kind === 'source' ? (node.descriptor['outOfRange'] ?? 'fail') : 'fail'
    if (policy !== 'fail') {
      throw refused(
        node,
        'source',
        `outOfRange is ${JSON.stringify(policy)}, and state is rebuilt from the records behind the checkpoint: without them it would be wrong. Use "fail".`,
      )
    }
  }
  const [, second] = nodes.filter((node) => node.kind === 'source')
  if (second !== undefined) {
    throw refused(
      second,
      'sources',
      'it is the second source, and a transaction holds the offsets of one: make two jobs of it.',
    )
  }
}

const refused = ({ uid, kind }: GraphNode, reason: Reason, text: string): WeirError =>
  new WeirError(
    { code: 'CONTINUOUS_SCOPE_REFUSED', kind: 'invalid', uid, reason },
    `commit scope "continuous" and ${kind} "${uid}" do not go together: ${text} Or use the scope "epoch".`,
  )
