/**
 * Pairs of two keyed streams in the same window, tumbling or sliding: put out when event time passes the window's end, at its last
 * millisecond, in the order of left and then right event times. Where a side is kept, its records without a partner come out alone.
 *
 * A record is stored once, however many windows it is in, and until the last of them has ended. One that comes when they all have is
 * counted, and in the side output `lateLeft` or `lateRight`.
 */
import type { ConnectNode, JoinKeeps, JoinWindow } from '../graph.ts'
import type { KeyedContext, MapDescriptor, MapState, Out } from '../keyed-state.ts'
import type { WindowBounds } from '../window-process.ts'
import { connectOf } from './connect.ts'
import type { LateContext } from './keyed-process.ts'
import { lateSides, tellLate, type LateSides } from './late-joins.ts'

export interface WindowJoinOptions {
  readonly window: JoinWindow
  readonly keeps: JoinKeeps
}

/** Records by event time; of one time in the order they came. */
type Waiting = Record<'left' | 'right', MapDescriptor<number, readonly unknown[]>>
type Timers = Record<'end', 'event'>
const WAITING: Waiting = { left: { kind: 'map', ttl: null }, right: { kind: 'map', ttl: null } }

export function windowJoin(
  { window, keeps }: WindowJoinOptions,
  combine: (left: never, right: never, window: WindowBounds) => unknown,
): Omit<ConnectNode, 'uid'> {
  const { sizeMs, slideMs } = window
  const pair = combine as (left: unknown, right: unknown, window: WindowBounds) => unknown

  const add = (side: 'left' | 'right', context: KeyedContext<Waiting, Timers, LateSides>, value: unknown): void => {
    const { state, timers, timestamp, watermark } = context
    const last = Math.floor(timestamp / slideMs) * slideMs
    // Between two windows that do not touch there is none.
    if (timestamp >= last + sizeMs) return
    if (last + sizeMs <= watermark) return tellLate(side, context as unknown as LateContext<Waiting, Timers>, value)
    state[side].set(timestamp, [...(state[side].get(timestamp) ?? []), value])
    for (let end = last + sizeMs; end > timestamp && end > watermark; end -= slideMs) timers.end.set(end)
  }

  const inside = (of: MapState<number, readonly unknown[]>, { start, end }: WindowBounds): unknown[] =>
    [...of]
      .filter(([time]) => start <= time && time < end)
      .sort(([a], [b]) => a - b)
      .flatMap(([, values]) => values)

  /** What no later window holds. */
  const forget = (of: MapState<number, readonly unknown[]>, before: number): void => {
    for (const [time] of of) if (time < before) of.delete(time)
  }

  return connectOf<unknown, unknown, unknown, Waiting, Timers, LateSides>(
    {
      state: WAITING,
      timers: { end: 'event' },
      sides: lateSides,
      onLeft: (context, left) => add('left', context, left),
      onRight: (context, right) => add('right', context, right),
      onTimer({ state }, { time: end }, out: Out<unknown>) {
        const bounds: WindowBounds = Object.freeze({ start: end - sizeMs, end })
        const [lefts, rights] = [inside(state.left, bounds), inside(state.right, bounds)]
        const emit = (left: unknown, right: unknown): void => out.emit(pair(left, right, bounds), end - 1)
        for (const left of lefts) for (const right of rights) emit(left, right)
        if (rights.length === 0 && keeps !== 'inner') for (const left of lefts) emit(left, undefined)
        if (lefts.length === 0 && keeps === 'full') for (const right of rights) emit(undefined, right)
        for (const side of [state.left, state.right]) forget(side, bounds.start + slideMs)
      },
    },
    { type: 'window-join', window, keeps },
  )
}
