/** The end of a job, put into its record: once, and as often as it takes. */
import type { JobRecord, JobStore } from '@weir/checkpoint'
import { asWeirError, type Clock, type JobId } from '@weir/model'
import { isDamage, withOffer } from './damage.ts'
import type { EpochDriver } from './epoch-driver.ts'
import type { Savepoints } from './savepoints.ts'
import type { Failure, JobState } from './state.ts'

const END_RETRY_MS = 500

export interface JobEndDeps {
  readonly jobs: JobStore
  readonly epochs: EpochDriver
  readonly savepoints: Savepoints
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly isClosed: () => boolean
  /** Null: another leader records it. */
  readonly over: (recorded: JobRecord | null) => void
}

export class JobEnd {
  readonly #jobId: JobId
  readonly #deps: JobEndDeps
  #isRecorded = false
  #error: Failure | null = null

  constructor(jobId: JobId, deps: JobEndDeps) {
    this.#jobId = jobId
    this.#deps = deps
  }

  /** It stands in the record, and with it the savepoint it was to leave. */
  get isRecorded(): boolean {
    return this.#isRecorded
  }

  /** What went wrong when it was recorded. */
  get error(): Failure | null {
    return this.#error
  }

  /**
   * Rejects when the leadership ends meanwhile.
   * @param settled nothing is open under the job's transactional ids
   */
  async record({ outcomes, ending, stop }: JobState, settled: boolean): Promise<void> {
    const { jobs, epochs, savepoints, clock, signal, isClosed, over } = this.#deps
    const { kept } = epochs
    savepoints.over(`the job has ended (${ending!.state}) before another epoch was final`)
    if (ending!.state === 'STOPPED') {
      // The epoch is final and kept, so a savepoint that cannot be made takes nothing away.
      await savepoints.atStop(stop!.savepoint, epochs.manifest).catch((thrown: unknown) => {
        this.#error = asWeirError(thrown, 'SAVEPOINT_FAILED').toJSON()
      })
    }
    await epochs.turn // what is kept may still be on its way
    await kept.complete()
    if (isDamage(ending?.error)) {
      const offered = await kept.offered().catch(() => null)
      this.#error = withOffer(ending!.error!, kept.newest?.ref ?? null, offered)
    }
    const error = this.#error ?? ending!.error
    const ledger = settled ? 'settled' : 'unsettled'
    let recorded: JobRecord | null = null
    while (!isClosed()) {
      try {
        // What failed may have to go back further than to its newest epoch.
        const refs = ending!.state === 'FAILED' ? kept.refs : kept.refs.slice(0, 1)
        const ended = { state: ending!.state, at: clock.now(), error, kept: refs, ledger, outcomes } as const
        recorded = await jobs.update(this.#jobId, (record) => ({ ...record, ended }))
        break
      } catch (thrown) {
        if (asWeirError(thrown, 'END_FAILED', 'retry').kind === 'fenced') break
        await clock.sleep(END_RETRY_MS, signal)
      }
    }
    this.#isRecorded = recorded !== null
    over(recorded)
  }
}
