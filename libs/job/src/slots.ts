/** The slot table in use: hands out slots in the order they were asked for. */
import type { JobId, Subtask, TaskManagerId } from '@weir/model'
import type { SlotBroker } from './ports.ts'
import { EMPTY_SLOTS, freeSlots, giveBack, joined, place, take, withdrawn, type SlotTable } from './placement.ts'

type Assignment = ReadonlyMap<Subtask, TaskManagerId>

interface Wanted {
  /** A whole job of so many, or these of a job that keeps the slots of its others. */
  readonly of: number | readonly Subtask[]
  readonly granted: (assignment: Assignment) => void
}

export class FleetSlots implements SlotBroker {
  #table: SlotTable = EMPTY_SLOTS
  #held = new Map<JobId, Assignment>()
  #waiting = new Map<JobId, Wanted>()
  #scheduled = false
  /** Named by a process for all its lives. */
  readonly #pods = new Map<TaskManagerId, string>()
  /** By subtask: where the job ran last, so that is where copies of its state are. */
  readonly #homes = new Map<JobId, readonly (string | undefined)[]>()

  join(id: TaskManagerId, slots: number, pod = ''): void {
    if (pod !== '') this.#pods.set(id, pod)
    this.#table = joined(this.#table, id, slots)
    this.#schedule()
  }

  /** Lost or draining: nothing new is placed there. */
  withdraw(id: TaskManagerId): void {
    this.#pods.delete(id)
    this.#table = withdrawn(this.#table, id)
  }

  /** A job that holds slots may be given the same again: nobody comes between. */
  request(jobId: JobId, count: number, granted: (assignment: Assignment) => void): void {
    this.#waiting.set(jobId, { of: count, granted })
    this.#schedule()
  }

  replace(jobId: JobId, subtasks: readonly Subtask[], granted: (assignment: Assignment) => void): void {
    this.#waiting.set(jobId, { of: subtasks, granted })
    this.#schedule()
  }

  release(jobId: JobId): void {
    this.#waiting.delete(jobId)
    const held = this.#held.get(jobId)
    if (held === undefined) return
    this.#held.delete(jobId)
    this.#table = giveBack(this.#table, held)
    this.#schedule()
  }

  free(): number {
    return freeSlots(this.#table)
  }

  /** Free ones, and those the job holds. */
  roomFor(jobId: JobId): number {
    return freeSlots(this.#without(jobId))
  }

  /** Behind a rescale: where the subtask that had the first of its key groups ran. */
  #home(jobId: JobId, subtask: Subtask, count: number): TaskManagerId | null {
    const homes = this.#homes.get(jobId) ?? []
    const pod = homes[Math.floor((subtask * homes.length) / count)]
    if (pod === undefined) return null
    for (const [id, of] of this.#pods) if (of === pod) return id
    return null
  }

  #without(jobId: JobId): SlotTable {
    const held = this.#held.get(jobId)
    return held === undefined ? this.#table : giveBack(this.#table, held)
  }

  /** After the present event, so that a release and a request in one step see each other. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      for (const [jobId, { of, granted }] of this.#waiting) {
        const assignment = typeof of === 'number' ? this.#placeAll(jobId, of) : this.#placeSome(jobId, of)
        if (assignment === null) continue // a smaller job behind it may fit
        this.#waiting.delete(jobId)
        granted(assignment)
      }
    })
  }

  #placeAll(jobId: JobId, count: number): Assignment | null {
    const table = this.#without(jobId)
    const assignment = place(table, count, (subtask) => this.#home(jobId, subtask, count))
    if (assignment === null) return null
    this.#take(jobId, table, assignment, assignment)
    return assignment
  }

  #placeSome(jobId: JobId, subtasks: readonly Subtask[]): Assignment | null {
    const held = this.#held.get(jobId) ?? new Map<Subtask, TaskManagerId>()
    const kept = new Map([...held].filter(([subtask]) => !subtasks.includes(subtask)))
    const table = take(this.#without(jobId), kept)
    const placed = place(table, subtasks.length, (i) => this.#home(jobId, subtasks[i]!, held.size))
    if (placed === null) return null
    const assignment = new Map(subtasks.map((subtask, i) => [subtask, placed.get(i as Subtask)!]))
    const all = new Map([...kept, ...assignment].sort(([a], [b]) => a - b))
    this.#take(jobId, table, assignment, all)
    return assignment
  }

  #take(jobId: JobId, table: SlotTable, assignment: Assignment, all: Assignment): void {
    this.#homes.set(
      jobId,
      Array.from({ length: all.size }, (_, i) => this.#pods.get(all.get(i as Subtask)!)),
    )
    this.#held.set(jobId, all)
    this.#table = take(table, assignment)
  }
}
