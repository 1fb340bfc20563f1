/** Two keyed streams together: user code over both, or a join. */
import {
  connectOf,
  intervalJoin,
  windowJoin,
  withBroadcastOf,
  type BroadcastDescriptor,
  type BroadcastDescriptors,
  type BroadcastProcess,
  type ConnectNode,
  type JoinKeeps,
  type JoinLate,
  type JoinWindow,
  type KeyedConnect,
  type None,
  type SideOutputs,
  type SideTypes,
  type StateDescriptors,
  type StateSchema,
  type Sync,
  type TimerKinds,
  type WindowBounds,
  type WithBroadcastNode,
} from '@weir/dataflow'
import { WeirError, type Key } from '@weir/model'
import { durationMs, type Duration } from './duration.ts'
import type { SidedStream } from './job.ts'

export interface ConnectedStreams<A, B> {
  /**
   * Your code with state and timers by key, which both streams share. `uid` names the state.
   *
   *     orders.connect(payments).process('paid', {
   *       state: { order: valueState<Order>() },
   *       onLeft({ state }, order) { state.order.set(order) },
   *       onRight({ state }, payment, out: Out<Paid>) { … },
   *     })
   *
   * Records come in the order of their own stream; between the two there is none, so either side may be first.
   */
  process<R, S extends StateDescriptors = None, M extends TimerKinds = None, O extends SideOutputs = None>(
    uid: string,
    process: KeyedConnect<A, B, R, S, M, O>,
  ): SidedStream<R, SideTypes<O>>
}

/** A small stream that all subtasks of what is connected with it hear: `stream.connect(rules.broadcast())`. */
export interface BroadcastStream<out T> {
  readonly kind: 'broadcast'
  /** Compile-time only. */
  readonly types?: T
}

/** Says that there is a map; its name is that of the property. */
export const broadcastState = <K extends Key, V>(
  options: { readonly schema?: StateSchema<V> } = {},
): BroadcastDescriptor<K, V> => ({
  kind: 'broadcast',
  ...options,
})

export interface WithBroadcastStream<T, B> {
  /**
   * Your code over the stream, beside maps that the broadcast fills, whole and the same in every subtask. `uid` names the maps.
   *
   *     payments.connect(rules.broadcast()).process('checked', {
   *       broadcast: { rules: broadcastState<string, Rule>() },
   *       onBroadcast({ broadcast }, rule) { broadcast.rules.set(rule.id, rule) },
   *       onRecord({ broadcast }, payment, out: Out<Checked>) { … },
   *     })
   *
   * Between a record and a broadcast one there is no order but that of barriers: a payment may come before a rule in one subtask
   * and behind it in another. Event time is that of the slower of the two streams.
   */
  process<R, D extends BroadcastDescriptors, O extends SideOutputs = None>(
    uid: string,
    process: Omit<BroadcastProcess<T, B, R, D, None, None, O>, 'state' | 'timers' | 'onTimer'>,
  ): SidedStream<R, SideTypes<O>>
}

export interface KeyedWithBroadcast<T, B> {
  /** As of a stream without a key, and with state and timers by key. */
  process<
    R,
    D extends BroadcastDescriptors,
    S extends StateDescriptors = None,
    M extends TimerKinds = None,
    O extends SideOutputs = None,
  >(
    uid: string,
    process: BroadcastProcess<T, B, R, D, S, M, O>,
  ): SidedStream<R, SideTypes<O>>
}

/** Windows in which streams can be joined. */
export type JoinableWindow =
  | { readonly type: 'tumbling'; readonly sizeMs: number; readonly offsetMs?: number }
  | { readonly type: 'sliding'; readonly sizeMs: number; readonly slideMs: number; readonly offsetMs?: number }

export interface JoinedStreams<A, B> {
  /** Throws WeirError `WINDOW_INVALID` (invalid) for one with an offset. */
  window(window: JoinableWindow): WindowedJoin<A, B>
}

