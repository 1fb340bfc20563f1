/** The object store of a job that is only looked at: whatever would change it is refused before it is asked. */
import type { ObjectStore, PutOutcome, StoredObject } from '@weir/checkpoint'
import { WeirError } from '@weir/model'

/** Every call that would write rejects with `REPLAY_WOULD_WRITE` (invalid). */
export class ReadOnlyObjects implements ObjectStore {
  readonly #objects: ObjectStore
  readonly readRange: ObjectStore['readRange']

  constructor(objects: ObjectStore) {
    this.#objects = objects
    const ranged = objects.readRange?.bind(objects)
    if (ranged !== undefined) this.readRange = ranged
  }

  get(key: string): Promise<StoredObject | null> {
    return this.#objects.get(key)
  }

  list(prefix: string): Promise<readonly string[]> {
    return this.#objects.list(prefix)
  }

  put(key: string): Promise<PutOutcome> {
    return Promise.reject(wouldWrite(key))
  }

  delete(key: string): Promise<void> {
    return Promise.reject(wouldWrite(key))
  }

  /** The store is its owner's to close. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}

export const wouldWrite = (what: string): WeirError =>
  new WeirError(
    { code: 'REPLAY_WOULD_WRITE', kind: 'invalid', what },
    `internal: a replay changes nothing, and was about to write ${what}; please report it`,
  )
