/** Packed rows beside a plain Map: what is there, what was there at barriers, and what changed between them. */
import type { Key } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packReused, unpackPart } from '../pack.ts'
import type { BlockChanges } from './block.ts'
import { KeyBytes } from './key-bytes.ts'
import { PackedRows, type PutValue } from './packed-rows.ts'
import { RowCursor } from './row-cursor.ts'
import { RowMemory } from './row-memory.ts'

const DELETE = 0
const keyBytes = new KeyBytes()
const encoded = (key: Key): KeyBytes => {
  keyBytes.encode(key)
  return keyBytes
}
const raw = (bytes: Uint8Array): PutValue => ({ bytes, from: 0, to: bytes.length, isRaw: true, isNumber: false })
function putOf(value: Value): PutValue {
  if (typeof value === 'string') return raw(Buffer.from(value, 'latin1'))
  const { bytes, start, end } = packReused(value)
  return { bytes, from: start, to: end, isRaw: false, isNumber: true }
}
function read(bytes: Buffer, at: number, end: number): Value {
  const value = unpackPart(bytes, at, end)
  return typeof value === 'number' ? value : (value as Buffer).toString('latin1')
}

/** Bytes, and numbers: −0 is 0, as msgpackr has it. */
type Value = string | number

function valueOf(rows: PackedRows, key: Key): Value | undefined {
  if (!rows.find(encoded(key)) || rows.foundDeleted) return undefined
  const { value, end } = rows.foundValue(encoded(key))
  return read(rows.foundBytes, end, end + value)
}

/** By key; null: it is gone. Throws where a key is there twice. */
function valuesOf(row: RowCursor): Map<Key, Value | null> {
  const found = new Map<Key, Value | null>()
  while (row.next()) {
    if (found.has(row.key)) throw new Error(`${row.key} is there twice`)
    found.set(row.key, row.op === DELETE ? null : read(row.block.bytes, row.valueAt, row.end))
  }
  return found
}

const KEYS: readonly Key[] = [
  'a',
  'b',
  '',
  'é',
  '\ud83d',
  'x'.repeat(65),
  'long '.repeat(200),
  1,
  -0,
  1.5,
  '1',
  'c',
  'd',
]
const value = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.oneof(
      fc.integer(),
      fc.integer({ min: -40, max: 300 }),
      fc.double({ noNaN: true }).map((n) => n + 0),
    ),
  },
  { weight: 8, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom('v'.repeat(255), 'v'.repeat(256), 'w'.repeat(70_000), 'z'.repeat(300_000)) },
)
const key = fc.constantFrom(...KEYS)
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant('put' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restored' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('barrier' as const) }) },
  // Nobody asks for a barrier any more: its deletions are forgotten, rows move together, blocks are freed.
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('released' as const), rowsMax: fc.constantFrom(0, 1, Infinity) }),
  },
)

