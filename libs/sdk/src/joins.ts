/** Two keyed streams together: user code over both, or a join. */
import {
  connectOf,
  intervalJoin,
  windowJoin,
  type ConnectNode,
  type JoinKeeps,
  type JoinWindow,
  type KeyedConnect,
  type None,
  type SideOutputs,
  type SideTypes,
  type StateDescriptors,
  type Sync,
  type TimerKinds,
  type WindowBounds,
} from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { durationMs, type Duration } from './duration.ts'
import type { SidedStream, Stream } from './job.ts'

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

/** Windows in which streams can be joined. */
export type JoinableWindow =
  | { readonly type: 'tumbling'; readonly sizeMs: number; readonly offsetMs?: number }
  | { readonly type: 'sliding'; readonly sizeMs: number; readonly slideMs: number; readonly offsetMs?: number }

export interface JoinedStreams<A, B> {
  /** Throws WeirError `WINDOW_INVALID` (invalid) for one with an offset. */
  window(window: JoinableWindow): WindowedJoin<A, B>
}

/** Pairs with one key in one window, put out when the watermark passes its end; the output's time is `end − 1`. `uid` names the state. */
export interface WindowedJoin<A, B> {
  inner<R>(uid: string, combine: (left: A, right: B, window: WindowBounds) => Sync<R> & R): Stream<R>
  /** Also left records without a partner. */
  left<R>(uid: string, combine: (left: A, right: B | undefined, window: WindowBounds) => Sync<R> & R): Stream<R>
  /** Also records of either side without a partner. */
  full<R>(
    uid: string,
    combine: (left: A | undefined, right: B | undefined, window: WindowBounds) => Sync<R> & R,
  ): Stream<R>
}

/** left + `lower` ≤ right ≤ left + `upper`, in event time: `{ lower: '-5s', upper: '1m' }`. Each may be negative or 0. */
export interface IntervalBounds {
  readonly lower: Duration
  readonly upper: Duration
}

export interface IntervalJoin<A, B> {
  /** Pairs with one key, put out as soon as both are there; the output's time is the later one's. `uid` names the state. */
  inner<R>(uid: string, combine: (left: A, right: B) => Sync<R> & R): Stream<R>
}

/** Adds the node; its inputs are known to whoever made this. */
type Add = <R, O = unknown>(uid: string, node: Omit<ConnectNode, 'uid'>) => SidedStream<R, O>
type Combine = (left: never, right: never, window: WindowBounds) => unknown

export const connected = <A, B>(add: Add): ConnectedStreams<A, B> => ({
  process: (uid, process) => add(uid, connectOf(process)),
})

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
      <R>(uid: string, combine: Combine): Stream<R> =>
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
