/**
 * Timers of one kind of one operator: a row per timer, and a heap of what is in the rows. The heap is rebuilt from the rows
 * when the operator opens, so timers live and move with their key group. Every timer is in memory.
 *
 * The order is total, by time, then key and name: it does not depend on when a timer was set or on a restart.
 */
import type { Key } from '@weir/model'
import { entryKey, entryPrefix, ownerOfEntry, restOfEntry } from './entry-key.ts'
import type { KeyScope } from './handles/key-scope.ts'
import type { FiredTimer, TimerKind, TimerKinds } from './keyed-state.ts'
import type { KeyedStates } from './operator.ts'
import type { KeyedState } from './ports.ts'
import { TimeHeap, type TimedRow } from './time-heap.ts'

/** Name of the state; no user's state can be called so. */
export const timersState = (kind: TimerKind): string => `@${kind}[]`
export const timerKindsOf = (kinds: TimerKinds): TimerKind[] =>
  (['event', 'processing'] as const).filter((kind) => Object.values(kinds).includes(kind))
/** The namespace of the rows: these are kept in memory and can be walked through. */
const ROWS = 1
/** Nodes of timers deleted meanwhile stay in the heap until they are more than the others, and this many. */
const DEAD_NODES_MAX = 1_024

export class Timers {
  readonly kind: TimerKind
  readonly #rows: KeyedState<unknown>
  readonly #scope: KeyScope
  #heap = new TimeHeap()
  /** Rows. */
  #live = 0
  /** What the record at hand has set, and deleted: for a roll-back. */
  #set = 0
  #deleted: TimedRow[] = []

  constructor(states: KeyedStates, scope: KeyScope, kind: TimerKind) {
    this.kind = kind
    this.#scope = scope
    this.#rows = states.keyed(scope.uid, timersState(kind))
    this.#rebuild()
  }

  /** For the key at hand. */
  set(name: string, timeMs: number): void {
    const row = rowOf(this.#scope.key, name, timeMs)
    if (this.#rows.get(row, ROWS) !== undefined) return
    this.#scope.undo?.note(this.#rows, row, ROWS)
    this.#rows.put(row, 1, ROWS)
    this.#heap.push({ timeMs, row })
    this.#live++
    this.#set++
  }

  delete(name: string, timeMs: number): void {
    const row = rowOf(this.#scope.key, name, timeMs)
    if (this.#rows.get(row, ROWS) === undefined) return
    this.#scope.undo?.note(this.#rows, row, ROWS)
    this.#rows.delete(row, ROWS)
    this.#live--
    if (this.#scope.undo !== null) this.#deleted.push({ timeMs, row })
    if (this.#heap.size > this.#live * 2 + DEAD_NODES_MAX) this.#rebuild()
  }

  /** `Infinity`: there is none. */
  get nextMs(): number {
    for (;;) {
      const { first } = this.#heap
      if (first === undefined) return Number.POSITIVE_INFINITY
      if (this.#rows.get(first.row, ROWS) !== undefined) return first.timeMs
      this.#heap.pop()
    }
  }

  /** `-Infinity`: there is none. */
  get lastMs(): number {
    let last = Number.NEGATIVE_INFINITY
    for (const { timeMs, row } of this.#heap) {
      if (timeMs > last && this.#rows.get(row, ROWS) !== undefined) last = timeMs
    }
    return last
  }

  /** Takes the next one, if it is due: its row is gone, and its key is the one at hand. */
  take(untilMs: number): FiredTimer | null {
    if (this.nextMs > untilMs) return null
    const { timeMs, row } = this.#heap.pop()
    this.#rows.delete(row, ROWS)
    this.#live--
    this.#scope.key = ownerOfEntry(row)
    return { name: nameOf(row), kind: this.kind, time: timeMs }
  }

  /** The changes of the record at hand stay. */
  settled(): void {
    this.#set = 0
    if (this.#deleted.length > 0) this.#deleted = []
  }

  /** The rows are what they were before the record at hand. */
  rolledBack(): void {
    this.#live += this.#deleted.length - this.#set
    for (const node of this.#deleted) this.#heap.push(node) // a second node of a row is dead once the first has been taken
    this.settled()
  }

  #rebuild(): void {
    const rows = [...this.#rows.entries(ROWS)].map(([row]) => String(row))
    this.#heap = new TimeHeap(rows.map((row) => ({ timeMs: timeOf(row), row })))
    this.#live = this.#heap.size
  }
}

const rowOf = (owner: Key, name: string, timeMs: number): string => entryKey(entryPrefix(owner), `${timeMs}|${name}`)
const timeOf = (row: string): number => Number.parseInt(String(restOfEntry(row)), 10)
function nameOf(row: string): string {
  const rest = String(restOfEntry(row))
  return rest.slice(rest.indexOf('|') + 1)
}
