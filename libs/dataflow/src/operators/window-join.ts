/**
 * Pairs of two keyed streams in the same window, tumbling or sliding: put out when event time passes the window's end, at its last
 * millisecond, in the order of left and then right event times. Where a side is kept, its records without a partner come out alone.
 *
 * A record is stored once, however many windows it is in, and until the last of them has ended. One that comes when they all have is
 * counted, and in the side output `lateLeft` or `lateRight`.
 */
import type { Key } from '@weir/model'
import type { ConnectNode, JoinKeeps, JoinWindow } from '../graph.ts'
import type { KeyedContext, MapDescriptor, MapState, Out } from '../keyed-state.ts'
import type { WindowBounds } from '../window-process.ts'
import { connectOf } from './connect.ts'
import type { LateContext } from './keyed-process.ts'
import { lateSides, tellLate, type LateSides } from './late-joins.ts'
import { timesByState } from './waiting-times.ts'

export interface WindowJoinOptions {
  readonly window: JoinWindow
  readonly keeps: JoinKeeps
}

/** Records by event time; of one time in the order they came. */
type Waiting = Record<'left' | 'right', MapDescriptor<number, readonly unknown[]>>
type Records = MapState<number, readonly unknown[]>
type Timers = Record<'end', 'event'>
const WAITING: Waiting = { left: { kind: 'map', ttl: null }, right: { kind: 'map', ttl: null } }

export function windowJoin(
  { window, keeps }: WindowJoinOptions,
  combine: (left: never, right: never, window: WindowBounds) => unknown,
): Omit<ConnectNode, 'uid'> {
  const { sizeMs, slideMs } = window
  const pair = combine as (left: unknown, right: unknown, window: WindowBounds) => unknown
  const timesOf = timesByState()

  const add = (side: 'left' | 'right', context: KeyedContext<Waiting, Timers, LateSides>, value: unknown): void => {
    const { state, timers, timestamp, watermark, key } = context
    const last = Math.floor(timestamp / slideMs) * slideMs
    // Between two windows that do not touch there is none.
    if (timestamp >= last + sizeMs) return
    if (last + sizeMs <= watermark) return tellLate(side, context as unknown as LateContext<Waiting, Timers>, value)
    state[side].set(timestamp, [...(state[side].get(timestamp) ?? []), value])
    timesOf(state[side]).add(key, timestamp)
    for (let end = last + sizeMs; end > timestamp && end > watermark; end -= slideMs) timers.end.set(end)
  }

  const inside = (key: Key, of: Records, { start, end }: WindowBounds): unknown[] => {
    const values: unknown[] = []
    for (const [, waiting] of timesOf(of).within(key, of, start, end - 1)) {
      for (const value of waiting) values.push(value)
    }
    return values
  }

  /** What no later window holds. */
  const forget = (key: Key, of: Records, before: number): void => {
    for (const time of timesOf(of).takeBefore(key, of, before)) of.delete(time)
  }

  return connectOf<unknown, unknown, unknown, Waiting, Timers, LateSides>(
    {
      state: WAITING,
      timers: { end: 'event' },
      sides: lateSides,
      onLeft: (context, left) => add('left', context, left),
      onRight: (context, right) => add('right', context, right),
      onTimer({ state, key }, { time: end }, out: Out<unknown>) {
        const bounds: WindowBounds = Object.freeze({ start: end - sizeMs, end })
        const [lefts, rights] = [inside(key, state.left, bounds), inside(key, state.right, bounds)]
        const emit = (left: unknown, right: unknown): void => out.emit(pair(left, right, bounds), end - 1)
        for (const left of lefts) for (const right of rights) emit(left, right)
        if (rights.length === 0 && keeps !== 'inner') for (const left of lefts) emit(left, undefined)
        if (lefts.length === 0 && keeps === 'full') for (const right of rights) emit(undefined, right)
        // Last: what a failing function has been given is still there, in state and here.
        for (const side of [state.left, state.right]) forget(key, side, bounds.start + slideMs)
      },
    },
    { type: 'window-join', window, keeps },
  )
}
