/** What a plan tells of a node. */
import { plain } from '../canonical.ts'
import type { ConnectNode, GraphNode, KeyedProcessNode, WithBroadcastNode } from '../graph.ts'

/** A node's plain data: what is shown, and what two builds of a job must have in common. Functions are not in it. */
export function configOf(node: GraphNode): unknown {
  switch (node.kind) {
    case 'source':
      return {
        descriptor: node.descriptor,
        decodes: node.decode !== null,
        ownTimestamp: node.timestamp !== null,
        outOfOrderMs: node.outOfOrderMs,
        // Named where they are there: jobs without them keep their hash.
        ...(node.watermarks && { watermarks: { initial: plain(node.watermarks.initial) } }),
        ...(node.idleAfterMs && { idleAfterMs: node.idleAfterMs }),
        ...(node.alignWithinMs && { alignWithinMs: node.alignWithinMs }),
        ...(node.alignGroup && { alignGroup: node.alignGroup }),
        recordsPerSecond: node.recordsPerSecond,
        ...(node.minRecordsPerSecond && { minRecordsPerSecond: node.minRecordsPerSecond }),
      }
    case 'filter':
    case 'map':
    case 'flatMap':
    case 'union':
    case 'broadcast':
    case 'keyBy':
    case 'keyedBySource':
      return {}
    case 'resumable':
      return { ...(node.sides && { sides: node.sides }), ...(node.origins && { origins: true }) }
    case 'sideOutput':
      return { side: node.side }
    case 'asyncMap': {
      const { mode, capacity, timeoutMs, retries, backoffMs, backoffMsMax, onFailure } = node
      return { mode, capacity, timeoutMs, retries, backoffMs, backoffMsMax, onFailure }
    }
    case 'idempotent': {
      const { claims, windowMs, ttlMs, rewindMs, onConflict, onUnavailable, sides } = node
      return { claims, windowMs, ttlMs, rewindMs, onConflict, onUnavailable, sides }
    }
    case 'reduce':
      return { initial: plain(node.initial) }
    case 'window':
      return {
        ...{ window: node.window, aggregate: node.aggregateName, initial: plain(node.aggregate.initial) },
        ...(node.trigger && { trigger: node.trigger }),
        ...(node.allowedLatenessMs && { allowedLatenessMs: node.allowedLatenessMs }),
      }
    case 'keyedProcess':
      return { ...keptOf(node), ...(node.origins && { origins: true }) }
    case 'connect':
      return node.of.type === 'process' ? { of: node.of, ...keptOf(node) } : { of: node.of }
    case 'withBroadcast':
      return { ...keptOf(node), broadcast: Object.keys(node.broadcast) }
    case 'sink':
      return { descriptor: node.descriptor }
  }
}

const keptOf = ({
  state,
  timers,
  onTimer,
  sides,
}: KeyedProcessNode | ConnectNode | WithBroadcastNode): Record<string, unknown> => ({
  state: Object.entries(state).map(([name, of]) => {
    const initial = of.kind === 'value' || of.kind === 'aggregating' ? plain(of.initial) : null
    return { name, kind: of.kind, ttl: of.ttl, initial }
  }),
  timers,
  onTimer: onTimer !== null,
  ...(sides && { sides }),
})
