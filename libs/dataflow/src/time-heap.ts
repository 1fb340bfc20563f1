/** Rows by time, the earliest first. The order is total, by time and then by row: it does not depend on when one was added. */
export interface TimedRow {
  readonly timeMs: number
  /** The row's key. */
  readonly row: string
}

export class TimeHeap {
  #heap: TimedRow[]

  constructor(rows: Iterable<TimedRow> = []) {
    this.#heap = [...rows].sort((a, b) => (before(a, b) ? -1 : 1)) // a sorted array is a heap
  }

  get size(): number {
    return this.#heap.length
  }

  get first(): TimedRow | undefined {
    return this.#heap[0]
  }

  /** In no order. */
  [Symbol.iterator](): IterableIterator<TimedRow> {
    return this.#heap[Symbol.iterator]()
  }

  push(added: TimedRow): void {
    const heap = this.#heap
    let i = heap.push(added) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(added, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = added
  }

  /** There must be one. */
  pop(): TimedRow {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}

const before = (a: TimedRow, b: TimedRow): boolean => (a.timeMs === b.timeMs ? a.row < b.row : a.timeMs < b.timeMs)
