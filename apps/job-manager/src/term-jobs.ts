/** The jobs of one term: who drives those that run, and the records of those that have ended. */
import type { JobRecord } from '@weir/checkpoint'
import type { PlanSummary } from '@weir/dataflow'
import {
  TASK_EPOCHS_MAX,
  graphView,
  type GraphView,
  type JobMaster,
  type JobView,
  type TaskCheckpointView,
} from '@weir/job'
import { WeirError, type JobId } from '@weir/model'
import { endedView } from './recorded-job.ts'

export class TermJobs {
  readonly #masters = new Map<JobId, JobMaster>()
  /** With the last view, where this term saw it. */
  readonly #ended = new Map<JobId, { readonly record: JobRecord; readonly view: JobView | null }>()

  /** Of jobs that run. */
  masters(): Iterable<JobMaster> {
    return this.#masters.values()
  }

  get runningCount(): number {
    return this.#masters.size
  }

  /** Null: the job has ended, or there is none. */
  master(jobId: JobId): JobMaster | null {
    return this.#masters.get(jobId) ?? null
  }

  /** Null: the job has not ended, or there is none. */
  ended(jobId: JobId): JobRecord | null {
    return this.#ended.get(jobId)?.record ?? null
  }

  begun(jobId: JobId, master: JobMaster): void {
    this.#masters.set(jobId, master)
  }

  /** @param view the last one; null: it had ended before this term. */
  over(record: JobRecord, view: JobView | null): void {
    this.#masters.delete(record.jobId)
    this.#ended.set(record.jobId, { record, view })
  }

  /** The record of one that has ended is another now. */
  changed(record: JobRecord): void {
    this.#ended.set(record.jobId, { record, view: this.#ended.get(record.jobId)?.view ?? null })
  }

  /** One that had ended is begun again. */
  forget(jobId: JobId): void {
    this.#ended.delete(jobId)
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  get(jobId: JobId): JobView {
    const master = this.#masters.get(jobId)
    if (master) return master.view()
    const ended = this.#ended.get(jobId)
    if (ended) return endedView(ended.record, ended.view)
    throw new WeirError(
      { code: 'JOB_UNKNOWN', kind: 'invalid', jobId },
      `there is no job "${jobId}"; \`weir jobs\` lists those there are`,
    )
  }

  list(): readonly JobView[] {
    return [...this.#masters.keys(), ...this.#ended.keys()].map((id) => this.get(id))
  }

  /** Throws `JOB_UNKNOWN`, `JOB_NOT_RUNNING` (invalid). */
  running(jobId: JobId): JobMaster {
    const master = this.#masters.get(jobId)
    if (master !== undefined) return master
    const { state, publishedEpoch } = this.get(jobId)
    const instead =
      publishedEpoch > 0
        ? 'it goes on from its last epoch with `weir start`, or with another build with `weir submit --from`'
        : 'it has no epoch to go on from: submit it under another id'
    throw new WeirError(
      { code: 'JOB_NOT_RUNNING', kind: 'invalid', jobId, state },
      `job ${jobId} is ${state}: ${instead}`,
    )
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  planOf(jobId: JobId): PlanSummary {
    this.get(jobId)
    return this.#masters.get(jobId)?.spec.plan ?? (this.#ended.get(jobId)!.record.plan as PlanSummary)
  }

  /** Throws `JOB_UNKNOWN` (invalid). */
  graph(jobId: JobId): GraphView {
    const plan = this.planOf(jobId)
    const { bundleDigest } = this.#masters.get(jobId)?.spec ?? this.#ended.get(jobId)!.record
    return { ...graphView(plan), bundleDigest }
  }

  /** By subtask. Throws `JOB_UNKNOWN`, `CHECKPOINT_UNKNOWN` (invalid). */
  checkpointTasks(jobId: JobId, epoch: number): readonly TaskCheckpointView[] {
    this.get(jobId)
    const tasks = this.#masters.get(jobId)?.checkpointTasks(epoch)
    if (tasks) return tasks
    throw new WeirError(
      { code: 'CHECKPOINT_UNKNOWN', kind: 'invalid', jobId, epoch },
      `of epoch ${epoch} of job ${jobId} nothing is known by subtask: the last ${TASK_EPOCHS_MAX} of this term are kept, see the list of checkpoints`,
    )
  }
}
