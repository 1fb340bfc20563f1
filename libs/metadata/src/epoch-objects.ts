/** The objects of one job's epochs, for its leader: head.json as it stands, what lies there, whether it is whole. */
import { createHash } from 'node:crypto'
import type { EpochObjects, Head, LeaderStores, ObjectStore, StoredSegment } from '@weir/checkpoint'
import type { Clock, JobId } from '@weir/model'
import { epochsPrefix, headKey } from './keys.ts'
import { JobSavepoints } from './savepoints.ts'

/** Read at once when an object is verified. */
const READ_BYTES = 8 * 1024 * 1024
/** An outage of the object store that a savepoint waits out, ms. */
const OUTAGE_MS_MAX = 60_000

/** What a leader has in the object store besides its arbiter. `head`: of a job, where not head.json decides. */
export function jobObjects(of: {
  readonly objects: ObjectStore
  readonly clock: Clock
  /** Ends with the leadership. */
  readonly signal: AbortSignal
  readonly head?: (jobId: JobId) => Promise<Head | null>
}): Pick<LeaderStores, 'epochs' | 'savepoints'> {
  const { objects, clock, signal, head } = of
  const patience = { clock, signal, budgetMs: OUTAGE_MS_MAX }
  return {
    epochs: (jobId) => new JobEpochObjects(jobId, objects, head && (() => head(jobId))),
    savepoints: (jobId) => new JobSavepoints(jobId, objects, patience),
  }
}

/** Where the store takes one key at a time. */
const DELETES_AT_ONCE = 8

export class JobEpochObjects implements EpochObjects {
  readonly #jobId: JobId
  readonly #objects: ObjectStore
  readonly #head: (() => Promise<Head | null>) | undefined

  constructor(jobId: JobId, objects: ObjectStore, head?: () => Promise<Head | null>) {
    this.#jobId = jobId
    this.#objects = objects
    this.#head = head
  }

  async head(): Promise<Head | null> {
    if (this.#head !== undefined) return this.#head()
    const object = await this.#objects.get(headKey(this.#jobId))
    return object === null ? null : (JSON.parse(Buffer.from(object.bytes).toString('utf8')) as Head)
  }

  list(): Promise<readonly string[]> {
    return this.#objects.list(epochsPrefix(this.#jobId))
  }

  async delete(keys: readonly string[]): Promise<void> {
    if (this.#objects.deleteMany !== undefined) return this.#objects.deleteMany(keys)
    for (let i = 0; i < keys.length; i += DELETES_AT_ONCE)
      await Promise.all(keys.slice(i, i + DELETES_AT_ONCE).map((key) => this.#objects.delete(key)))
  }

  async verify({ key, bytes, sha256 }: StoredSegment): Promise<'whole' | 'missing' | 'corrupt'> {
    const hash = createHash('sha256')
    const step = this.#objects.readRange === undefined ? bytes : READ_BYTES
    for (let at = 0; at < bytes; at += step) {
      const end = Math.min(at + step, bytes)
      const read =
        this.#objects.readRange === undefined
          ? (await this.#objects.get(key))?.bytes
          : await this.#objects.readRange(key, at, end)
      if (read === undefined || read === null) return 'missing'
      if (read.length !== end - at) return 'corrupt'
      hash.update(read)
    }
    return hash.digest('hex') === sha256 ? 'whole' : 'corrupt'
  }
}
