/**
 * Append-only frames in one file. A frame is on its way to the disk when `append` returns, in the operating system when
 * `flushed` resolves (survives a crash of the process) and on the disk when `sync` resolves (survives a power cut).
 *
 * ```
 *  frame = length u32 · crc32(length) u32 · crc32(payload) u32 · payload        (big-endian)
 * ```
 * The length has a checksum of its own: a flipped bit in it must not pass for a torn tail and cut off what follows.
 */
import { mkdir, open, readFile, rm, writeFile, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { asWeirError, WeirError } from '@weir/model'

/** Where a frame's payload lies: bytes from the beginning of the file. */
export interface FrameRef {
  readonly position: number
  readonly length: number
}

/** What the log asks of its storage. After a failed write or sync every call rejects with `LOG_STORAGE_FAILED`. */
export interface LogStorage {
  /** Every frame kept, oldest first. Called once, before the first `append`. */
  replay(each: (payload: Buffer, frame: FrameRef) => void): Promise<void>
  append(payload: Uint8Array): FrameRef
  /** Everything appended before this call is in the operating system. */
  flushed(): Promise<void>
  /** Everything appended before this call is on the disk. One sync serves all that wait. */
  sync(): Promise<void>
  read(frame: FrameRef): Promise<Buffer>
  close(): Promise<void>
}

const HEADER_BYTES = 12
export const FRAME_BYTES_MAX = 64 << 20
const READ_AHEAD_BYTES = 4 << 20
const openFolders = new Set<string>()

interface Waiter {
  readonly upTo: number
  resolve(): void
  reject(error: unknown): void
}

async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, 'r')
  await directory.sync().finally(() => directory.close())
}

export class FileStorage implements LogStorage {
  readonly #folder: string
  readonly #file: FileHandle
  /** Bytes: handed in, in the operating system, on the disk. */
  #end = 0
  #written = 0
  #synced = 0
  #queue: Buffer[] = []
  #flushWaiters: Waiter[] = []
  #syncWaiters: Waiter[] = []
  #working: Promise<void> | null = null
  #failure: WeirError | null = null

  private constructor(folder: string, file: FileHandle) {
    this.#folder = folder
    this.#file = file
  }

  /**
   * Creates the folder if it is not there. Throws `LOG_IN_USE` (retry) while another process has it open.
   * @param sync what is durable is known by it
   */
  static async open(folder: string, sync = syncFolder): Promise<FileStorage> {
    const absolute = path.resolve(folder)
    await mkdir(absolute, { recursive: true })
    await lock(absolute)
    try {
      const file = await open(path.join(absolute, 'log.bin'), 'a+').then(async (created) => {
        await created.close()
        return open(path.join(absolute, 'log.bin'), 'r+')
      })
      // The file is durable in its folder, and that in the one above it: whoever made it may not have come to that.
      for (const holder of [absolute, path.dirname(absolute)]) await sync(holder)
      return new FileStorage(absolute, file)
    } catch (error) {
      await unlock(absolute)
      throw error
    }
  }

  /**
   * An incomplete last frame (or a tail of zeros, as some file systems leave it) was never acknowledged and is cut off.
   * Throws `LOG_CORRUPT` (invalid) with the offset of the first frame that is complete and wrong.
   */
  async replay(each: (payload: Buffer, frame: FrameRef) => void): Promise<void> {
    const { size } = await this.#file.stat()
    const reader = new ReadAhead(this.#file, size)
    let at = 0
    while (size - at >= HEADER_BYTES) {
      const header = await reader.at(at, HEADER_BYTES)
      const length = header.readUInt32BE(0)
      if (header.readUInt32BE(4) !== crcOfLength(length)) {
        if (await reader.zerosFrom(at)) break
        throw this.#corrupt(at, 'its header')
      }
      const checksum = header.readUInt32BE(8)
      if (at + HEADER_BYTES + length > size) break
      const payload = await reader.at(at + HEADER_BYTES, length)
      if (crc32(payload) !== checksum) throw this.#corrupt(at, 'its payload')
      each(payload, { position: at + HEADER_BYTES, length })
      at += HEADER_BYTES + length
    }
    if (at < size) await this.#file.truncate(at)
    this.#end = this.#written = at
    // What was replayed is answered for from now on, also when the process before had not synced it.
    await this.#file.datasync()
    this.#synced = at
  }

  append(payload: Uint8Array): FrameRef {
    if (this.#failure) throw this.#failure
    const header = Buffer.allocUnsafe(HEADER_BYTES)
    header.writeUInt32BE(payload.length, 0)
    header.writeUInt32BE(crcOfLength(payload.length), 4)
    header.writeUInt32BE(crc32(payload), 8)
    const position = this.#end + HEADER_BYTES
    this.#queue.push(header, Buffer.from(payload.buffer, payload.byteOffset, payload.length))
    this.#end = position + payload.length
    this.#kick()
    return { position, length: payload.length }
  }

  flushed(): Promise<void> {
    return this.#written >= this.#end && !this.#failure ? Promise.resolve() : this.#wait(this.#flushWaiters)
  }

  sync(): Promise<void> {
    return this.#synced >= this.#end && !this.#failure ? Promise.resolve() : this.#wait(this.#syncWaiters)
  }

  async read({ position, length }: FrameRef): Promise<Buffer> {
    if (position + length > this.#written) await this.flushed()
    const frame = await readFully(this.#file, position - HEADER_BYTES, HEADER_BYTES + length)
    const payload = frame.subarray(HEADER_BYTES)
    if (crc32(payload) !== frame.readUInt32BE(8)) throw this.#corrupt(position - HEADER_BYTES, 'its payload')
    return payload
  }

  async close(): Promise<void> {
    await this.sync().catch(() => {})
    await this.#working
    this.#failure ??= new WeirError(
      { code: 'LOG_CLOSED', kind: 'restart', folder: this.#folder },
      `the log in ${this.#folder} is closed: open it again`,
    )
    await this.#file.close()
    await unlock(this.#folder)
  }

  #wait(waiters: Waiter[]): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      waiters.push({ upTo: this.#end, resolve, reject })
      this.#kick()
    })
  }

  #kick(): void {
    this.#working ??= this.#work().finally(() => {
      this.#working = null
      // What came between its last look and now has kicked in vain.
      if (this.#failure === null && (this.#queue.length > 0 || this.#syncWaiters.length > 0)) this.#kick()
    })
  }

