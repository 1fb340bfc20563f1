/** What each slice did for the last epochs, for REST and people. Nothing is decided by it. */
import { lateText, type AckTimes, type LateSlice, type ToldTimes } from '@weir/checkpoint'
import type { Epoch, Subtask, TaskManagerId } from '@weir/model'
import type { Failure } from './state.ts'

/** Epochs whose slices are kept: of ten thousand subtasks that is some ten megabytes. */
export const TASK_EPOCHS_MAX = 20

type TimesView = { readonly [Time in keyof AckTimes]: number | null }

/** One slice in one epoch. A time is null: it has not acknowledged, or does not tell. */
export interface TaskCheckpointView extends TimesView {
  readonly subtask: Subtask
  readonly taskManagerId: TaskManagerId
  /** `unanswered` of an epoch that was given up stays so. `late`: it said what it had waited for. */
  readonly status: 'unanswered' | 'acknowledged' | 'declined' | 'late'
  /** Of one that declined or was late. */
  readonly reason: string | null
}

const NOTHING: TimesView = { alignMs: null, syncMs: null, asyncMs: null, cutMs: null, prepareMs: null, uploadMs: null }

export class TaskCheckpoints {
  readonly #epochs = new Map<number, Map<Subtask, TaskCheckpointView>>()

  triggered(
    epoch: Epoch,
    slices: Iterable<{ readonly subtask: Subtask; readonly taskManagerId: TaskManagerId }>,
  ): void {
    const tasks = new Map<Subtask, TaskCheckpointView>()
    for (const { subtask, taskManagerId } of slices)
      tasks.set(subtask, { subtask, taskManagerId, status: 'unanswered', ...NOTHING, reason: null })
    this.#epochs.set(epoch, tasks)
    if (this.#epochs.size > TASK_EPOCHS_MAX) this.#epochs.delete(this.#epochs.keys().next().value!)
  }

  acked(epoch: Epoch, subtask: Subtask, { alignMs, syncMs, asyncMs, ...told }: ToldTimes): void {
    const { cutMs = null, prepareMs = null, uploadMs = null } = told
    this.#note(epoch, subtask, { status: 'acknowledged', alignMs, syncMs, asyncMs, cutMs, prepareMs, uploadMs })
  }

  declined(epoch: Epoch, subtask: Subtask, { code, message }: Failure): void {
    this.#note(epoch, subtask, { status: 'declined', reason: `${code}: ${message}` })
  }

  late(epoch: Epoch, late: LateSlice): void {
    this.#note(epoch, late.subtask, { status: 'late', reason: lateText(late) })
  }

  /** By subtask. Null: nothing is known of the epoch. */
  of(epoch: number): readonly TaskCheckpointView[] | null {
    const tasks = this.#epochs.get(epoch)
    return tasks === undefined ? null : [...tasks.values()].toSorted((a, b) => a.subtask - b.subtask)
  }

  /** What has answered stays as it answered. */
  #note(epoch: Epoch, subtask: Subtask, change: Partial<TaskCheckpointView>): void {
    const tasks = this.#epochs.get(epoch)
    const before = tasks?.get(subtask)
    if (before?.status === 'unanswered') tasks!.set(subtask, { ...before, ...change })
  }
}
