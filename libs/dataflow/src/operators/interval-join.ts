/**
 * Pairs of two keyed streams whose event times are near each other: left + lower ≤ right ≤ left + upper.
 *
 * Each record waits in its key's state, by its time, until event time says that no partner can come any more. A pair comes out as
 * soon as both are there, at the later one's time. A late record is dropped and counted: its partners may be gone already.
 */
import type { MapDescriptor, MapState, Out } from '../keyed-state.ts'
import type { ConnectNode } from '../graph.ts'
import { connectOf } from './connect.ts'
import type { LateContext } from './keyed-process.ts'

export interface IntervalJoinOptions {
  /** ms, may be negative; `lowerMs` ≤ `upperMs`. */
  readonly lowerMs: number
  readonly upperMs: number
}

/** Waiting records by event time; of one time in the order they came. */
type Waiting = Record<'left' | 'right', MapDescriptor<number, readonly unknown[]>>
type Timers = Record<'left' | 'right', 'event'>
const WAITING: Waiting = { left: { kind: 'map', ttl: null }, right: { kind: 'map', ttl: null } }

export function intervalJoin(
  { lowerMs, upperMs }: IntervalJoinOptions,
  combine: (left: never, right: never) => unknown,
): Omit<ConnectNode, 'uid'> {
  const pair = combine as (left: unknown, right: unknown) => unknown
  /** How long after its own time a record may still get a partner. */
  const patienceMs = { left: upperMs, right: -lowerMs }

  const wait = (side: 'left' | 'right', context: LateContext<Waiting, Timers>, value: unknown): void => {
    const { state, timers, timestamp, watermark } = context
    const expiresMs = timestamp + patienceMs[side] + 1
    // Of what is below the watermark all has been seen: a partner that early would be late.
    if (expiresMs <= watermark || expiresMs <= 0) return
    state[side].set(timestamp, [...(state[side].get(timestamp) ?? []), value])
    timers[side].set(expiresMs)
  }

  const partners = (
    of: MapState<number, readonly unknown[]>,
    from: number,
    to: number,
  ): (readonly [number, unknown])[] =>
    [...of]
      .filter(([time]) => from <= time && time <= to)
      .sort(([a], [b]) => a - b)
      .flatMap(([time, values]) => values.map((value) => [time, value] as const))

  const isLate = (context: LateContext<Waiting, Timers>): boolean => {
    if (context.timestamp >= context.watermark) return false
    context.late()
    return true
  }

  return connectOf<unknown, unknown, unknown, Waiting, Timers>(
    {
      state: WAITING,
      timers: { left: 'event', right: 'event' },
      onLeft(context, left, out: Out<unknown>) {
        const late = context as LateContext<Waiting, Timers>
        if (isLate(late)) return
        const { timestamp, state } = context
        for (const [time, right] of partners(state.right, timestamp + lowerMs, timestamp + upperMs))
          out.emit(pair(left, right), Math.max(time, timestamp))
        wait('left', late, left)
      },
      onRight(context, right, out: Out<unknown>) {
        const late = context as LateContext<Waiting, Timers>
        if (isLate(late)) return
        const { timestamp, state } = context
        for (const [time, left] of partners(state.left, timestamp - upperMs, timestamp - lowerMs))
          out.emit(pair(left, right), Math.max(time, timestamp))
        wait('right', late, right)
      },
      onTimer({ state }, { name, time }) {
        state[name].delete(time - 1 - patienceMs[name])
      },
    },
    { type: 'interval-join', lowerMs, upperMs },
  )
}
