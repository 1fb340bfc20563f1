/** Reads segments of every format, only as much of each as a range of key groups needs, and believes nothing unverified. */
import { hash } from 'node:crypto'
import type { ObjectStore } from '@weir/checkpoint'
import type { SegmentRef } from '@weir/dataflow'
import { inRange, type KeyGroupRange } from '@weir/model'
import { corrupt, missing } from './damage.ts'
import type { LocalCopy } from './local-copies.ts'
import { sha256 } from './pack.ts'
import type { VerifiedChunk } from './pending.ts'
import { MAGIC, decodeChunk, decodeIndex, type Row, type SegmentIndex } from './segment.ts'

/** Where only some of its key groups are wanted, an object up to this size is: two reads more cost more than its bytes. */
const PART_BYTES = 256 * 1024

export interface Reading {
  /** Objects up to this size are read in one piece; larger ones in pieces of about this size. */
  readonly pieceBytes: number
  /** Pieces asked for at once. */
  readonly ahead: number
}
/** A restore wants everything, soon. */
const RESTORE: Reading = { pieceBytes: 4 * 1024 * 1024, ahead: 4 }

/** A segment whose index is verified; `chunks` or `raw` may be read once. */
export interface OpenSegment {
  readonly index: SegmentIndex
  /** The key groups that are wanted of it. */
  readonly range: KeyGroupRange
  /** As they are stored: those with rows of the range, and others beside them. */
  raw(): AsyncGenerator<VerifiedChunk>
  /** Rows of the key groups in the range, chunk after chunk, in the order of writing. */
  chunks(): AsyncGenerator<Iterable<Row>>
  close(): Promise<void>
}

/** Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT` (invalid), before the first row of what is damaged. */
export async function openSegment(
  ref: SegmentRef & Required<Pick<SegmentRef, 'index'>>,
  objects: ObjectStore,
  range: KeyGroupRange,
  reading = RESTORE,
  local: LocalCopy | null = null,
): Promise<OpenSegment> {
  const { from, to, every } = ref.keyGroups
  const all = range.from <= from && range.to >= to && (range.every ?? []).length <= (every ?? []).length
  const inOnePiece = ref.bytes <= (all ? reading.pieceBytes : PART_BYTES)
  const fetched = local === null && (inOnePiece || objects.readRange === undefined)
  const whole = fetched ? await readWhole(ref, objects) : null
  const piece = async (from: number, to: number): Promise<Buffer> => {
    if (whole !== null) return whole.subarray(from, to)
    if (local !== null) return local.piece(from, to)
    const bytes = await objects.readRange!(ref.key, from, to)
    if (bytes === null) throw missing(ref.key)
    if (bytes.length !== to - from) {
      throw corrupt(ref.key, `bytes ${from} to ${to} were asked for, ${bytes.length} bytes came: it is cut off`)
    }
    return buffer(bytes)
  }
  const tail = await piece(ref.index.at, ref.bytes)
  if (hash('sha256', tail) !== ref.index.sha256)
    throw corrupt(ref.key, "its index's SHA-256 is not the one in the manifest")
  const index = decodeIndex(ref.key, tail)
  const wanted = index.chunks.filter(([first, last]) => first < range.to && last >= range.from)
  const close = async (): Promise<void> => local?.close()
  const raw = (): AsyncGenerator<VerifiedChunk> => verified(ref.key, pieces(wanted, reading), piece, reading)
  return { index, range, raw, close, chunks: () => rowsOf(raw(), range) }
}

/** Of any format. Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT` (invalid). */
export async function readWhole(ref: SegmentRef, objects: ObjectStore): Promise<Buffer> {
  const object = await objects.get(ref.key)
  if (object === null) throw missing(ref.key)
  const bytes = buffer(object.bytes)
  if (bytes.length !== ref.bytes)
    throw corrupt(ref.key, `it has ${bytes.length} bytes, the manifest says ${ref.bytes}: it is cut off or replaced`)
  if (sha256(bytes) !== ref.sha256) throw corrupt(ref.key, 'its SHA-256 is not the one in the manifest')
  if (ref.index !== undefined && !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw corrupt(ref.key, 'it does not begin as a segment of format 2')
  return bytes
}

/** Says of a state in the segment that its rows count for nothing. */
export function excludedBy({ without }: SegmentRef): (operatorUid: string, name: string) => boolean {
  if (without === undefined) return () => false
  const names = new Set(without)
  return (operatorUid, name) => names.has(operatorUid) || names.has(`${operatorUid}/${name}`)
}

type Chunk = SegmentIndex['chunks'][number]

/** Chunks that lie side by side are read together. */
function pieces(chunks: readonly Chunk[], { pieceBytes }: Reading): Chunk[][] {
  const runs: Chunk[][] = []
  for (const chunk of chunks) {
    const run = runs.at(-1)
    const end = run === undefined ? -1 : run.at(-1)![2] + run.at(-1)![3]
    if (run !== undefined && end === chunk[2] && end - run[0]![2] < pieceBytes) run.push(chunk)
    else runs.push([chunk])
  }
  return runs
}

async function* verified(
  objectKey: string,
  runs: readonly Chunk[][],
  piece: (from: number, to: number) => Promise<Buffer>,
  { ahead }: Reading,
): AsyncGenerator<VerifiedChunk> {
  const reads: Promise<Buffer>[] = []
  const ask = (i: number): void => {
    const run = runs[i]
    if (run === undefined) return
    const [, , at, bytes] = run.at(-1)!
    reads[i] = piece(run[0]![2], at + bytes)
    reads[i].catch(() => {}) // thrown where it is awaited
  }
  for (let i = 0; i < ahead; i++) ask(i)
  for (const [i, run] of runs.entries()) {
    const read = await reads[i]!
    delete reads[i]
    ask(i + ahead)
    for (const [first, last, at, length, digest] of run) {
      const from = at - run[0]![2]
      const bytes = read.subarray(from, from + length)
      if (!hash('sha256', bytes, 'buffer').equals(digest))
        throw corrupt(objectKey, `the SHA-256 of its bytes ${at} to ${at + length} is not the one in its index`)
      yield { first, last, bytes }
    }
  }
}

async function* rowsOf(chunks: AsyncGenerator<VerifiedChunk>, range: KeyGroupRange): AsyncGenerator<Iterable<Row>> {
  for await (const { first, last, bytes } of chunks) {
    const all = range.every === undefined && first >= range.from && last < range.to
    yield all ? decodeChunk(bytes) : within(decodeChunk(bytes), range)
  }
}

function* within(rows: Iterable<Row>, range: KeyGroupRange): Generator<Row> {
  for (const row of rows) if (inRange(range, row.group)) yield row
}

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
