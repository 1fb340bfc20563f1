/**
 * Receipts: what an audited job says of every transaction, inside that transaction, in a topic of their own. A receipt
 * names the records that went in and those that came out by digest, and the receipt before it by hash, so that a record
 * that was changed, added or taken away later, or a receipt that was, does not fit any more.
 *
 *   chain of one sink subtask:   receipt 1 ◀─previous─ receipt 2 ◀─previous─ receipt 3 …      one per epoch, also without output
 *
 * This proves what was changed to whoever cannot write a whole chain anew; the newest hash stands in the published epoch's
 * manifest too.
 */
import type { TopicRecord } from '@weir/model'
import { canonicalJson } from './canonical.ts'
import type { RawRecords } from './ports.ts'

/** Headers of a receipt: `job`, `sequence`, `hash`. */
export const RECEIPT = 'weir.receipt.'

export interface Hashes {
  /** Hex SHA-256: proves. */
  sha256(bytes: Uint8Array | string): string
  /** Names the record that does not fit; proves nothing. */
  crc32(bytes: Uint8Array): number
}

/** A run of records of one partition, in order. JSON. */
export interface RunSummary {
  readonly records: number
  /** Hex SHA-256 over all of them. */
  readonly digest: string
  /** For every `each` records eight hex digits, their CRC-32: they name the record that does not fit. */
  readonly marks: string
  readonly each: number
}

export interface InputRange extends RunSummary {
  readonly source: string
  readonly topic: string
  readonly partition: number
  /** The position before and behind, as the source keeps it: [from, to). */
  readonly from: number
  readonly to: number
}

export interface Receipt {
  readonly version: 1
  readonly job: string
  readonly sink: string
  readonly subtask: number
  /** Of the transaction; from 1, without gaps. */
  readonly sequence: number
  readonly epoch: number
  /** generation.attempt that wrote it. */
  readonly run: string
  /** `topic/partition` → what is in the transaction there, the receipt itself not counted. */
  readonly outputs: Readonly<Record<string, RunSummary>>
  /** What this slice's sources have read since the receipt before. */
  readonly inputs: readonly InputRange[]
  /** Hash of the receipt before; null: the first. */
  readonly previous: string | null
}

/** Its bytes are its canonical JSON; the hash is over them. */
export const receiptBytes = (receipt: Receipt): string => canonicalJson(receipt)

const MARK_DIGITS = 8
/** More marks than this are joined two by two: a receipt stays small, and names a run instead of a record. */
export const MARKS_MAX = 4_096
/** Framed records are hashed together up to this many bytes; a larger one is a block of its own. */
const BLOCK_BYTES = 16 << 10
const FIRST_BLOCK_BYTES = 512

/** Digest of a run, record by record: how they were batched makes no difference. */
export class RunDigest {
  readonly #hashes: Hashes
  #records = 0
  /** Of the blocks so far. */
  #digest = ''
  #block = Buffer.allocUnsafe(FIRST_BLOCK_BYTES)
  #used = 0
  #marks: number[] = []
  #each = 1
  /** Marks of a group that is not full. */
  #group: number[] = []

  constructor(hashes: Hashes) {
    this.#hashes = hashes
  }

  get records(): number {
    return this.#records
  }

  add({ key, value, timestamp, headers }: TopicRecord): void {
    const from = this.#frame(timestamp, headers, (key?.length ?? 0) + (value?.length ?? 0))
    this.#part(key, 0, key?.length ?? -1)
    this.#part(value, 0, value?.length ?? -1)
    this.#end(from)
  }

  /** As `add(recordAt(raw, index))`, without a copy. */
  addRaw(raw: RawRecords, index: number): void {
    const [keyStart, valueStart] = [raw.keyStart[index]!, raw.valueStart[index]!]
    const keyBytes = keyStart < 0 ? -1 : raw.keyEnd[index]! - keyStart
    const valueBytes = valueStart < 0 ? -1 : raw.valueEnd[index]! - valueStart
    const headers = raw.headers?.(raw, index) ?? []
    const from = this.#frame(raw.timestamps[index]!, headers, Math.max(0, keyBytes) + Math.max(0, valueBytes))
    this.#part(raw.buffer, keyStart, keyBytes)
    this.#part(raw.buffer, valueStart, valueBytes)
    this.#end(from)
  }

