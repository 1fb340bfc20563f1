/** The audit log as a file of NDJSON: appended to, never changed. Whoever ships it may follow it as it grows. */
import { WeirError } from '@weir/model'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { AuditEntry } from './entry.ts'

const BLOCK_BYTES = 64 << 10
const NEWLINE = 0x0a

export interface AuditPage {
  /** Newest first. */
  readonly entries: readonly AuditEntry[]
  /** Where the next page ends; null: this is the last one. */
  readonly next: number | null
}

export class AuditFile {
  readonly #file: FileHandle
  readonly #path: string
  readonly #sync: boolean
  #turn: Promise<unknown> = Promise.resolve()
  /** A write has failed, and may have left half a line. */
  #isTorn = false

  private constructor(file: FileHandle, path: string, sync: boolean) {
    this.#file = file
    this.#path = path
    this.#sync = sync
  }

  /** @param sync an entry is on the disk (fdatasync) before its change is made. Throws `AUDIT_UNWRITABLE` (invalid). */
  static async open(path: string, sync: boolean): Promise<AuditFile> {
    try {
      await mkdir(dirname(path), { recursive: true })
      const file = await open(path, 'a+', 0o640)
      const { size } = await file.stat()
      const last = Buffer.alloc(1)
      // A process that died while it wrote has left half a line.
      if (size > 0) await file.read(last, 0, 1, size - 1)
      if (size > 0 && last[0] !== NEWLINE) await file.appendFile('\n')
      return new AuditFile(file, path, sync)
    } catch (cause) {
      throw unwritable(path, 'invalid', cause)
    }
  }

  /** @returns how many bytes the file has then. Throws `AUDIT_UNWRITABLE` (retry). */
  append(entry: AuditEntry): Promise<number> {
    const written = this.#turn.then(async () => {
      try {
        await this.#file.appendFile(`${this.#isTorn ? '\n' : ''}${JSON.stringify(entry)}\n`)
        this.#isTorn = false
        if (this.#sync) await this.#file.datasync()
        return (await this.#file.stat()).size
      } catch (cause) {
        this.#isTorn = true
        throw unwritable(this.#path, 'retry', cause)
      }
    })
    this.#turn = written.catch(() => undefined)
    return written
  }

  /** @param end only what lies before this byte; null: everything */
  async read(end: number | null, limit: number): Promise<AuditPage> {
    const { size } = await this.#file.stat()
    let start = Math.min(end ?? size, size)
    let text = Buffer.alloc(0)
    const to = start
    // One line more than wanted: whether there is a next page.
    while (start > 0 && lines(text) <= limit + 1) {
      const from = Math.max(0, start - BLOCK_BYTES)
      const block = Buffer.alloc(start - from)
      await this.#file.read(block, 0, block.length, from)
      text = Buffer.concat([block, text])
      start = from
    }
    const entries: AuditEntry[] = []
    let at = text.lastIndexOf(NEWLINE) // what is being written has no end yet
    while (at > 0 && entries.length < limit) {
      const before = text.lastIndexOf(NEWLINE, at - 1)
      const entry = parsed(text.subarray(before + 1, at))
      if (entry !== null) entries.push(entry)
      at = before
    }
    const rest = at < 0 ? 0 : to - text.length + at + 1
    return { entries, next: rest > 0 ? rest : null }
  }

  async close(): Promise<void> {
    await this.#turn
    await this.#file.close()
  }
}

function lines(text: Buffer): number {
  let count = 0
  for (const byte of text) if (byte === NEWLINE) count++
  return count
}

/** Null: half a line. */
function parsed(line: Buffer): AuditEntry | null {
  try {
    return JSON.parse(line.toString()) as AuditEntry
  } catch {
    return null
  }
}

const unwritable = (path: string, kind: 'invalid' | 'retry', cause: unknown): WeirError =>
  new WeirError(
    { code: 'AUDIT_UNWRITABLE', kind, path },
    `the audit log ${path} cannot be written (${(cause as Error).message}), and what cannot be recorded is not changed: ` +
      'make room, or set WEIR_AUDIT_FILE to a place that can be written',
    { cause },
  )
