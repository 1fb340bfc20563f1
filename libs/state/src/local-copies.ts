/**
 * Copies of uploaded segments on the disk of this pod: what an attempt that is placed here again restores from.
 *
 *   root/<job>/<generation>-<attempt>/<object key, encoded>        each attempt its own folder
 *
 * A copy counts only if length and SHA-256 are those the manifest names; an epoch that nobody published has other keys and
 * other digests than the one that was (PROTOCOL A21). Everything here may fail or be gone: then the object store is read,
 * and nobody notices but a counter.
 */
import { createHash, hash } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat, utimes, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { SegmentRef } from '@weir/dataflow'
import { Later } from './later.ts'
import type { SegmentUpload } from './segment.ts'

export interface LocalCopiesOptions {
  /** Shared by all jobs and slots of the pod. */
  readonly root: string
  readonly jobId: string
  /** generation-attempt: what is written now lies there. */
  readonly attempt: string
  /** Of all copies under `root` together; the oldest go first. 0: none are kept. */
  readonly bytesMax: number
}

/** Epochs whose chains are kept: the published one is among them, and those that may be published meanwhile. */
const CHAINS_KEPT = 4
/** Copies up to this size are read at once. */
const WHOLE_BYTES_MAX = 64 * 1024 * 1024
const BLOCK_BYTES = 4 * 1024 * 1024
const PART = '.part'
/** Fewer than a system call takes (IOV_MAX). */
const BUFFERS_AT_ONCE = 512
/** A smaller copy is written when its epoch is published; of a larger one no more waits in memory. */
const WRITTEN_BYTES_MIN = 1 << 20
/** Of one copy, not on the disk yet: a disk that is so far behind the upload costs the copy. */
const WAITING_BYTES_MAX = 64 << 20

/** A verified copy. */
export interface LocalCopy {
  piece(from: number, to: number): Promise<Buffer>
  close(): Promise<void>
}

export class LocalCopies {
  readonly #options: LocalCopiesOptions
  /** Object key → file, of this store's chains. */
  readonly #files = new Map<string, string>()
  readonly #chains: ReadonlySet<string>[] = []
  #found: Promise<ReadonlyMap<string, string>> | null = null
  #tidying: Promise<void> = Promise.resolve()
  readonly #later = new Later()

  constructor(options: LocalCopiesOptions) {
    this.#options = options
  }

  get #job(): string {
    return join(this.#options.root, this.#options.jobId)
  }

  /** The same upload, behind which a copy is kept. */
  keeping(key: string, upload: SegmentUpload): SegmentUpload {
    if (this.#options.bytesMax === 0) return upload
    const file = join(this.#job, this.#options.attempt, encodeURIComponent(key))
    const copy = new CopyWriter(file)
    return {
      write: async (bytes) => {
        copy.write(bytes)
        await upload.write(bytes)
      },
      finish: async () => {
        await upload.finish()
        const later = this.#later.wait()
        this.#behind(async () => {
          await later
          if (!(await copy.written()) || !(await copy.named())) return copy.abort()
          this.#files.set(key, file)
          await this.#evict()
        })
      },
      abort: async () => {
        await copy.abort()
        await upload.abort()
      },
    }
  }

