/**
 * Segments of format 1, read for ever (test/compat) and written no more: `segment.ts` has the present format.
 *
 *   "WSEG" · u8 version 1 · zstd blocks, one per key group · zstd footer · u32le footer bytes
 *   block   msgpack [[state index, namespace, key, present, value]…]
 *   footer  msgpack { states: [[operator uid, name, split?]…], groups: [[key group, offset, bytes]…] }
 */
import { zstdDecompressSync } from 'node:zlib'
import { inRange, type Key, type KeyGroupRange } from '@weir/model'
import { corrupt } from './damage.ts'
import { unpack } from './pack.ts'

export interface Entry {
  readonly group: number
  readonly operatorUid: string
  readonly name: string
  /** Of a state that is kept per split of the source: its key group. */
  readonly split?: number
  readonly namespace: number
  readonly key: Key
  /** Undefined = deleted. */
  readonly value: unknown
}

const MAGIC = Buffer.from('WSEG\x01', 'latin1')

/** Entries of the key groups in `range`. Throws `SEGMENT_CORRUPT` (invalid) naming the object. */
export function* decodeSegment1(bytes: Buffer, objectKey: string, range: KeyGroupRange): Generator<Entry> {
  if (bytes.length < MAGIC.length + 4 || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw corrupt(objectKey, 'it does not begin as a segment of version 1')
  const footerAt = bytes.length - 4 - bytes.readUInt32LE(bytes.length - 4)
  const { states, groups } = unpack(zstdDecompressSync(bytes.subarray(footerAt, bytes.length - 4))) as {
    states: [string, string, number?][]
    groups: [number, number, number][]
  }
  for (const [group, at, length] of groups) {
    if (!inRange(range, group)) continue
    const rows = unpack(zstdDecompressSync(bytes.subarray(at, at + length))) as [
      number,
      number,
      Key,
      boolean,
      unknown,
    ][]
    for (const [index, namespace, key, present, value] of rows) {
      const [operatorUid, name, split] = states[index]!
      yield { group, operatorUid, name, split, namespace, key, value: present ? value : undefined }
    }
  }
}
