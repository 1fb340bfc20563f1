/**
 * The event times at which records of a key wait, in order: a join asks for those of a span, and one key may have many. In
 * memory and made of the state, which alone is true: a time that is gone from there is skipped. Keys with few are walked through
 * instead, and of the others those that came last are remembered; what is forgotten is made again.
 */
import type { Key } from '@weir/model'
import type { MapState } from '../keyed-state.ts'

/** Up to so many times a walk is as fast. */
export const WALKED_TIMES_MAX = 16
/** Over all keys of an operator's side, 8 bytes each. */
export const REMEMBERED_TIMES_MAX = 1_000_000

type Waiting = MapState<number, readonly unknown[]>

/** A node is shared by the instances of its operator, times are not: an instance is known by the handle of its state. */
export function timesByState(): (state: object) => WaitingTimes {
  const times = new WeakMap<object, WaitingTimes>()
  return (state) => {
    let of = times.get(state)
    if (of === undefined) times.set(state, (of = new WaitingTimes()))
    return of
  }
}

export class WaitingTimes {
  /** In the order of their last `of`, ascending each. */
  readonly #times = new Map<Key, number[]>()
  #remembered = 0

  /** A record waits at a time of the key, where perhaps others do. */
  add(key: Key, time: number): void {
    const times = this.#times.get(key)
    if (times === undefined) return
    const at = firstFrom(times, time)
    if (times[at] === time) return
    if (at === times.length) times.push(time)
    else times.splice(at, 0, time)
    this.#remembered++
  }

  /** Those of the key at hand from `from` to `to`, both inclusive, ascending; with what waits there. */
  *within(
    key: Key,
    state: Waiting,
    from: number,
    to: number,
  ): Generator<readonly [time: number, values: readonly unknown[]]> {
    const times = state.size <= WALKED_TIMES_MAX ? sorted(state.keys()) : this.#of(key, state)
    for (let i = firstFrom(times, from); i < times.length && times[i]! <= to; i++) {
      const values = state.get(times[i]!)
      if (values !== undefined) yield [times[i]!, values]
    }
  }

  /** Nobody waits at that time any more: mostly the first one. */
  remove(key: Key, time: number): void {
    const times = this.#times.get(key)
    if (times === undefined) return
    const at = firstFrom(times, time)
    if (times[at] !== time) return
    times.splice(at, 1)
    this.#remembered--
    if (times.length === 0) this.#times.delete(key)
  }

  /** Takes those of the key that are before `end`: nobody waits there any more. */
  takeBefore(key: Key, state: Waiting, end: number): readonly number[] {
    if (!this.#times.has(key) && state.size <= WALKED_TIMES_MAX) return [...state.keys()].filter((time) => time < end)
    const times = this.#of(key, state)
    const taken = times.splice(0, firstFrom(times, end))
    this.#remembered -= taken.length
    if (times.length === 0) this.#times.delete(key)
    return taken
  }

  #of(key: Key, state: Waiting): number[] {
    let times = this.#times.get(key)
    if (times === undefined) {
      times = sorted(state.keys())
      this.#remembered += times.length
    } else this.#times.delete(key)
    this.#times.set(key, times)
    for (const [oldest, { length }] of this.#times) {
      if (this.#remembered <= REMEMBERED_TIMES_MAX || oldest === key) break
      this.#times.delete(oldest)
      this.#remembered -= length
    }
    return times
  }
}

const sorted = (times: Iterable<number>): number[] => [...times].sort((a, b) => a - b)

/** Index of the first one that is not below. */
function firstFrom(times: readonly number[], from: number): number {
  let [low, high] = [0, times.length]
  // Most come at the end, and go at the beginning.
  if (high === 0 || times[high - 1]! < from) return high
  if (times[0]! >= from) return 0
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle]! < from) low = middle + 1
    else high = middle
  }
  return low
}
