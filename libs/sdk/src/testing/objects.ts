/** The object store of a test: it outlives the attempts of its job and ends with it. */
import type { ObjectStore, PutOutcome, StoredObject } from '@weir/checkpoint'
import type { SegmentUpload } from '@weir/state'

export class MemoryObjects implements ObjectStore {
  readonly #stored = new Map<string, Uint8Array>()

  put(key: string, bytes: Uint8Array): Promise<PutOutcome> {
    this.#stored.set(key, Uint8Array.from(bytes))
    return Promise.resolve({ kind: 'stored', etag: '1' })
  }

  get(key: string): Promise<StoredObject | null> {
    const bytes = this.#stored.get(key)
    return Promise.resolve(bytes === undefined ? null : { bytes, etag: '1' })
  }

  readRange(key: string, from: number, to: number): Promise<Uint8Array | null> {
    return Promise.resolve(this.#stored.get(key)?.subarray(from, to) ?? null)
  }

  list(prefix: string): Promise<readonly string[]> {
    return Promise.resolve([...this.#stored.keys()].filter((key) => key.startsWith(prefix)))
  }

  delete(key: string): Promise<void> {
    this.#stored.delete(key)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  upload(key: string): SegmentUpload {
    const parts: Uint8Array[] = []
    return {
      write: (bytes) => Promise.resolve(void parts.push(Uint8Array.from(bytes))),
      finish: async () => void (await this.put(key, Buffer.concat(parts))),
      abort: () => Promise.resolve(),
    }
  }
}
