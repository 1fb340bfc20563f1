/**
 * A stored piece of state. Key groups lie one behind the other, each compressed on its own, so that a range can be read
 * alone:
 *
 *   "WSEG" · u8 version 1 · zstd blocks, one per key group · zstd footer · u32le footer bytes
 *   block   msgpack [[state index, namespace, key, present, value]…]
 *   footer  msgpack { states: [[operator uid, name, split?]…], groups: [[key group, offset, bytes]…] }
 */
import { createHash } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { WeirError, keyGroupOf, type Key, type KeyGroupRange } from '@weir/model'
import { Packr } from 'msgpackr'

export interface Entry {
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
const packr = new Packr({ useRecords: true, moreTypes: true })
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** Names a state: JSON of uid, name and, where it is kept per split, the split. */
export const stateId = (operatorUid: string, name: string, split: number | undefined): string =>
  JSON.stringify(split === undefined ? [operatorUid, name] : [operatorUid, name, split])

export const pack = (value: unknown): Buffer => packr.pack(value)
export const unpack = (bytes: Uint8Array): unknown => packr.unpack(bytes)
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export function encodeSegment(entries: Iterable<Entry>, maxParallelism: number): { bytes: Buffer; entries: number } {
  const states = new Map<string, number>()
  const groups = new Map<number, unknown[]>()
  let count = 0
  for (const { operatorUid, name, split, namespace, key, value } of entries) {
    const id = stateId(operatorUid, name, split)
    let index = states.get(id)
    if (index === undefined) states.set(id, (index = states.size))
    const group = split ?? keyGroupOf(key, maxParallelism)
    let rows = groups.get(group)
    if (rows === undefined) groups.set(group, (rows = []))
    rows.push([index, namespace, key, value !== undefined, value ?? null])
    count++
  }
  const parts: Buffer[] = [MAGIC]
  let at = MAGIC.length
  const directory: [number, number, number][] = []
  for (const [group, rows] of [...groups].sort(([a], [b]) => a - b)) {
    const block = zstdCompressSync(packr.pack(rows), LEVEL)
    directory.push([group, at, block.length])
    parts.push(block)
    at += block.length
  }
  const footer = zstdCompressSync(
    packr.pack({ states: [...states.keys()].map((id) => JSON.parse(id) as unknown), groups: directory }),
    LEVEL,
  )
  const length = Buffer.alloc(4)
  length.writeUInt32LE(footer.length)
  return { bytes: Buffer.concat([...parts, footer, length]), entries: count }
}

/** Entries of the key groups in `range`. Throws `SEGMENT_CORRUPT` (invalid) naming the object. */
export function* decodeSegment(bytes: Buffer, objectKey: string, range: KeyGroupRange): Generator<Entry> {
  if (bytes.length < MAGIC.length + 4 || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw corrupt(objectKey, 'it does not begin as a segment of version 1')
  const footerAt = bytes.length - 4 - bytes.readUInt32LE(bytes.length - 4)
  const { states, groups } = packr.unpack(zstdDecompressSync(bytes.subarray(footerAt, bytes.length - 4))) as {
    states: [string, string, number?][]
    groups: [number, number, number][]
  }
  for (const [group, at, length] of groups) {
    if (group < range.from || group >= range.to) continue
    const rows = packr.unpack(zstdDecompressSync(bytes.subarray(at, at + length))) as [
      number,
      number,
      Key,
      boolean,
      unknown,
    ][]
    for (const [index, namespace, key, present, value] of rows) {
      const [operatorUid, name, split] = states[index]!
      yield { operatorUid, name, split, namespace, key, value: present ? value : undefined }
    }
  }
}

export const corrupt = (objectKey: string, why: string): WeirError =>
  new WeirError(
    { code: 'SEGMENT_CORRUPT', kind: 'invalid', objectKey },
    `state segment ${objectKey} is damaged: ${why}. Nothing was restored from it; restore an older epoch or repair the object from a backup.`,
  )
