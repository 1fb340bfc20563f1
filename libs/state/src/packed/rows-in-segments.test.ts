/** Packed rows copied into chunks by words, and read again row by row. */
import type { Key } from '@weir/model'
import fc from 'fast-check'
import { zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { DELETE, SegmentWriter, decodeChunk, decodeIndex } from '../segment.ts'
import { KeyBytes } from './key-bytes.ts'
import { PackedRows } from './packed-rows.ts'
import { RowMemory } from './row-memory.ts'

/** Of `RowCursor.next`, between two looks at the clock. */
const ROWS_MAX = 7
/** Of a chunk, before it is closed. */
const CHUNK_BYTES = 256 * 1024
/** Of a row beside its value, at the most, in the test of full chunks. */
const BESIDE = 64

const keys = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ minLength: 60, maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('\ud83d', '', 'x'.repeat(124), 'x'.repeat(125), 'x'.repeat(126)),
  fc.double({ noNaN: true }).map((n) => (n === 0 ? 0 : n)),
)
const values = fc.option(fc.uint8Array({ maxLength: 300 }))
const groups = fc.array(fc.uniqueArray(fc.tuple(keys, values), { maxLength: 40, selector: ([key]) => key }), {
  maxLength: 4,
})

const key = new KeyBytes()
function rowsOf(group: number, of: readonly (readonly [Key, Uint8Array | null])[]): PackedRows {
  const rows = new PackedRows(group, new RowMemory())
  for (const [name, bytes] of of) {
    key.encode(name)
    rows.put(key, bytes && { bytes, from: 0, to: bytes.length, isRaw: true, isNumber: false }, 1, false)
  }
  return rows
}

/** @param states how many have a number before the one at hand @returns rows of the last state by key group, bytes of the largest chunk */
async function written(
  all: readonly PackedRows[],
  states: number,
  withDeletions: boolean,
): Promise<{ found: Map<number, unknown[]>; largest: number }> {
  const parts: Uint8Array[] = []
  const writer = new SegmentWriter('0/1', {
    write: async (bytes) => void parts.push(Uint8Array.from(bytes)),
    finish: async () => {},
    abort: async () => {},
  })
  for (let i = 0; i < states; i++) writer.add(0, JSON.stringify(['uid', `s${i}`]), 0, 'key', DELETE, new Uint8Array())
  const id = JSON.stringify(['uid', 'packed'])
  for (const rows of all) {
    const cursor = rows.rows(rows.end, 1)
    for (;;) {
      const looked = writer.addPacked(rows.group, id, cursor, withDeletions, ROWS_MAX)
      if (writer.isFull) await writer.flush()
      else if (looked < ROWS_MAX) break
    }
  }
  const { bytes, index, entries } = await writer.finish([], () => null)
  const object = Buffer.concat(parts)
  expect(object.length).toBe(bytes)
  const { chunks, states: names } = decodeIndex('segment', object.subarray(index!.at))
  const found = new Map<number, unknown[]>()
  let count = 0
  let largest = 0
  for (const [, , at, length] of chunks) {
    const chunk = object.subarray(at, at + length)
    largest = Math.max(largest, zstdDecompressSync(chunk).length)
    for (const { group, state, key: name, op, value } of decodeChunk(chunk)) {
      count++
      if (names[state]![1] !== 'packed') continue
      if (!found.has(group)) found.set(group, [])
      found.get(group)!.push([name, op === DELETE ? null : Buffer.from(value).toString('hex')])
    }
  }
  expect(count).toBe(entries)
  expect(names.some(([, name]) => name === 'packed')).toBe(found.size > 0)
  return { found, largest }
}

/** As msgpack has bytes. */
function packed(bytes: Uint8Array): string {
  const { length } = bytes
  const head = Buffer.alloc(length < 0x100 ? 2 : length < 0x10000 ? 3 : 5)
  head[0] = [0xc4, 0xc5, 0, 0xc6][head.length - 2]!
  head.writeUIntBE(length, 1, head.length - 1)
  return Buffer.concat([head, bytes]).toString('hex')
}

test('a segment has the rows as they are, whatever their lengths and their state’s number', async () => {
  await fc.assert(
    fc.asyncProperty(groups, fc.constantFrom(0, 1, 127, 128, 300), fc.boolean(), async (all, states, withDeletions) => {
      const { found } = await written(
        all.map((rows, i) => rowsOf(i + 1, rows)),
        states,
        withDeletions,
      )
      const wanted = new Map<number, unknown[]>()
      for (const [i, rows] of all.entries()) {
        const counted = rows.filter(([, bytes]) => withDeletions || bytes !== null)
        if (counted.length > 0)
          wanted.set(
            i + 1,
            counted.map(([name, bytes]) => [name, bytes && packed(bytes)]),
          )
      }
      expect(found).toEqual(wanted)
    }),
    { numRuns: 200 },
  )
})

test.each([2, 40_000, 400_000])(
  'a chunk is closed once it is full, in the middle of a key group: a value of %i bytes',
  async (bytes) => {
    const rows = Array.from({ length: bytes === 2 ? 20_000 : 30 }, (_, i) => {
      return [`user-${i}`, i % 3 === 2 ? new Uint8Array(bytes) : Uint8Array.of(i, i >>> 8)] as const
    })
    const { found, largest } = await written([rowsOf(5, rows)], 0, true)
    expect(found).toEqual(new Map([[5, rows.map(([name, value]) => [name, packed(value)])]]))
    expect(largest).toBeLessThan(CHUNK_BYTES + bytes + BESIDE)
  },
)
