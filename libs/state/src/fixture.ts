/** What the tests of this room share: an object store in a Map, and stores over it. */
import type { ObjectStore, StoredObject } from '@weir/checkpoint'
import { attempt, epoch, generation, type CheckpointId } from '@weir/model'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStateStore, type LevelStateStore, type StateStoreOptions } from './store.ts'

export class MemoryObjects implements ObjectStore {
  readonly stored = new Map<string, StoredObject>()
  /** `key from to` of every range that was read. */
  readonly read: string[] = []
  async put(key: string, bytes: Uint8Array) {
    this.stored.set(key, { bytes: Uint8Array.from(bytes), etag: '1' })
    return { kind: 'stored' as const, etag: '1' }
  }
  async get(key: string) {
    return this.stored.get(key) ?? null
  }
  async readRange(key: string, from: number, to: number) {
    this.read.push(`${key} ${from} ${to}`)
    return this.stored.get(key)?.bytes.subarray(from, to) ?? null
  }
  async list() {
    return [...this.stored.keys()]
  }
  async delete(key: string) {
    this.stored.delete(key)
  }
  async close() {}
}

const root = mkdtempSync(join(tmpdir(), 'weir-state-'))
let opened = 0

/** One subtask of one, 128 key groups; a chain is folded after `chainLengthMax`. */
export function openStore(
  objects: MemoryObjects,
  options: Partial<Omit<StateStoreOptions, 'dir'>> = {},
): Promise<LevelStateStore> {
  const name = ++opened
  const bounds = { hotEntriesMax: 4, chainLengthMax: 100, chainRatioMax: 1_000 }
  const place = { dir: join(root, `s${name}`), keyGroups: { from: 0, to: 128 }, maxParallelism: 128, writer: '0/1' }
  return openStateStore(
    { ...place, ...bounds, freeze: true, ...options },
    {
      objects,
      upload: (key) => {
        const parts: Uint8Array[] = []
        return {
          write: async (bytes) => void parts.push(bytes),
          finish: async () => void (await objects.put(key, Buffer.concat(parts))),
          abort: async () => {},
        }
      },
      segmentKey: (c, kind) => `seg-${name}-${c.epoch}-${kind}`,
    },
  )
}

export const cp = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
