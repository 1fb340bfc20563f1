/**
 * Objects as files, for the embedded mode: one process owns the folder. A put is a rename of a synced file, so a reader
 * finds the old object or the new one. The ETag is the digest of the bytes.
 */
import type { ObjectStore, PutCondition, PutOutcome, StoredObject } from '@weir/checkpoint'
import { WeirError } from '@weir/model'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { sha256 } from './manifest-codec.ts'

export class FolderObjectStore implements ObjectStore {
  readonly #root: string
  /** Conditional puts of one process follow each other: read, compare, rename must not interleave. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(root: string) {
    this.#root = root
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<PutOutcome> {
    if (condition === undefined) return this.#write(key, bytes)
    const next = this.#turn.then(async (): Promise<PutOutcome> => {
      const there = await this.get(key)
      const holds = 'ifMatch' in condition ? there?.etag === condition.ifMatch : there === null
      return holds ? this.#write(key, bytes) : { kind: 'lost' }
    })
    this.#turn = next.catch(() => undefined)
    return next
  }

  async get(key: string): Promise<StoredObject | null> {
    const path = this.#path(key)
    try {
      const bytes = await readFile(path)
      return { bytes, etag: sha256(bytes) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw unavailable(`reading ${key}`, error)
    }
  }

  async readRange(key: string, from: number, to: number): Promise<Uint8Array | null> {
    let file: FileHandle
    try {
      file = await open(this.#path(key), 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw unavailable(`reading ${key}`, error)
    }
    try {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(to - from), 0, to - from, from)
      return buffer.subarray(0, bytesRead)
    } catch (error) {
      throw unavailable(`reading ${key}`, error)
    } finally {
      await file.close()
    }
  }

  async list(prefix: string): Promise<readonly string[]> {
    try {
      // The rest of the tree may be large.
      const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
      const files = await readdir(this.#path(folder), { recursive: true, withFileTypes: true })
      return files
        .filter((f) => f.isFile() && !f.name.endsWith('.part'))
        .map((f) =>
          join(f.parentPath, f.name)
            .slice(this.#root.length + 1)
            .split(sep)
            .join('/'),
        )
        .filter((key) => key.startsWith(prefix))
        .sort()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw unavailable(`listing ${prefix}`, error)
    }
  }

  async delete(key: string): Promise<void> {
    await rm(this.#path(key), { force: true })
  }

  async sweepUnfinished(prefix: string): Promise<void> {
    const folder = this.#path(dirname(prefix))
    const names = await readdir(folder).catch(() => [])
    const torn = names.filter((name) => name.startsWith(`.${basename(prefix)}`) && name.endsWith('.part'))
    await Promise.all(torn.map((name) => rm(join(folder, name), { force: true })))
  }

  async close(): Promise<void> {
    await this.#turn
  }

  #path(key: string): string {
    if (key.split('/').includes('..'))
      throw new WeirError({ code: 'OBJECT_KEY', kind: 'invalid', key }, `bad key ${key}`)
    return join(this.#root, key)
  }

  async #write(key: string, bytes: Uint8Array): Promise<PutOutcome> {
    const path = this.#path(key)
    const part = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`)
    try {
      await mkdir(dirname(path), { recursive: true })
      const file = await open(part, 'w')
      try {
        await file.writeFile(bytes)
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(part, path)
      // The rename itself is durable only when its folder is.
      const folder = await open(dirname(path), 'r')
      await folder.sync().finally(() => folder.close())
      return { kind: 'stored', etag: sha256(bytes) }
    } catch (error) {
      await rm(part, { force: true })
      throw unavailable(`writing ${key}`, error)
    }
  }
}

const unavailable = (what: string, cause: unknown): WeirError =>
  new WeirError(
    { code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' },
    `${what} failed: ${(cause as Error).message}. Check space and rights of the data folder.`,
    { cause },
  )
