/**
 * Pairs of two keyed streams whose event times are near each other: left + lower ≤ right ≤ left + upper.
 *
 * Each record waits in its key's state, by its time, until event time says that no partner can come any more. A pair comes out as
 * soon as both are there, at the later one's time. A late record is counted, and in the side output `lateLeft` or `lateRight`: its
 * partners may be gone already.
 */
import type { MapDescriptor, Out } from '../keyed-state.ts'
import type { ConnectNode } from '../graph.ts'
import { connectOf } from './connect.ts'
import type { LateContext } from './keyed-process.ts'
import { lateSides, tellLate, type LateSides } from './late-joins.ts'
import { timesByState } from './waiting-times.ts'

export interface IntervalJoinOptions {
  /** ms, may be negative; `lowerMs` ≤ `upperMs`. */
  readonly lowerMs: number
  readonly upperMs: number
}

/** Waiting records by event time; of one time in the order they came. */
type Waiting = Record<'left' | 'right', MapDescriptor<number, readonly unknown[]>>
type Timers = Record<'left' | 'right', 'event'>
type Context = LateContext<Waiting, Timers>
type Side = 'left' | 'right'
const WAITING: Waiting = { left: { kind: 'map', ttl: null }, right: { kind: 'map', ttl: null } }

export function intervalJoin(
  { lowerMs, upperMs }: IntervalJoinOptions,
  combine: (left: never, right: never) => unknown,
): Omit<ConnectNode, 'uid'> {
  const pair = combine as (left: unknown, right: unknown) => unknown
  /** How long after its own time a record may still get a partner. */
  const patienceMs = { left: upperMs, right: -lowerMs }
  const timesOf = timesByState()

  const wait = (side: Side, { state, timers, timestamp, watermark, key }: Context, value: unknown): void => {
    const expiresMs = timestamp + patienceMs[side] + 1
    // Of what is below the watermark all has been seen: a partner that early would be late.
    if (expiresMs <= watermark || expiresMs <= 0) return
    const own = state[side]
    own.set(timestamp, [...(own.get(timestamp) ?? []), value])
    timesOf(own).add(key, timestamp)
    timers[side].set(expiresMs)
  }

  const meet = (side: Side, context: Context, value: unknown, out: Out<unknown>): void => {
    const { timestamp, watermark, state, key } = context
    if (timestamp < watermark) return tellLate(side, context, value)
    const others = side === 'left' ? state.right : state.left
    const [from, to] = side === 'left' ? [lowerMs, upperMs] : [-upperMs, -lowerMs]
    for (const [time, waiting] of timesOf(others).within(key, others, timestamp + from, timestamp + to)) {
      for (const other of waiting)
        out.emit(side === 'left' ? pair(value, other) : pair(other, value), Math.max(time, timestamp))
    }
    wait(side, context, value)
  }

  return connectOf<unknown, unknown, unknown, Waiting, Timers, LateSides>(
    {
      state: WAITING,
      timers: { left: 'event', right: 'event' },
      sides: lateSides,
      onLeft: (context, left, out: Out<unknown>) => meet('left', context as unknown as Context, left, out),
      onRight: (context, right, out: Out<unknown>) => meet('right', context as unknown as Context, right, out),
      onTimer({ state, key }, { name, time }) {
        const waited = time - 1 - patienceMs[name]
        state[name].delete(waited)
        timesOf(state[name]).remove(key, waited)
      },
    },
    { type: 'interval-join', lowerMs, upperMs },
  )
}