test('over any history of puts, deletions, restored rows and barriers the rows are those of plain maps, now and at every barrier that is asked for', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const memory = new RowMemory()
      const rows = new PackedRows(7, memory)
      const now = new Map<Key, Value>()
      let changed = new Map<Key, Value | null>()
      let layer = 1
      let barriers: {
        to: number
        changes: readonly BlockChanges[]
        layer: number
        all: Map<Key, Value>
        changed: Map<Key, Value | null>
      }[] = []
      let told = 0
      let taken = 0
      for (const s of steps) {
        if (s.do === 'put') {
          taken += rows.put(encoded(s.key), putOf(s.value), layer, barriers.length > 0)
          now.set(s.key, s.value)
          changed.set(s.key, s.value)
        } else if (s.do === 'delete') {
          taken += rows.put(encoded(s.key), null, layer, barriers.length > 0)
          now.delete(s.key)
          changed.set(s.key, null)
        } else if (s.do === 'restored') {
          // As a restore does: what has been there since the first barrier, of a key that nothing is known of.
          if (rows.find(encoded(s.key))) continue
          taken += rows.putOld(encoded(s.key), putOf(s.value), layer)
          now.set(s.key, s.value)
          for (const barrier of barriers) barrier.all.set(s.key, s.value)
        } else if (s.do === 'barrier') {
          expect(rows.changed).toBeGreaterThanOrEqual(changed.size)
          barriers.push({ to: rows.end, changes: rows.cut(), layer, all: new Map(now), changed })
          changed = new Map()
          layer++
        } else {
          for (const { to, changes } of barriers) {
            rows.forgetDeletions(changes, layer)
            told = to
          }
          barriers = []
          const freed = { rows: 0, bytes: 0 }
          rows.moveSparse(told, s.rowsMax, layer, freed)
          rows.freeSuperseded(freed)
          taken -= freed.bytes
          expect(taken).toBeGreaterThanOrEqual(0)
        }
        for (const k of KEYS) expect(valueOf(rows, k)).toBe(now.get(k))
        for (const barrier of barriers) {
          const all = valuesOf(rows.rows(barrier.to, barrier.layer))
          for (const [k, v] of all) if (v === null) all.delete(k)
          expect(all).toEqual(barrier.all)
          expect(valuesOf(RowCursor.changed(barrier.changes, barrier.layer))).toEqual(barrier.changed)
        }
        expect([...KEYS].filter((k) => rows.find(encoded(k))).length).toBe(memory.size)
      }
    }),
    { numRuns: Number(process.env['WEIR_RUNS'] ?? 200) },
  )
})

test('a hundred thousand keys, of which every third is deleted and every third written again, take the room of what is there', () => {
  const memory = new RowMemory()
  const rows = new PackedRows(0, memory)
  const keys = Array.from({ length: 100_000 }, (_, i) => `order-${i}`)
  const of = (text: string): PutValue => raw(Buffer.from(text))
  for (const k of keys) rows.put(encoded(k), of(k), 1, true)
  rows.cut()
  for (const [i, k] of keys.entries()) {
    if (i % 3 === 0) rows.put(encoded(k), null, 2, true)
    if (i % 3 === 1) rows.put(encoded(k), of(`${k}!`), 2, true)
  }
  const to = rows.end
  rows.forgetDeletions(rows.cut(), 3)
  for (const [i, k] of keys.entries())
    expect(valueOf(rows, k)).toBe(i % 3 === 0 ? undefined : i % 3 === 1 ? `${k}!` : k)
  expect(memory.size).toBe(66_666)
  expect(valuesOf(rows.rows(to, 3)).size).toBe(66_666)
})

test('blocks of claims whose time is over are freed as they are, in the order in which they came', () => {
  const memory = new RowMemory()
  const rows = new PackedRows(0, memory)
  const print = raw(Buffer.alloc(39))
  let bytes = 0
  for (let i = 0; i < 50_000; i++) bytes += rows.put(encoded(`order-${i}`), print, 1, true)
  rows.cut()
  for (let i = 0; i < 40_000; i++) rows.forget(encoded(`order-${i}`), 2)
  const freed = { rows: 0, bytes: 0 }
  rows.freeSuperseded(freed)
  expect(freed.bytes).toBeGreaterThan(bytes * 0.7)
  expect(memory.size).toBe(10_000)
  expect(valueOf(rows, 'order-39999')).toBeUndefined()
  expect(valueOf(rows, 'order-40000')).toBeDefined()
})

test('a number that changes for every record between two barriers takes the room of one row', () => {
  const memory = new RowMemory()
  const rows = new PackedRows(0, memory)
  const bytes = [1_000, 1_001, 65_535].map((n) => rows.put(encoded('user-1'), putOf(n), 1, true))
  expect(bytes).toEqual([bytes[0], 0, 0])
  expect(valueOf(rows, 'user-1')).toBe(65_535)
  const first = rows.cut()
  expect(rows.put(encoded('user-1'), putOf(1_002), 2, true)).toBeGreaterThan(0) // somebody asks what was at the barrier
  expect(valuesOf(RowCursor.changed(first, 1))).toEqual(new Map([['user-1', 65_535]]))
})

