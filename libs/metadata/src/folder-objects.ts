/**
 * Objects as files, for the embedded mode: one process owns the folder, and its task-managers put objects of new keys there. A put
 * is a rename of a synced file, so a reader finds the old object or the new one. The ETag is the digest of the bytes.
 */
import type { ObjectStore, PutCondition, PutOutcome, StoredObject } from '@weir/checkpoint'
import { WeirError } from '@weir/model'
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fdatasync,
  fsync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFile as writeFileWith,
  writeFileSync,
} from 'node:fs'
import { mkdir, open, readFile, readdir, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { promisify } from 'node:util'
import { sha256 } from './manifest-codec.ts'

/** A larger one is copied by a thread of the pool. */
const AT_ONCE_BYTES_MAX = 256 << 10
/** Folders remembered as durable: every epoch has one, and those of older ones are not written to any more. */
const ROOTED_MAX = 1_000
const writeFile = promisify(writeFileWith)
const datasync = promisify(fdatasync)
const sync = promisify(fsync)

/** What lies in a folder is durable, as far as files themselves are. */
export async function syncFolder(path: string): Promise<void> {
  const folder = openSync(path, 'r')
  await sync(folder).finally(() => closeSync(folder))
}

/** As `mkdir -p`; what it made is durable. */
export async function makeFolder(folder: string, sync = syncFolder): Promise<void> {
  const path = resolve(folder)
  const made = await mkdir(path, { recursive: true })
  if (made === undefined) return
  let above = path
  do {
    above = dirname(above)
    await sync(above)
  } while (above !== dirname(made))
}

export class FolderObjectStore implements ObjectStore {
  readonly #root: string
  /** The root, or what is above all that this store had to make for it. */
  #ground: string
  readonly #syncFolder: (path: string) => Promise<void>
  /** Folders that are durable up to the ground, or will be. */
  readonly #rooted = new Map<string, Promise<unknown>>()
  /** Conditional puts of one process follow each other: read, compare, rename must not interleave. */
  #turn: Promise<unknown> = Promise.resolve()

  /** @param sync what is durable is known by it */
  constructor(root: string, sync = syncFolder) {
    this.#root = resolve(root)
    this.#ground = this.#root
    this.#syncFolder = sync
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<PutOutcome> {
    if (condition === undefined) return this.#write(key, bytes)
    const next = this.#turn.then(async (): Promise<PutOutcome> => {
      const holds = 'ifMatch' in condition ? this.#etag(key) === condition.ifMatch : !existsSync(this.#path(key))
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

  /** Of what is swapped, which is small. Null: there is none. */
  #etag(key: string): string | null {
    try {
      return sha256(readFileSync(this.#path(key)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw unavailable(`reading ${key}`, error)
    }
  }

  #path(key: string): string {
    if (key.split('/').includes('..'))
      throw new WeirError({ code: 'OBJECT_KEY', kind: 'invalid', key }, `bad key ${key}`)
    return join(this.#root, key)
  }

  /**
   * An epoch waits for several objects one behind the other. What does not wait for the disk is done at once, since it takes less than the
   * way to a thread of the pool and back.
   */
  async #write(key: string, bytes: Uint8Array): Promise<PutOutcome> {
    const path = this.#path(key)
    const part = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`)
    try {
      const file = this.#opened(part)
      const rooted = this.#isRooted(dirname(path))
      try {
        if (bytes.length > AT_ONCE_BYTES_MAX) await writeFile(file, bytes)
        else writeFileSync(file, bytes)
        await datasync(file)
      } finally {
        closeSync(file)
      }
      renameSync(part, path)
      // The rename itself is durable only when its folder is.
      await Promise.all([this.#syncFolder(dirname(path)), rooted])
      return { kind: 'stored', etag: sha256(bytes) }
    } catch (error) {
      await rm(part, { force: true })
      throw unavailable(`writing ${key}`, error)
    }
  }

  /** For writing. Its folder is missing only for the first object in it. */
  #opened(path: string): number {
    try {
      return openSync(path, 'w')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      const made = mkdirSync(dirname(path), { recursive: true })
      if (made !== undefined && `${this.#ground}${sep}`.startsWith(`${made}${sep}`)) this.#ground = dirname(made)
      return openSync(path, 'w')
    }
  }

  /**
   * After a power cut a folder is there only when the one above it was synced since, and so on up to the root, and further where the root was
   * made for this object. Whoever has made a folder below the root may not have come to that yet: so every store does it for each, once.
   */
  #isRooted(folder: string): Promise<unknown> {
    if (folder === this.#ground) return Promise.resolve()
    const known = this.#rooted.get(folder)
    if (known !== undefined) return known
    const above = dirname(folder)
    const rooted = Promise.all([this.#isRooted(above), this.#syncFolder(above)])
    this.#rooted.set(folder, rooted)
    rooted.catch(() => this.#rooted.delete(folder))
    if (this.#rooted.size > ROOTED_MAX) this.#rooted.delete(this.#rooted.keys().next().value!)
    return rooted
  }
}

const unavailable = (what: string, cause: unknown): WeirError =>
  new WeirError(
    { code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' },
    `${what} failed: ${(cause as Error).message}. Check space and rights of the data folder.`,
    { cause },
  )
