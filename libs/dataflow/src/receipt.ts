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

/** Headers of a receipt: `job`, `sequence`, `hash`. */
export const RECEIPT = 'weir.receipt.'

/** Hex SHA-256. */
export type Sha256 = (bytes: Uint8Array | string) => string

/** A run of records of one partition, in order. JSON. */
export interface RunSummary {
  readonly records: number
  /** Hex SHA-256 over all of them. */
  readonly digest: string
  /** For every `each` records eight hex digits of their hash: they name the record that does not fit. */
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
/** Hashes folded into the digest at once. */
const FOLDED = 64

/** Digest of a run, record by record: how they were batched makes no difference. */
export class RunDigest {
  readonly #sha256: Sha256
  #records = 0
  #folded = ''
  #hashes: string[] = []
  #marks: string[] = []
  #each = 1
  /** Marks of a group that is not full. */
  #group: string[] = []

  constructor(sha256: Sha256) {
    this.#sha256 = sha256
  }

  get records(): number {
    return this.#records
  }

  add(record: TopicRecord): void {
    this.addBytes(framed(record))
  }

  /** `framed(record)`, for who has it at hand. */
  addBytes(bytes: Uint8Array): void {
    const hash = this.#sha256(bytes)
    this.#records++
    if (this.#hashes.push(hash) === FOLDED) this.#fold()
    this.#group.push(hash.slice(0, MARK_DIGITS))
    if (this.#group.length < this.#each) return
    this.#marks.push(this.#joined(this.#group))
    this.#group = []
    if (this.#marks.length < MARKS_MAX) return
    this.#marks = pairs(this.#marks).map((pair) => this.#joined(pair))
    this.#each *= 2
  }

  summary(): RunSummary {
    const rest = this.#hashes.length === 0 ? this.#folded : this.#sha256(this.#folded + this.#hashes.join(''))
    const last = this.#group.length === 0 ? [] : [this.#joined(this.#group)]
    return { records: this.#records, digest: rest, marks: [...this.#marks, ...last].join(''), each: this.#each }
  }

  #fold(): void {
    this.#folded = this.#sha256(this.#folded + this.#hashes.join(''))
    this.#hashes = []
  }

  /** Joined two by two, so that joining later what was joined before gives the same. */
  #joined(marks: readonly string[]): string {
    let level = marks
    while (level.length > 1) level = pairs(level).map(([a, b]) => (b === undefined ? a! : this.#mark(a! + b)))
    return level[0]!
  }

  #mark(of: string): string {
    return this.#sha256(of).slice(0, MARK_DIGITS)
  }
}

const pairs = (of: readonly string[]): string[][] =>
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
  const common = Math.min(a.records, b.records)
  return { from: a.each === b.each ? common : 0, to: Math.max(a.records, b.records) }
}

/**
 * A record as it is hashed: f64 timestamp · i32 length or −1 and bytes of key, value · i32 count of headers, each i32 length,
 * name, i32 length or −1, value (big-endian).
 */
export function framed({ key, value, timestamp, headers }: TopicRecord): Uint8Array {
  const parts: (Uint8Array | null)[] = [key, value]
  for (const [name, of] of headers) parts.push(Buffer.from(name), of)
  let bytes = 12
  for (const part of parts) bytes += 4 + (part?.length ?? 0)
  const out = Buffer.allocUnsafe(bytes)
  out.writeDoubleBE(timestamp, 0)
  out.writeInt32BE(headers.length, 8)
  let at = 12
  for (const part of parts) {
    out.writeInt32BE(part === null ? -1 : part.length, at)
    at += 4
    if (part === null) continue
    out.set(part, at)
    at += part.length
  }
  return out
}
