/**
 * Staged output in the object store. A transaction's chunks are cut into parts, compressed and stored while it is still
 * being written, so that the barrier waits for the last part only.
 *
 *   part = zstd( chunk* )     chunk = u16 length · topic · u32 partition · u32 length · bytes     (big-endian)
 */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import type { ObjectStore } from '@weir/checkpoint'
import type { StagedChunk, StagedOutput, StagedRef, StagedWriter, SubtaskContext } from '@weir/dataflow'
import { WeirError, asWeirError, type Clock } from '@weir/model'
import { stagedAttempt, stagedKey, stagedPrefix } from './keys.ts'
import { sha256 } from './manifest-codec.ts'
import { putPatiently } from './patient-put.ts'

export type StagedScope = Pick<SubtaskContext, 'jobId' | 'operatorUid' | 'subtask' | 'attempt' | 'signal'>

/** Bytes of chunks in one part, before compression; a single chunk may be larger. */
const PART_BYTES = 4 << 20
/** Bytes taken and not stored yet, above which `room` waits. */
const UNSTORED_BYTES_MAX = 32 << 20
const DELETES_AT_ONCE = 8
const TOPIC_HEADER = 2
const CHUNK_HEADER = 8

/** Half the CPU of level 3 on records of outputs, and no larger. */
const LEVEL = 1
const zstdAsync = promisify(zstdCompress)

/** What parts are stored as. */
export interface PartCodec {
  compress(part: Buffer): Promise<Buffer>
  decompress(stored: Uint8Array): Promise<Buffer>
}
/** Comes in pieces of this share: each costs a turn of the thread pool and one of a busy slot's event loop, where a barrier waits. */
const PIECES = 2
const MIN_PIECE_BYTES = 1 << 10
const zstd: PartCodec = {
  compress: (part) =>
    zstdAsync(part, {
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
      chunkSize: Math.max(MIN_PIECE_BYTES, Math.ceil(part.length / PIECES)),
    }),
  decompress: promisify(zstdDecompress),
}

interface StagedDeps {
  readonly objects: ObjectStore
  readonly clock: Clock
  /** zstd where it is not given. */
  readonly codec?: PartCodec
}

export class ObjectStagedOutput implements StagedOutput {
  readonly #scope: StagedScope
  readonly #deps: StagedDeps
  readonly #prefix: string
  #transactions = 0

  constructor(scope: StagedScope, deps: StagedDeps) {
    this.#scope = scope
    this.#deps = deps
    this.#prefix = stagedPrefix(scope.jobId, scope.operatorUid, scope.subtask)
  }

