/** Savepoints in the object store: written, listed, read from anywhere, deleted. */
import type { ObjectStore, Savepoint, SavepointDraft, SavepointStore, StoredSavepoint } from '@weir/checkpoint'
import { WeirError, type JobId } from '@weir/model'
import { copyObject } from './copy-object.ts'
import { SAVEPOINT_FILE, savepointFolder, savepointsPrefix } from './keys.ts'
import { sha256 } from './manifest-codec.ts'
import { patiently, putPatiently, type Patience } from './patient-put.ts'

const COPIES_AT_ONCE = 4
const DELETIONS_AT_ONCE = 8
const READS_AT_ONCE = 8

export class JobSavepoints implements SavepointStore {
  readonly #jobId: JobId
  readonly #objects: ObjectStore
  readonly #patience: Patience

  constructor(jobId: JobId, objects: ObjectStore, patience: Patience) {
    this.#jobId = jobId
    this.#objects = objects
    this.#patience = patience
  }

  async write({ savepoint, copies }: SavepointDraft): Promise<StoredSavepoint> {
    const folder = savepointFolder(this.#jobId, savepoint.name, savepoint)
    const [objects, patience] = [this.#objects, this.#patience]
    await eachOf(copies, COPIES_AT_ONCE, ({ from, to }) =>
      copyObject(objects, from, { objects, key: folder + to }, patience),
    )
    await putPatiently(objects, folder + SAVEPOINT_FILE, encodeSavepoint(savepoint), patience)
    return { savepoint, folder }
  }

  async list(): Promise<readonly StoredSavepoint[]> {
    const keys = await patiently(() => this.#objects.list(savepointsPrefix(this.#jobId)), this.#patience)
    const folders = keys
      .filter((key) => key.endsWith(`/${SAVEPOINT_FILE}`))
      .map((key) => key.slice(0, -SAVEPOINT_FILE.length))
    const found: StoredSavepoint[] = []
    await eachOf(folders, READS_AT_ONCE, async (folder) => {
      const savepoint = await readSavepoint(this.#objects, folder, this.#patience).catch((error: unknown) => {
        if (error instanceof WeirError && error.kind === 'retry') throw error
        return null
      })
      if (savepoint !== null) found.push({ savepoint, folder })
    })
    found.sort((a, b) => a.savepoint.takenAt - b.savepoint.takenAt)
    // Two of a name: a leader died when it had written one and not recorded it.
    const newest = new Map(found.map((stored) => [stored.savepoint.name, stored]))
    return found.filter((stored) => newest.get(stored.savepoint.name) === stored)
  }

  async delete(name: string): Promise<boolean> {
    const keys = await patiently(() => this.#objects.list(`${savepointsPrefix(this.#jobId)}${name}/`), this.#patience)
    // Without this file it is none any more, whatever happens to the rest.
    const files = keys.filter((key) => key.endsWith(`/${SAVEPOINT_FILE}`))
    const remove = (key: string): Promise<void> => patiently(() => this.#objects.delete(key), this.#patience)
    await eachOf(files, DELETIONS_AT_ONCE, remove)
    await eachOf(
      keys.filter((key) => !files.includes(key)),
      DELETIONS_AT_ONCE,
      remove,
    )
    return files.length > 0
  }
}

/** The digest is over the bytes of `savepoint` as they stand in the file. */
export function encodeSavepoint(savepoint: Savepoint): Uint8Array {
  const body = JSON.stringify(savepoint)
  return Buffer.from(`{"sha256":"${sha256(Buffer.from(body))}","savepoint":${body}}`)
}

/**
 * @param folder ends in `/`, or is empty: the store is the folder.
 * Throws `SAVEPOINT_UNKNOWN`, `SAVEPOINT_CORRUPT`, `SAVEPOINT_VERSION` (invalid).
 */
export async function readSavepoint(objects: ObjectStore, folder: string, patience: Patience): Promise<Savepoint> {
  const key = folder + SAVEPOINT_FILE
  const object = await patiently(() => objects.get(key), patience)
  const refused = (code: string, why: string): WeirError =>
    new WeirError({ code, kind: 'invalid', key }, `${key} ${why}`)
  if (object === null) {
    throw refused(
      'SAVEPOINT_UNKNOWN',
      'does not exist: name the folder that has it. `weir savepoints` lists those of a job.',
    )
  }
  const text = Buffer.from(object.bytes).toString('utf8')
  const [, digest, body] = /^\{"sha256":"([0-9a-f]{64})","savepoint":(.*)\}$/s.exec(text) ?? []
  if (body === undefined || sha256(Buffer.from(body)) !== digest) {
    throw refused(
      'SAVEPOINT_CORRUPT',
      'is not what was written: it was changed or damaged. Copy the folder once more, or take another savepoint.',
    )
  }
  const savepoint = JSON.parse(body) as Savepoint
  if (savepoint.formatVersion !== 1) {
    throw refused(
      'SAVEPOINT_VERSION',
      `has format ${String(savepoint.formatVersion)}; this build reads format 1: use the newer build.`,
    )
  }
  return savepoint
}

/** At most `atOnce` at a time. The first failure is thrown when none is under way any more. */
export async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  call: (item: T) => Promise<unknown>,
): Promise<void> {
  const left = [...items]
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      try {
        await call(item)
      } catch (error) {
        left.length = 0
        throw error
      }
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  const failed = ended.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