test('behind a barrier that nobody asks about a number is written over, and the next delta tells it and no other', () => {
  const rows = new PackedRows(0, new RowMemory())
  for (const k of ['user-1', 'user-2']) rows.put(encoded(k), putOf(1_000), 1, false)
  const to = rows.end
  rows.cut()
  const bytes = [1_001, 1_002].map((n) => rows.put(encoded('user-1'), putOf(n), 2, false))
  expect([...bytes, rows.changed, rows.end]).toEqual([0, 0, 1, to])
  expect(valuesOf(RowCursor.changed(rows.cut(), 2))).toEqual(new Map([['user-1', 1_002]]))
  expect(rows.put(encoded('user-1'), putOf(1_003), 3, false)).toBe(0)
  expect(valuesOf(rows.rows(to, 3))).toEqual(
    new Map([
      ['user-1', 1_003],
      ['user-2', 1_000],
    ]),
  )
})

test('what was written over, and moves before the next barrier, is still what its delta tells', () => {
  const rows = new PackedRows(0, new RowMemory())
  const keys = Array.from({ length: 1_000 }, (_, i) => `user-${i}`)
  for (const k of keys) rows.put(encoded(k), putOf(1_000), 1, false)
  rows.cut()
  for (const k of keys) if (k.endsWith('1')) rows.put(encoded(k), putOf(1_001), 2, false)
  for (const k of keys) if (/[02-9]$/.test(k)) rows.put(encoded(k), putOf(1_002), 2, true)
  expect(rows.moveSparse(rows.end, Infinity, 2, { rows: 0, bytes: 0 })).toBeGreaterThan(0)
  const changed = valuesOf(RowCursor.changed(rows.cut(), 2))
  expect(changed).toEqual(new Map(keys.map((k) => [k, k.endsWith('1') ? 1_001 : 1_002])))
})

test('bytes that have been handed out stay what they were: no row of bytes is written over', () => {
  const memory = new RowMemory()
  const rows = new PackedRows(0, memory)
  rows.put(encoded('a'), raw(Buffer.from('before')), 1, false)
  rows.find(encoded('a'))
  const { value: length, end } = rows.foundValue(encoded('a'))
  const view = rows.foundBytes.subarray(end, end + length)
  const wasThere = Buffer.from(view)
  rows.put(encoded('a'), raw(Buffer.from('behind')), 1, false)
  rows.put(encoded('a'), putOf(1), 1, false)
  expect(view).toEqual(wasThere)
})

test('sums of keys in no order, changed again and again, take a few times the room of those that are there', () => {
  const memory = new RowMemory()
  const rows = new PackedRows(0, memory)
  let taken = 0
  for (let epoch = 1; epoch <= 60; epoch++) {
    for (let i = 0; i < 2_000; i++)
      taken += rows.put(encoded(`user-${(i * i * epoch) % 10_007}`), putOf(1e6 + i), epoch, true)
    rows.cut()
    const freed = { rows: 0, bytes: 0 }
    rows.moveSparse(rows.end, 2_000, epoch + 1, freed)
    rows.freeSuperseded(freed)
    taken -= freed.bytes
  }
  expect(memory.size).toBeGreaterThan(4_000)
  expect(taken / memory.size).toBeLessThan(3 * 32)
})

test('rows that are somewhere else leave by whole blocks, the oldest first, and are not found any more', () => {
  const memory = new RowMemory()
  const rows = new PackedRows(0, memory)
  for (let i = 0; i < 20_000; i++) rows.put(encoded(i), raw(Buffer.alloc(39)), 1, true)
  const freed = { rows: 0, bytes: 0 }
  expect(rows.evict(rows.end / 2, freed)).toBe(true)
  expect(freed.rows).toBeGreaterThan(5_000)
  expect(memory.size).toBe(20_000 - freed.rows)
  for (let i = 0; i < 20_000; i++) expect(rows.find(encoded(i))).toBe(i >= freed.rows)
})
