/** Two keyed streams at one key: a keyed process whose records are of two kinds (`keyed-process.ts`). */
import type { RecordBatch } from '@weir/model'
import type { ConnectNode } from '../graph.ts'
import type { KeyedConnect, None, StateDescriptors, TimerKinds } from '../keyed-state.ts'
import type { SideOutputs } from '../side-output.ts'
import type { Collector, TwoInputOperator } from '../operator.ts'
import { KeyedProcessOperator } from './keyed-process.ts'

export class ConnectOperator extends KeyedProcessOperator implements TwoInputOperator {
  readonly #onRight: ConnectNode['onRight']

  constructor({ onLeft, onRight, ...node }: Omit<ConnectNode, 'kind' | 'of'>) {
    super({ ...node, onRecord: onLeft })
    this.#onRight = onRight
  }

  onRight(batch: RecordBatch, out: Collector): void {
    this.process(batch, this.#onRight, out)
  }
}

/** The plain part of a node. */
export const connectOf = <A, B, R, S extends StateDescriptors, M extends TimerKinds, O extends SideOutputs = None>(
  { state, timers, sides, onLeft, onRight, onTimer }: KeyedConnect<A, B, R, S, M, O>,
  of: ConnectNode['of'] = { type: 'process' },
): Omit<ConnectNode, 'uid'> => ({
  kind: 'connect',
  of,
  state: state ?? {},
  timers: timers ?? {},
  ...(sides && { sides: Object.keys(sides) }),
  onLeft: onLeft as unknown as ConnectNode['onLeft'],
  onRight: onRight as unknown as ConnectNode['onRight'],
  onTimer: (onTimer ?? null) as unknown as ConnectNode['onTimer'],
})
