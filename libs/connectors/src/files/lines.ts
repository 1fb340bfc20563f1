/** Lines of one object from a byte on, a chunk at a time. */
import type { ObjectStore } from '@weir/checkpoint'
import { WeirError } from '@weir/model'

const CHUNK_BYTES = 1 << 20
const LINE_BYTES_MAX = 16 << 20
const LF = 0x0a

export interface Lines {
  readonly buffer: Buffer
  /** Of each line that is not empty, in `buffer`; without its end. */
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  /** Bytes in front of `buffer`. */
  readonly from: number
  /** Of the next line. */
  readonly next: number
  /** There is nothing behind `next`. */
  readonly last: boolean
}

/** At most `max` lines. Throws `FILE_MISSING`, `LINE_TOO_LONG` (invalid). */
export async function readLines(objects: ObjectStore, key: string, from: number, max: number): Promise<Lines> {
  for (let bytes = CHUNK_BYTES; ; bytes *= 2) {
    const read = await rangeOf(objects, key, from, from + bytes)
    const whole = read.length < bytes
    const found = split(read, from, max, whole)
    if (found.next > from || whole) return found
    if (bytes < LINE_BYTES_MAX) continue
    throw new WeirError(
      { code: 'LINE_TOO_LONG', kind: 'invalid', file: key, offset: from },
      `the line of ${key} that begins at byte ${from} has more than ${LINE_BYTES_MAX} bytes; is it NDJSON?`,
    )
  }
}

async function rangeOf(objects: ObjectStore, key: string, from: number, to: number): Promise<Buffer> {
  const bytes =
    objects.readRange === undefined
      ? (await objects.get(key))?.bytes.subarray(from, to)
      : await objects.readRange(key, from, to)
  if (bytes) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  throw new WeirError(
    { code: 'FILE_MISSING', kind: 'invalid', file: key },
    `${key} was in the folder when the job began, and is not there any more: bring it back, the job stands in it or in front of it`,
  )
}

/** @param whole `buffer` goes to the end of the object: its last line needs no end of its own */
function split(buffer: Buffer, from: number, max: number, whole: boolean): Lines {
  const [starts, ends]: [number[], number[]] = [[], []]
  let at = 0
  while (starts.length < max && at < buffer.length) {
    const end = buffer.indexOf(LF, at)
    if (end < 0 && !whole) break
    const to = end < 0 ? buffer.length : end
    if (to > at) {
      starts.push(at)
      ends.push(to)
    }
    at = end < 0 ? buffer.length : end + 1
  }
  return { buffer, starts, ends, from, next: from + at, last: whole && at >= buffer.length }
}
