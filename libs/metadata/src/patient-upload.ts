/** A large object on its way, in bounded memory: parts side by side, each sent again through an outage of the store. */
import type { MultipartUpload, ObjectStore } from '@weir/checkpoint'
import { putPatiently, patiently, type Patience } from './patient-put.ts'

/** Of every part but the last. */
const PART_BYTES = 8 * 1024 * 1024
const PARTS_IN_FLIGHT_MAX = 3

/** One put where everything fits one part, or the store has no parts; else a multipart upload. */
export class PatientUpload {
  readonly #objects: ObjectStore
  readonly #key: string
  readonly #patience: Patience
  #held: Uint8Array[] = []
  #heldBytes = 0
  #upload: MultipartUpload | null = null
  #parts = 0
  readonly #inFlight = new Set<Promise<void>>()
  #failed: { readonly error: unknown } | null = null

  constructor(objects: ObjectStore, key: string, patience: Patience) {
    this.#objects = objects
    this.#key = key
    this.#patience = patience
  }

  /** Takes the bytes. Resolves when there is room for more; throws what a part before was refused with. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    if (this.#heldBytes >= PART_BYTES && this.#objects.multipart !== undefined) await this.#sendPart()
  }

  async finish(): Promise<void> {
    if (this.#upload === null) return putPatiently(this.#objects, this.#key, this.#taken(), this.#patience)
    if (this.#heldBytes > 0) await this.#sendPart()
    while (this.#inFlight.size > 0) await Promise.race(this.#inFlight)
    this.#throwFailure()
    const upload = this.#upload
    await patiently(() => upload.complete(), this.#patience)
  }

  /** What the store keeps all the same is taken by its own rule for unfinished uploads. Never throws. */
  async abort(): Promise<void> {
    this.#held = []
    await Promise.all(this.#inFlight)
    await this.#upload?.abort().catch(() => {})
  }

  async #sendPart(): Promise<void> {
    this.#upload ??= await patiently(() => this.#objects.multipart!(this.#key), this.#patience)
    while (this.#inFlight.size >= PARTS_IN_FLIGHT_MAX) await Promise.race(this.#inFlight)
    this.#throwFailure()
    const upload = this.#upload
    const bytes = this.#taken()
    const number = ++this.#parts
    const sent = patiently(() => upload.part(number, bytes), this.#patience)
      .catch((error: unknown) => void (this.#failed ??= { error }))
      .finally(() => this.#inFlight.delete(sent))
    this.#inFlight.add(sent)
  }

  #taken(): Uint8Array {
    const bytes = Buffer.concat(this.#held)
    this.#held = []
    this.#heldBytes = 0
    return bytes
  }

  #throwFailure(): void {
    if (this.#failed !== null) throw this.#failed.error
  }
}
