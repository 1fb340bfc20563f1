/** Records in flight of one slice, as objects of its epochs. */
import type { InFlightPart, InFlightRef, InFlightStore, ObjectStore } from '@weir/checkpoint'
import { WeirError, type CheckpointId, type JobId, type Subtask } from '@weir/model'
import { inFlightKey } from './keys.ts'
import { sha256 } from './manifest-codec.ts'
import { patiently, putPatiently, type Patience } from './patient-put.ts'

export interface InFlightObjectsOptions {
  readonly jobId: JobId
  readonly subtask: Subtask
}

export class InFlightObjects implements InFlightStore {
  readonly #options: InFlightObjectsOptions
  readonly #objects: ObjectStore
  readonly #patience: Patience

  constructor(options: InFlightObjectsOptions, objects: ObjectStore, patience: Patience) {
    this.#options = options
    this.#objects = objects
    this.#patience = patience
  }

  async write(
    checkpoint: CheckpointId,
    part: InFlightPart,
    bytes: Uint8Array,
  ): Promise<Pick<InFlightRef, 'key' | 'bytes' | 'sha256'>> {
    const { jobId, subtask } = this.#options
    const key = inFlightKey(jobId, checkpoint, subtask, part)
    await putPatiently(this.#objects, key, bytes, this.#patience)
    return { key, bytes: bytes.byteLength, sha256: sha256(bytes) }
  }

  async read({ key, bytes, sha256: written }: InFlightRef): Promise<Uint8Array> {
    const object = await patiently(() => this.#objects.get(key), this.#patience)
    if (object === null)
      throw damaged('SEGMENT_MISSING', key, 'is named by the manifest and is not in the object store')
    const found = sha256(object.bytes)
    if (object.bytes.byteLength !== bytes || found !== written) {
      throw damaged('SEGMENT_CORRUPT', key, `has SHA-256 ${found}, written was ${written}`)
    }
    return object.bytes
  }
}

const damaged = (code: 'SEGMENT_MISSING' | 'SEGMENT_CORRUPT', objectKey: string, why: string): WeirError =>
  new WeirError(
    { code, kind: 'invalid', objectKey },
    `${objectKey} ${why}: records would be lost. Nothing of it is in use. Restore the object from a backup or its bucket version, or start from an older epoch.`,
  )
