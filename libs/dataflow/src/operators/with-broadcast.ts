/** A stream, keyed or not, beside what a small one tells all subtasks (`broadcast-state.ts`). */
import type { OperatorUid, RecordBatch } from '@weir/model'
import {
  BroadcastStates,
  type BroadcastDescriptors,
  type ReadableBroadcast,
  type WritableBroadcast,
} from '../broadcast-state.ts'
import type { WithBroadcastNode } from '../graph.ts'
import type { FiredTimer, KeyedContext, None, Out, StateDescriptors, TimerKinds } from '../keyed-state.ts'
import type { Collector, OperatorContext, TwoInputOperator } from '../operator.ts'
import type { SideOutputs } from '../side-output.ts'
import { isThenable, operatorFailed, refuseNone, returnedPromise } from '../user-code.ts'
import { KeyedProcessOperator } from './keyed-process.ts'
import { operatorGroups } from './resumable.ts'

/** What a record of the stream sees. `key`: '' where the stream has none. */
export type BroadcastRead<
  S extends StateDescriptors,
  M extends TimerKinds,
  D extends BroadcastDescriptors,
  O extends SideOutputs,
> = KeyedContext<S, M, O> & { readonly broadcast: ReadableBroadcast<D> }

/** What a broadcast record sees. It has no output: all subtasks would have it. */
export interface BroadcastWrite<D extends BroadcastDescriptors> {
  /** Event time of the record, ms. */
  readonly timestamp: number
  readonly broadcast: WritableBroadcast<D>
}

export interface BroadcastProcess<
  T,
  B,
  R,
  D extends BroadcastDescriptors,
  S extends StateDescriptors = None,
  M extends TimerKinds = None,
  O extends SideOutputs = None,
> {
  /** `{ rules: broadcastState<string, Rule>() }` */
  readonly broadcast: D
  /** By key: of a keyed stream alone, as are timers. */
  readonly state?: S
  readonly timers?: M
  readonly sides?: O
  onRecord(context: BroadcastRead<S, M, D, O>, value: T, out: Out<R>): void
  /** The same function of record and maps in every subtask: no clock, no randomness, no I/O. */
  onBroadcast(context: BroadcastWrite<D>, value: B): void
  onTimer?(context: BroadcastRead<S, M, D, O>, timer: FiredTimer<keyof M>, out: Out<R>): void
}

export class WithBroadcast extends KeyedProcessOperator implements TwoInputOperator {
  readonly #node: WithBroadcastNode
  #uid: OperatorUid
  #states!: BroadcastStates
  #refuse = refuseNone

  constructor(node: WithBroadcastNode) {
    super(node)
    this.#node = node
    this.#uid = node.uid
  }

  override open(context: OperatorContext): void {
    const { uid, state, freeze, subtask, refuse } = context
    this.#uid = uid
    // All subtasks refuse the same record: it is one dead letter.
    this.#refuse = refuse === refuseNone || subtask === 0 ? refuse : () => {}
    const groups = operatorGroups('keyed', context)
    this.#states = new BroadcastStates(Object.keys(this.#node.broadcast), { uid, state, groups, freeze })
    super.open(context)
    Object.assign(this.context, { broadcast: this.#states.maps })
  }

  override onBatch(batch: RecordBatch, out: Collector): void {
    const keys = batch.keys ?? batch.values.map(() => '')
    this.process(batch, this.#node.onRecord, out, keys)
  }

  onRight(batch: RecordBatch): void {
    const { values, timestamps } = batch
    for (const [i, value] of values.entries()) {
      const context = { timestamp: timestamps[i]!, broadcast: this.#states.maps }
      try {
        this.#states.update(() => {
          const answer: unknown = this.#node.onBroadcast(context, value)
          if (isThenable(answer)) throw returnedPromise(this.#uid, batch, i)
        })
      } catch (error) {
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
      }
    }
  }
}

/** The plain part of a node. */
export const withBroadcastOf = <
  T,
  B,
  R,
  D extends BroadcastDescriptors,
  S extends StateDescriptors,
  M extends TimerKinds,
  O extends SideOutputs,
>({
  broadcast,
  state,
  timers,
  sides,
  onRecord,
  onBroadcast,
  onTimer,
}: BroadcastProcess<T, B, R, D, S, M, O>): Omit<WithBroadcastNode, 'uid'> => ({
  kind: 'withBroadcast',
  broadcast,
  state: state ?? {},
  timers: timers ?? {},
  ...(sides && { sides: Object.keys(sides) }),
  onRecord: onRecord as unknown as WithBroadcastNode['onRecord'],
  onBroadcast: onBroadcast as unknown as WithBroadcastNode['onBroadcast'],
  onTimer: (onTimer ?? null) as unknown as WithBroadcastNode['onTimer'],
})
