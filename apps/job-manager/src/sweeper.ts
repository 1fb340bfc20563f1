/**
 * What a job leaves in the object store when it has ended: the epochs its record says are kept, and its savepoints. The rest
 * is deleted, twice the lease after the end or the takeover (PROTOCOL A22). No published list is needed for that: the record
 * is a list no start goes beyond, and written by compare-and-swap. So it is all the same who deletes, and how late; keys of
 * a run that has begun since have a higher generation, or belong to a job that is not swept any more.
 *
 * Staged output goes when every transaction of the job is proven and none can come any more: its ledger is closed.
 */
import { keptOf, sweepable, type JobRecord, type KeptEpoch, type LeaderStores, type Leadership } from '@weir/checkpoint'
import type { PlanSummary } from '@weir/dataflow'
import type { SinkOutcome } from '@weir/job'
import { eachOf, stagedOfJob } from '@weir/metadata'
import { asWeirError, type Cancel, type Clock, type JobId } from '@weir/model'

export interface SweeperOptions {
  /** The longest lease a leader of this cluster may have. */
  readonly leaseTtlMs: number
}

export interface SweeperDeps {
  readonly leadership: Leadership
  readonly stores: LeaderStores
  readonly clock: Clock
  /** The record has changed. */
  recorded(record: JobRecord): void
  publish(channel: string, message: Record<string, unknown>): void
}

const RETRY_MS = 30_000
const DELETIONS_AT_ONCE = 8

interface EndedJob {
  record: JobRecord
  cancel: Cancel
}

export class Sweeper {
  readonly #options: SweeperOptions
  readonly #deps: SweeperDeps
  readonly #ended = new Map<JobId, EndedJob>()

  constructor(options: SweeperOptions, deps: SweeperDeps) {
    this.#options = options
    this.#deps = deps
  }

  /** A job has ended, in this term or before it; or its record has changed since. */
  ended(record: JobRecord): void {
    const known = this.#ended.get(record.jobId)
    if (known !== undefined) {
      const closed = known.record.ended!.ledger !== 'closed' && record.ended!.ledger === 'closed'
      known.record = record
      if (closed && record.ended!.swept !== undefined) this.#later(known, 0) // else with what is due later
    } else if (!done(record)) {
      const job: EndedJob = { record, cancel: () => {} }
      this.#ended.set(record.jobId, job)
      this.#later(job, 2 * this.#options.leaseTtlMs)
    }
  }

  /** The job runs again under its id. */
  remove(jobId: JobId): void {
    this.#ended.get(jobId)?.cancel()
    this.#ended.delete(jobId)
  }

  #later(job: EndedJob, ms: number): void {
    const { clock, leadership } = this.#deps
    job.cancel()
    job.cancel = clock.after(ms, () => {
      if (leadership.signal.aborted || this.#ended.get(job.record.jobId) !== job) return
      void this.#sweep(job).catch((thrown: unknown) => {
        const { jobId } = job.record
        this.#deps.publish('weir:sweep:failed', { jobId, error: asWeirError(thrown, 'SWEEP_FAILED').toJSON() })
        if (asWeirError(thrown, 'SWEEP_FAILED').kind !== 'fenced') this.#later(job, RETRY_MS)
      })
    })
  }

  async #sweep(job: EndedJob): Promise<void> {
    const { leadership, stores, publish } = this.#deps
    const { jobId } = job.record
    if (!leadership.live) return this.#later(job, RETRY_MS) // its clock proves nothing (PROTOCOL A8)
    const keys: string[] = []
    if (job.record.ended!.swept === undefined) {
      const epochs = stores.epochs(jobId)
      const store = stores.checkpoints(jobId, (job.record.plan as PlanSummary).settings.arbiter)
      const kept = await Promise.all(
        (job.record.ended!.kept ?? []).map(async (ref): Promise<KeptEpoch> => {
          return keptOf({ ref, manifest: await store.readManifest(ref).catch(invalidAsNull) })
        }),
      )
      const listed = await epochs.list()
      const { generation } = leadership
      // Last of all what may have changed meanwhile.
      keys.push(...sweepable({ jobId, generation, kept, head: await epochs.head() }, listed))
    }
    const closed = job.record.ended!.ledger === 'closed' && allProven(job.record)
    if (closed) keys.push(...(await stores.objects.list(stagedOfJob(jobId))))
    await eachOf(keys, DELETIONS_AT_ONCE, async (key) => {
      if (this.#ended.get(jobId) === job && !leadership.signal.aborted) await stores.objects.delete(key)
    })
    if (this.#ended.get(jobId) !== job) return // it runs again
    job.record = await stores.jobs.update(jobId, (there) => {
      if (there.ended === null || there.submittedAt !== job.record.submittedAt) return there
      return { ...there, ended: { ...there.ended, swept: closed ? 'all' : 'epochs' } }
    })
    publish('weir:sweep:swept', { jobId, objects: keys.length })
    if (job.record.ended === null) return
    if (done(job.record)) this.#ended.delete(jobId)
    this.#deps.recorded(job.record)
  }
}

const allProven = ({ ended }: JobRecord): boolean =>
  ((ended!.outcomes ?? []) as readonly SinkOutcome[]).every(({ state }) => state === 'CLEAN' || state === 'HEALED')

/** Staged output of a transaction that nobody could prove stays for people. */
const done = (record: JobRecord): boolean =>
  record.ended!.swept === 'all' ||
  (record.ended!.swept === 'epochs' && record.ended!.ledger === 'closed' && !allProven(record))

function invalidAsNull(thrown: unknown): null {
  if (asWeirError(thrown, 'MANIFEST_UNREADABLE', 'retry').kind === 'invalid') return null
  throw thrown
}