  summary(): RunSummary {
    const digest = this.#used === 0 ? this.#digest : this.#folded()
    const last = this.#group.length === 0 ? [] : [this.#joined(this.#group)]
    const marks = [...this.#marks, ...last].map((mark) => mark.toString(16).padStart(MARK_DIGITS, '0')).join('')
    return { records: this.#records, digest, marks, each: this.#each }
  }

  /**
   * Begins the frame of a record: f64 timestamp · i32 count of headers, each i32 length and name, i32 length or −1 and value;
   * then key and value, each i32 length or −1 and bytes (big-endian). @returns where it begins in the block
   */
  #frame(timestamp: number, headers: TopicRecord['headers'], bodyBytes: number): number {
    let bytes = 20 + bodyBytes
    const named = headers.map(([name, value]) => [Buffer.from(name), value] as const)
    for (const [name, value] of named) bytes += 8 + name.length + (value?.length ?? 0)
    this.#room(bytes)
    const from = this.#used
    this.#block.writeDoubleBE(timestamp, from)
    this.#block.writeInt32BE(headers.length, from + 8)
    this.#used += 12
    for (const [name, value] of named) {
      this.#part(name, 0, name.length)
      this.#part(value, 0, value?.length ?? -1)
    }
    return from
  }

  #part(bytes: Uint8Array | null, start: number, length: number): void {
    this.#block.writeInt32BE(length, this.#used)
    this.#used += 4
    if (length < 0) return
    this.#block.set(
      start === 0 && length === bytes!.length ? bytes! : bytes!.subarray(start, start + length),
      this.#used,
    )
    this.#used += length
  }

  #end(from: number): void {
    this.#records++
    this.#group.push(this.#hashes.crc32(this.#block.subarray(from, this.#used)))
    if (this.#group.length < this.#each) return
    this.#marks.push(this.#joined(this.#group))
    this.#group = []
    if (this.#marks.length < MARKS_MAX) return
    this.#marks = pairs(this.#marks).map((pair) => this.#joined(pair))
    this.#each *= 2
  }

  /** Where a block ends depends on the records alone: before the one that would make it too long. */
  #room(bytes: number): void {
    if (this.#used > 0 && this.#used + bytes > BLOCK_BYTES) {
      this.#digest = this.#folded()
      this.#used = 0
    }
    if (this.#used + bytes <= this.#block.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#used + bytes, Math.min(BLOCK_BYTES, 2 * this.#block.length)))
    this.#block.copy(grown, 0, 0, this.#used)
    this.#block = grown
  }

  #folded(): string {
    const block = this.#block.subarray(0, this.#used)
    return this.#hashes.sha256(this.#digest + this.#hashes.sha256(block))
  }

  /** Joined two by two, so that joining later what was joined before gives the same. */
  #joined(marks: readonly number[]): number {
    let level = marks
    while (level.length > 1) level = pairs(level).map(([a, b]) => (b === undefined ? a! : this.#pair(a!, b)))
    return level[0]!
  }

  #pair(a: number, b: number): number {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeUInt32BE(a, 0)
    bytes.writeUInt32BE(b, 4)
    return this.#hashes.crc32(bytes)
  }
}

const pairs = (of: readonly number[]): number[][] =>
  Array.from({ length: Math.ceil(of.length / 2) }, (_, i) => of.slice(2 * i, 2 * i + 2))

/** Indices of the records, [from, to), where two summaries of the same length part; null: they agree. */
export function firstDifference(a: RunSummary, b: RunSummary): { readonly from: number; readonly to: number } | null {
  if (a.digest === b.digest && a.records === b.records) return null
  const each = Math.max(a.each, b.each)
  if (a.each === b.each) {
    for (let i = 0; i * MARK_DIGITS < Math.min(a.marks.length, b.marks.length); i++) {
      const at = [i * MARK_DIGITS, (i + 1) * MARK_DIGITS] as const
      if (a.marks.slice(...at) !== b.marks.slice(...at)) return { from: i * each, to: (i + 1) * each }
    }
  }
  // One has more; or every mark agrees by chance, or by somebody's skill: then it is among all of them.
  const isTail = a.each === b.each && a.records !== b.records
  return { from: isTail ? Math.min(a.records, b.records) : 0, to: Math.max(a.records, b.records) }
}