  begin(): StagedWriter {
    const transaction = this.#transactions++
    const key = (part: number): string => stagedKey(this.#prefix, this.#scope.attempt, transaction, part)
    return new StagedParts(key, this.#scope.signal, this.#deps)
  }

  async *read(ref: StagedRef): AsyncGenerator<StagedChunk> {
    for (const { key, sha256: expected } of ref.parts) {
      const object = await this.#deps.objects.get(key)
      if (object === null) {
        throw new WeirError(
          { code: 'STAGED_OUTPUT_MISSING', kind: 'invalid', objectKey: key },
          `staged output ${key} is named by the published epoch and is not in the object store: the lost transaction cannot be healed. Restore the object from a copy of the bucket and start the job again.`,
        )
      }
      if (sha256(object.bytes) !== expected) {
        throw new WeirError(
          { code: 'STAGED_OUTPUT_CORRUPT', kind: 'invalid', objectKey: key },
          `staged output ${key} is damaged (its SHA-256 is not the one in the manifest): nothing of it was written. Restore the object from a copy of the bucket and start the job again.`,
        )
      }
      const part = await (this.#deps.codec ?? zstd).decompress(object.bytes)
      for (let at = 0; at < part.length;) {
        const named = at + TOPIC_HEADER + part.readUInt16BE(at)
        const topic = part.toString('utf8', at + TOPIC_HEADER, named)
        const from = named + CHUNK_HEADER
        at = from + part.readUInt32BE(named + 4)
        yield { topic, partition: part.readUInt32BE(named), bytes: part.subarray(from, at) }
      }
    }
  }

  async delete(ref: StagedRef): Promise<void> {
    await this.#deleteAll(ref.parts.map((part) => part.key))
  }

  async sweep(of: 'earlier-attempts' | 'this-attempt'): Promise<void> {
    const { generation, attempt } = this.#scope.attempt
    const keys = await this.#deps.objects.list(this.#prefix)
    await this.#deleteAll(
      keys.filter((key) => {
        const by = stagedAttempt(this.#prefix, key)
        if (by === null) return false
        const same = by.generation === generation && by.attempt === attempt
        // Never what a later attempt has staged: this one may be a zombie.
        const earlier = by.generation < generation || (by.generation === generation && by.attempt < attempt)
        return of === 'this-attempt' ? same : earlier
      }),
    )
  }

  async #deleteAll(keys: readonly string[]): Promise<void> {
    for (let i = 0; i < keys.length; i += DELETES_AT_ONCE)
      await Promise.all(keys.slice(i, i + DELETES_AT_ONCE).map((key) => this.#deps.objects.delete(key)))
  }
}

class StagedParts implements StagedWriter {
  readonly #key: (part: number) => string
  readonly #signal: AbortSignal
  readonly #deps: StagedDeps
  #chunks: Uint8Array[] = []
  #chunkBytes = 0
  #unstored = 0
  readonly #parts: StagedRef['parts'][number][] = []
  #cut = 0
  /** One part after the other. */
  #storing: Promise<void> = Promise.resolve()
  #failure: WeirError | null = null

  constructor(key: (part: number) => string, signal: AbortSignal, deps: StagedDeps) {
    this.#key = key
    this.#signal = signal
    this.#deps = deps
  }

  append({ topic, partition, bytes }: StagedChunk): void {
    const named = TOPIC_HEADER + Buffer.byteLength(topic)
    const header = Buffer.allocUnsafe(named + CHUNK_HEADER)
    header.writeUInt16BE(named - TOPIC_HEADER, 0)
    header.write(topic, TOPIC_HEADER)
    header.writeUInt32BE(partition, named)
    header.writeUInt32BE(bytes.length, named + 4)
    this.#chunks.push(header, bytes)
    this.#chunkBytes += header.length + bytes.length
    this.#unstored += header.length + bytes.length
    if (this.#chunkBytes >= PART_BYTES) this.#store()
  }

  room(): Promise<void> | undefined {
    return this.#unstored > UNSTORED_BYTES_MAX ? this.#storing : undefined
  }

  async finish(): Promise<StagedRef> {
    if (this.#chunkBytes > 0) this.#store()
    await this.#storing
    if (this.#failure !== null) throw this.#failure
    return { parts: this.#parts }
  }

  #store(): void {
    const raw = Buffer.concat(this.#chunks, this.#chunkBytes)
    this.#chunks = []
    this.#chunkBytes = 0
    const key = this.#key(this.#cut++)
    this.#storing = this.#storing.then(async () => {
      try {
        if (this.#failure === null) await this.#put(key, await (this.#deps.codec ?? zstd).compress(raw))
      } catch (error) {
        this.#failure = asWeirError(error, 'STAGING_FAILED')
      }
      this.#unstored -= raw.length
    })
  }

  /** Again while the store is away: the attempt's end is the bound. */
  async #put(key: string, bytes: Buffer): Promise<void> {
    const { objects, clock } = this.#deps
    await putPatiently(objects, key, bytes, { clock, signal: this.#signal, budgetMs: Infinity })
    this.#parts.push({ key, bytes: bytes.length, sha256: sha256(bytes) })
  }
}
