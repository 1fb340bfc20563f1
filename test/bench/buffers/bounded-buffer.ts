/**
 * A queue that is full at some point, for one writer and one reader: in one thread (`ArrayRing`), or between two (`SharedRing`). Neither
 * waits by itself; `SharedRing` can be waited for.
 */
export interface BoundedBuffer<T> {
  /** Values it holds at most. */
  readonly capacity: number
  readonly size: number
  /** False: it is full, and nothing has happened. */
  offer(value: T): boolean
  /** The oldest one; undefined: it is empty. */
  poll(): T | undefined
}

export function checkCapacity(capacity: number): number {
  if (Number.isInteger(capacity) && capacity >= 1 && capacity <= CAPACITY_MAX) return capacity
  throw new RangeError(`the capacity of a buffer is ${capacity}; it is 1 to ${CAPACITY_MAX}`)
}
const CAPACITY_MAX = 1 << 20