  /** Null: there is none that is whole. Never throws. */
  async find(ref: SegmentRef): Promise<LocalCopy | null> {
    if (this.#options.bytesMax === 0) return null
    this.#found ??= this.#list()
    const file = (await this.#found).get(encodeURIComponent(ref.key))
    if (file === undefined) return null
    let handle: FileHandle | null = null
    try {
      handle = await open(file)
      const copy = await verified(handle, ref)
      if (copy === null) {
        await handle.close()
        await rm(file, { force: true })
        return null
      }
      this.#files.set(ref.key, file)
      const now = new Date()
      await utimes(file, now, now).catch(() => undefined) // evicted meanwhile: the handle reads on
      return copy
    } catch {
      await handle?.close().catch(() => undefined)
      return null
    }
  }

  /** Told with every chain a snapshot has stored or a restore was given: what none of the last ones names will be deleted. */
  retain(chain: readonly SegmentRef[]): void {
    this.#chains.push(new Set(chain.map(({ key }) => key)))
    if (this.#chains.length > CHAINS_KEPT) this.#chains.shift()
    for (const [key, file] of this.#files) {
      if (this.#chains.some((kept) => kept.has(key))) continue
      this.#files.delete(key)
      this.#behind(() => rm(file, { force: true }))
    }
  }

  /** Resolves when nothing is being kept or deleted any more. */
  async settled(): Promise<void> {
    this.#later.now()
    await this.#tidying
  }

  /** No epoch waits for copies. */
  #behind(call: () => Promise<void>): void {
    this.#tidying = this.#tidying.then(call).catch(() => undefined)
  }

  /** Encoded key → file, over all attempts of the job. */
  async #list(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>()
    for (const attempt of await readdir(this.#job).catch(() => [])) {
      const folder = join(this.#job, attempt)
      for (const name of await readdir(folder).catch(() => []))
        if (!name.endsWith(PART)) found.set(name, join(folder, name))
    }
    return found
  }

  async #evict(): Promise<void> {
    const { root, bytesMax } = this.#options
    const names = await readdir(root, { recursive: true }).catch(() => [])
    const files = await Promise.all(
      names.map(async (name) => {
        const found = await stat(join(root, name)).catch(() => null)
        return { path: join(root, name), bytes: found?.isFile() ? found.size : 0, usedMs: found?.mtimeMs ?? 0 }
      }),
    )
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    for (const file of files.filter((f) => f.bytes > 0).sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= bytesMax) return
      await rm(file.path, { force: true }).catch(() => undefined)
      bytes -= file.bytes
    }
  }
}

/** What a job that has ended leaves on this pod. Never throws. */
export const dropCopies = (root: string, jobId: string): Promise<void> =>
  rm(join(root, jobId), { recursive: true, force: true }).catch(() => undefined)

/**
 * Writes behind the upload, whatever has come meanwhile in one call: each costs a turn of a busy slot's event loop. A disk that
 * is full or gone costs the copy and nothing else.
 */
class CopyWriter {
  readonly #file: string
  #handle: FileHandle | null = null
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #writing: Promise<void> | null = null
  #failed = false

  constructor(file: string) {
    this.#file = file
  }

  write(bytes: Uint8Array): void {
    if (this.#failed) return
    this.#waitingBytes += bytes.length
    if (this.#waitingBytes > WAITING_BYTES_MAX) return this.#fail()
    this.#waiting.push(bytes)
    if (this.#waitingBytes >= WRITTEN_BYTES_MIN) this.#writing ??= this.#writeAll()
  }

  /** Resolves when all is written and the file is closed. False: there is no copy. */
  async written(): Promise<boolean> {
    await this.#writing
    if (!this.#failed) await this.#writeAll()
    await this.#close()
    return !this.#failed
  }

  /** Behind `written`: from now on it is found. */
  async named(): Promise<boolean> {
    return rename(this.#file + PART, this.#file).then(
      () => true,
      () => false,
    )
  }

  async abort(): Promise<void> {
    this.#fail()
    await this.#writing
    await this.#close()
    await rm(this.#file + PART, { force: true }).catch(() => undefined)
  }

  /** Never throws. */
  async #writeAll(): Promise<void> {
    try {
      if (this.#handle === null) {
        await mkdir(join(this.#file, '..'), { recursive: true })
        this.#handle = await open(this.#file + PART, 'w')
      }
      while (this.#waiting.length > 0) {
        const buffers = this.#waiting.splice(0, BUFFERS_AT_ONCE)
        await writeWhole(this.#handle, buffers)
        for (const { length } of buffers) this.#waitingBytes -= length
      }
    } catch {
      this.#fail()
    }
    this.#writing = null // with the look at what waits: nothing comes in between
  }

  #fail(): void {
    this.#failed = true
    this.#waiting = []
  }

  async #close(): Promise<void> {
    await this.#handle?.close().catch(() => (this.#failed = true))
    this.#handle = null
  }
}

/** A call may take less than it was given. */
async function writeWhole(handle: FileHandle, buffers: readonly Uint8Array[]): Promise<void> {
  const bytes = buffers.reduce((all, { length }) => all + length, 0)
  const { bytesWritten } = await handle.writev(buffers)
  if (bytesWritten < bytes) await handle.appendFile(Buffer.concat(buffers).subarray(bytesWritten))
}

async function verified(handle: FileHandle, ref: SegmentRef): Promise<LocalCopy | null> {
  if ((await handle.stat()).size !== ref.bytes) return null
  if (ref.bytes <= WHOLE_BYTES_MAX) {
    const whole = await readAt(handle, 0, ref.bytes)
    if (hash('sha256', whole) !== ref.sha256) return null
    await handle.close()
    return { piece: (from, to) => Promise.resolve(whole.subarray(from, to)), close: () => Promise.resolve() }
  }
  const digest = createHash('sha256')
  for (let at = 0; at < ref.bytes; at += BLOCK_BYTES)
    digest.update(await readAt(handle, at, Math.min(ref.bytes, at + BLOCK_BYTES)))
  if (digest.digest('hex') !== ref.sha256) return null
  return { piece: (from, to) => readAt(handle, from, to), close: () => handle.close() }
}

async function readAt(handle: FileHandle, from: number, to: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(to - from)
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, from)
  return bytes.subarray(0, bytesRead)
}

/** Names this pod, however often its process is started: state that lies here is found again by it. */
export async function podName(dataDir: string, nonce: () => string): Promise<string> {
  const file = join(dataDir, 'pod')
  await mkdir(dataDir, { recursive: true })
  const handle = await open(file, 'a+')
  try {
    const there = (await handle.readFile('utf8')).trim()
    if (there !== '') return there
    const name = nonce()
    await writeFile(file, name)
    return name
  } finally {
    await handle.close()
  }
}
