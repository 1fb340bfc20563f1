import { WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import type { RawRecords } from '../ports.ts'
import { readBatch } from './source.ts'
import { thrown, uid } from './fixture.ts'

const rawOf = (values: readonly (string | null)[], firstOffset = 100): RawRecords => {
  const buffer = Buffer.from(values.map((v) => v ?? '').join(''))
  const valueStart = new Int32Array(values.length + 3) // longer than `count`: arrays are re-used by readers
  const valueEnd = new Int32Array(values.length + 3)
  let at = 0
  for (const [i, v] of values.entries()) {
    valueStart[i] = v === null ? -1 : at
    at += v === null ? 0 : Buffer.byteLength(v)
    valueEnd[i] = v === null ? -1 : at
  }
  return {
    buffer,
    count: values.length,
    keyStart: new Int32Array(values.length).fill(-1),
    keyEnd: new Int32Array(values.length).fill(-1),
    valueStart,
    valueEnd,
    timestamps: Float64Array.from(values, (_, i) => 1_000 + i),
    offsets: Float64Array.from(values, (_, i) => firstOffset + i),
  }
}
const decode = (buffer: Buffer, start: number, end: number): unknown => JSON.parse(buffer.toString('utf8', start, end))

test('raw records are decoded, with the event time of the value', () => {
  const node = { uid, decode, timestamp: (v: unknown) => (v as { ts: number }).ts }
  expect(readBatch(node, { kind: 'raw', split: 3, raw: rawOf(['{"ts":5}', '{"ts":6}']) })).toEqual({
    keys: null,
    values: [{ ts: 5 }, { ts: 6 }],
    timestamps: [5, 6],
  })
})

test("without a timestamp function the log's own time counts", () => {
  const batch = readBatch({ uid, decode, timestamp: null }, { kind: 'raw', split: 0, raw: rawOf(['1', '2']) })
  expect(batch.timestamps).toEqual([1_000, 1_001])
})

test('a record that does not decode is named by partition and offset; a code of the decoder is kept', () => {
  const raw = rawOf(['1', '{broken'])
  expect(
    thrown(() => readBatch({ uid, decode, timestamp: null }, { kind: 'raw', split: 3, raw })).toJSON(),
  ).toMatchObject({
    code: 'DECODE_FAILED',
    kind: 'invalid',
    facts: { operatorUid: 'op', split: 3, offset: 101 },
  })
  const picky = (): unknown => {
    throw new WeirError({ code: 'SCHEMA_FAILED', kind: 'invalid', issue: 'amount: too small' }, 'amount: too small')
  }
  const error = thrown(() => readBatch({ uid, decode: picky, timestamp: null }, { kind: 'raw', split: 3, raw }))
  expect(error).toMatchObject({ code: 'SCHEMA_FAILED', facts: { issue: 'amount: too small', offset: 100 } })
})

test('a tombstone is refused, not skipped', () => {
  const error = thrown(() =>
    readBatch({ uid, decode, timestamp: null }, { kind: 'raw', split: 0, raw: rawOf(['1', null]) }),
  )
  expect(error).toMatchObject({ code: 'DECODE_FAILED', facts: { offset: 101 } })
})

test('a bad event time is refused with its offset', () => {
  const node = { uid, decode, timestamp: (v: unknown) => (v as { ts: number }).ts }
  const raw = rawOf(['{"ts":5}', '{}'])
  expect(thrown(() => readBatch(node, { kind: 'raw', split: 1, raw }))).toMatchObject({
    code: 'TIMESTAMP_INVALID',
    facts: { split: 1, offset: 101, got: 'undefined' },
  })
})

test('bytes without a decoder stop the job', () => {
  const node = { uid, decode: null, timestamp: null }
  expect(thrown(() => readBatch(node, { kind: 'raw', split: 0, raw: rawOf(['1']) })).code).toBe(
    'SOURCE_WITHOUT_DECODER',
  )
})

test('a source of objects passes its arrays on', () => {
  const values = [{ n: 1 }]
  const batch = readBatch(
    { uid, decode: null, timestamp: null },
    { kind: 'values', split: 0, values, timestamps: [7], offsets: [0] },
  )
  expect(batch).toEqual({ keys: null, values: [{ n: 1 }], timestamps: [7] })
})
