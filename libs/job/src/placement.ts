/**
 * Which task-manager runs which slice: a pure table of slots. Slices are spread as evenly as free slots allow, so that
 * losing one task-manager loses as little as possible; a request that does not fit waits in order.
 */
import type { Subtask, TaskManagerId } from '@weir/model'

export interface SlotTable {
  /** Task-managers that may be given work; a draining one is not in it. */
  readonly total: ReadonlyMap<TaskManagerId, number>
  readonly used: ReadonlyMap<TaskManagerId, number>
}

export const EMPTY_SLOTS: SlotTable = { total: new Map(), used: new Map() }

export const freeSlots = (table: SlotTable): number =>
  [...table.total].reduce((sum, [id, n]) => sum + Math.max(0, n - (table.used.get(id) ?? 0)), 0)

/**
 * Null when fewer than `count` slots are free.
 *
 * @param home where the state of a subtask lies already: it goes there, as far as the even spread has room for it
 */
export function place(
  table: SlotTable,
  count: number,
  home: (subtask: Subtask) => TaskManagerId | null = () => null,
): ReadonlyMap<Subtask, TaskManagerId> | null {
  const free = [...table.total].map(([id, n]) => ({ id, free: n - (table.used.get(id) ?? 0) }))
  const spread: TaskManagerId[] = []
  for (let i = 0; i < count; i++) {
    free.sort((a, b) => b.free - a.free || (a.id < b.id ? -1 : 1))
    const best = free[0]
    if (best === undefined || best.free <= 0) return null
    best.free--
    spread.push(best.id)
  }
  const subtasks = Array.from({ length: count }, (_, i) => i as Subtask)
  const assignment = new Map<Subtask, TaskManagerId>()
  for (const subtask of subtasks) {
    const at = spread.indexOf(home(subtask)!)
    if (at >= 0) assignment.set(subtask, spread.splice(at, 1)[0]!)
  }
  for (const subtask of subtasks) if (!assignment.has(subtask)) assignment.set(subtask, spread.shift()!)
  return assignment
}

export function take(table: SlotTable, assignment: ReadonlyMap<Subtask, TaskManagerId>): SlotTable {
  const used = new Map(table.used)
  for (const id of assignment.values()) used.set(id, (used.get(id) ?? 0) + 1)
  return { ...table, used }
}

export function giveBack(table: SlotTable, assignment: ReadonlyMap<Subtask, TaskManagerId>): SlotTable {
  const used = new Map(table.used)
  for (const id of assignment.values()) {
    const n = (used.get(id) ?? 0) - 1
    if (n > 0) used.set(id, n)
    else used.delete(id)
  }
  return { ...table, used }
}

export function joined(table: SlotTable, id: TaskManagerId, slots: number): SlotTable {
  return { ...table, total: new Map(table.total).set(id, slots) }
}

/** No new work here. What it holds stays counted until it is given back. */
export function withdrawn(table: SlotTable, id: TaskManagerId): SlotTable {
  const total = new Map(table.total)
  total.delete(id)
  return { ...table, total }
}
