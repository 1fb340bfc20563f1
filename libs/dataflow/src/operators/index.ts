/** One operator, one file; this is the only place that knows them all. */
import { unreachable } from '@weir/model'
import type {
  AsyncMapNode,
  ConnectNode,
  FilterNode,
  FlatMapNode,
  KeyByNode,
  KeyedBySourceNode,
  KeyedProcessNode,
  MapNode,
  ReduceNode,
  WindowNode,
  WithBroadcastNode,
} from '../graph.ts'
import type { Operator, TwoInputOperator } from '../operator.ts'
import type { IdempotentNode } from '../claim-node.ts'
import { AsyncMap } from './async-map.ts'
import { ConnectOperator } from './connect.ts'
import { Filter } from './filter.ts'
import { FlatMap } from './flat-map.ts'
import { Idempotent } from './idempotent.ts'
import { KeyBy } from './key-by.ts'
import { KeyedProcessOperator } from './keyed-process.ts'
import { MapValues } from './map.ts'
import { Reduce } from './reduce.ts'
import { windowOperator } from './window.ts'
import { WithBroadcast } from './with-broadcast.ts'

export * from './async-map.ts'
export * from './connect.ts'
export * from './filter.ts'
export * from './flat-map.ts'
export * from './idempotent.ts'
export * from './interval-join.ts'
export * from './key-by.ts'
export * from './late-joins.ts'
export * from './keyed-process.ts'
export * from './map.ts'
export * from './reduce.ts'
export * from './resumable.ts'
export * from './source.ts'
export * from './tumbling-window.ts'
export * from './window-join.ts'
export * from './pane-window.ts'
export * from './session-window.ts'
export * from './global-window.ts'
export * from './window.ts'
export * from './window-results.ts'
export * from './with-broadcast.ts'

/** Nodes that are executed by an Operator made of the node alone; a resumable one needs a place for its state (`Resumable`). */
export type OperatorNode =
  | AsyncMapNode
  | IdempotentNode
  | FilterNode
  | MapNode
  | FlatMapNode
  | KeyByNode
  | KeyedBySourceNode
  | ReduceNode
  | WindowNode
  | KeyedProcessNode

/** A fresh instance for one subtask. A keyBy's instance belongs to the *sending* stage. */
export function operatorFor(node: OperatorNode): Operator {
  switch (node.kind) {
    case 'filter':
      return new Filter(node)
    case 'map':
      return new MapValues(node)
    case 'flatMap':
      return new FlatMap(node)
    case 'asyncMap':
      return new AsyncMap(node)
    case 'idempotent':
      return new Idempotent(node)
    case 'keyBy':
    case 'keyedBySource':
      return new KeyBy(node)
    case 'reduce':
      return new Reduce(node)
    case 'window':
      return windowOperator(node)
    case 'keyedProcess':
      return new KeyedProcessOperator(node)
    default:
      return unreachable(node)
  }
}

/** Of the two-input operator at the head of a stage. */
export const twoInputOperatorFor = (node: ConnectNode | WithBroadcastNode): TwoInputOperator =>
  node.kind === 'connect' ? new ConnectOperator(node) : new WithBroadcast(node)