/**
 * Pairs with one key in one window, put out when the watermark passes its end; the output's time is `end − 1`. `uid` names the state.
 * Records that come when their windows are over are in the side outputs `lateLeft` and `lateRight`.
 */
export interface WindowedJoin<A, B> {
  inner<R>(
    uid: string,
    combine: (left: A, right: B, window: WindowBounds) => Sync<R> & R,
  ): SidedStream<R, JoinLate<A, B>>
  /** Also left records without a partner. */
  left<R>(
    uid: string,
    combine: (left: A, right: B | undefined, window: WindowBounds) => Sync<R> & R,
  ): SidedStream<R, JoinLate<A, B>>
  /** Also records of either side without a partner. */
  full<R>(
    uid: string,
    combine: (left: A | undefined, right: B | undefined, window: WindowBounds) => Sync<R> & R,
  ): SidedStream<R, JoinLate<A, B>>
}

/** left + `lower` ≤ right ≤ left + `upper`, in event time: `{ lower: '-5s', upper: '1m' }`. Each may be negative or 0. */
export interface IntervalBounds {
  readonly lower: Duration
  readonly upper: Duration
}

export interface IntervalJoin<A, B> {
  /**
   * Pairs with one key, put out as soon as both are there; the output's time is the later one's. `uid` names the state. Late records,
   * whose partners may be gone, are in the side outputs `lateLeft` and `lateRight`.
   */
  inner<R>(uid: string, combine: (left: A, right: B) => Sync<R> & R): SidedStream<R, JoinLate<A, B>>
}

/** Adds the node; its inputs are known to whoever made this. */
type Add = <R, O = unknown>(
  uid: string,
  node: Omit<ConnectNode, 'uid'> | Omit<WithBroadcastNode, 'uid'>,
) => SidedStream<R, O>
type Combine = (left: never, right: never, window: WindowBounds) => unknown

export const connected = <A, B>(add: Add): ConnectedStreams<A, B> => ({
  process: (uid, process) => add(uid, connectOf(process)),
})

export const withBroadcast = <T, B>(add: Add): KeyedWithBroadcast<T, B> & WithBroadcastStream<T, B> =>
  ({
    process: (uid: string, process: Parameters<typeof withBroadcastOf>[0]) => add(uid, withBroadcastOf(process)),
  }) as never

export const joined = <A, B>(add: Add): JoinedStreams<A, B> => ({
  window(of) {
    if (of.offsetMs) {
      throw new WeirError(
        { code: 'WINDOW_INVALID', kind: 'invalid', window: of },
        `a window of a join begins at multiples of its ${of.type === 'sliding' ? 'slide' : 'size'}: leave out the offset of ${of.offsetMs} ms.`,
      )
    }
    const window: JoinWindow = { sizeMs: of.sizeMs, slideMs: of.type === 'sliding' ? of.slideMs : of.sizeMs }
    const by =
      (keeps: JoinKeeps) =>
      <R>(uid: string, combine: Combine): SidedStream<R, JoinLate<A, B>> =>
        add(uid, windowJoin({ window, keeps }, combine))
    return { inner: by('inner'), left: by('left'), full: by('full') }
  },
})

export const intervalJoined = <A, B>(add: Add, { lower, upper }: IntervalBounds): IntervalJoin<A, B> => {
  const bounds = { lowerMs: signedMs(lower), upperMs: signedMs(upper) }
  return { inner: (uid, combine) => add(uid, intervalJoin(bounds, combine as (left: never, right: never) => unknown)) }
}

function signedMs(bound: Duration): number {
  if (/^-?0(ms|s|m|h|d)?$/.test(String(bound))) return 0
  const isNegative = String(bound).startsWith('-')
  const length = typeof bound === 'number' ? Math.abs(bound) : (bound.replace('-', '') as Duration)
  return (isNegative ? -1 : 1) * durationMs(length)
}