  async #work(): Promise<void> {
    try {
      await Promise.resolve() // everything appended in this turn of the event loop travels in one write
      while (this.#queue.length > 0 || this.#syncWaiters.length > 0) {
        const bytes = Buffer.concat(this.#queue)
        this.#queue = []
        for (let at = 0; at < bytes.length;) {
          const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#written)
          at += bytesWritten
          this.#written += bytesWritten
        }
        this.#flushWaiters = release(this.#flushWaiters, this.#written)
        if (this.#syncWaiters.length > 0) {
          const upTo = this.#written
          await this.#file.datasync()
          this.#synced = upTo
          this.#syncWaiters = release(this.#syncWaiters, upTo)
        }
      }
    } catch (error) {
      // After a failed sync nobody knows what is on the disk: trying again would lie.
      const failure = new WeirError(
        { code: 'LOG_STORAGE_FAILED', kind: 'restart', folder: this.#folder },
        `writing the log in ${this.#folder} failed (${asWeirError(error, 'IO').message}): free space or mend the disk and start the process again; what was acknowledged is kept`,
        { cause: error },
      )
      this.#failure = failure
      for (const waiter of [...this.#flushWaiters, ...this.#syncWaiters]) waiter.reject(failure)
      this.#flushWaiters = []
      this.#syncWaiters = []
    }
  }

  #corrupt(offset: number, what: string): WeirError {
    const file = path.join(this.#folder, 'log.bin')
    return new WeirError(
      { code: 'LOG_CORRUPT', kind: 'invalid', file, offset },
      `${file} is damaged at byte ${offset} (${what} does not match its checksum). Nothing is skipped silently: restore the file from a copy, or delete the folder and run the jobs under new ids`,
    )
  }
}

/** Resolves who is served, returns who still waits. */
function release(waiters: Waiter[], upTo: number): Waiter[] {
  for (const waiter of waiters) if (waiter.upTo <= upTo) waiter.resolve()
  return waiters.filter((waiter) => waiter.upTo > upTo)
}

function crcOfLength(length: number): number {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(length, 0)
  return crc32(bytes)
}

async function readFully(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, length - at, position + at)
    if (bytesRead === 0) throw new Error(`the file ends at byte ${position + at}, ${length - at} bytes too early`)
    at += bytesRead
  }
  return bytes
}

/** Reads forward through a file of known size in large pieces. */
class ReadAhead {
  readonly #file: FileHandle
  readonly #size: number
  #window: Buffer = Buffer.alloc(0)
  #from = 0

  constructor(file: FileHandle, size: number) {
    this.#file = file
    this.#size = size
  }

  async at(position: number, length: number): Promise<Buffer> {
    if (position < this.#from || position + length > this.#from + this.#window.length) {
      const bytes = Math.min(this.#size - position, Math.max(length, READ_AHEAD_BYTES))
      this.#window = await readFully(this.#file, position, bytes)
      this.#from = position
    }
    return this.#window.subarray(position - this.#from, position - this.#from + length)
  }

  async zerosFrom(position: number): Promise<boolean> {
    for (let at = position; at < this.#size; at += READ_AHEAD_BYTES) {
      const piece = await readFully(this.#file, at, Math.min(READ_AHEAD_BYTES, this.#size - at))
      if (!piece.every((byte) => byte === 0)) return false
    }
    return true
  }
}

/** One process per folder: a file with the owner's process id; the file of a dead process counts for nothing. */
async function lock(folder: string): Promise<void> {
  const file = path.join(folder, 'lock')
  if (openFolders.has(folder)) throw inUse(folder, process.pid)
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' })
      openFolders.add(folder)
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 2) throw error
      const owner = Number(await readFile(file, 'utf8').catch(() => '0'))
      if (owner !== process.pid && owner > 0 && alive(owner)) throw inUse(folder, owner)
      await rm(file, { force: true })
    }
  }
}

async function unlock(folder: string): Promise<void> {
  openFolders.delete(folder)
  await rm(path.join(folder, 'lock'), { force: true })
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const inUse = (folder: string, pid: number): WeirError =>
  new WeirError(
    { code: 'LOG_IN_USE', kind: 'retry', folder, pid },
    `the log in ${folder} is open in process ${pid}: stop that one first, or give another folder (if no such log runs, delete ${folder}/lock)`,
  )
