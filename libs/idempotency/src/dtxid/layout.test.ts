import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeDtxId, inspectDtxId, parseDtxId, type DtxIdForm, type DtxIdParts } from './layout.ts'

const parts = { time: 1, datacenter: 2, worker: 3, sequence: 4 }

test.each<[DtxIdForm, bigint | string, DtxIdParts]>([
  ['63', (1n << 22n) | (2n << 17n) | (3n << 7n) | 4n, parts],
  ['68', '00000000008803004', parts],
  ['63', 0n, { time: 0, datacenter: 0, worker: 0, sequence: 0 }],
  ['63', 2n ** 63n - 1n, { time: 2 ** 41 - 1, datacenter: 31, worker: 1_023, sequence: 127 }],
  ['68', 'fffffffffffffffff', { time: 2 ** 41 - 1, datacenter: 31, worker: 1_023, sequence: 4_095 }],
])('%s bits: %s', (form, id, expected) => {
  expect(encodeDtxId(form as '63', expected)).toBe(id)
  expect(parseDtxId(id)).toEqual({ form, ...expected })
})

const part = (end: number) => fc.integer({ min: 0, max: end - 1 })
const anyParts = (sequences: number) =>
  fc.record({ time: part(2 ** 41), datacenter: part(32), worker: part(1_024), sequence: part(sequences) })
const order = (p: DtxIdParts): number[] => [p.time, p.datacenter, p.worker, p.sequence]
const before = (a: DtxIdParts, b: DtxIdParts): boolean => {
  const at = order(a).findIndex((n, i) => n !== order(b)[i])
  return at >= 0 && order(a)[at]! < order(b)[at]!
}

test('63 bits: what was encoded is parsed, also from digits; the order is that of the time', () => {
  fc.assert(
    fc.property(anyParts(128), anyParts(128), (a, b) => {
      const [x, y] = [encodeDtxId('63', a), encodeDtxId('63', b)]
      expect(parseDtxId(x)).toEqual({ form: '63', ...a })
      expect(parseDtxId(String(x), '63')).toEqual({ form: '63', ...a })
      expect(x < y).toBe(before(a, b))
    }),
  )
})

test('68 bits: what was encoded is parsed; the order of the text is that of the time', () => {
  fc.assert(
    fc.property(anyParts(4_096), anyParts(4_096), (a, b) => {
      const [x, y] = [encodeDtxId('68', a), encodeDtxId('68', b)]
      expect(x).toHaveLength(17)
      expect(parseDtxId(x)).toEqual({ form: '68', ...a })
      expect(x < y).toBe(before(a, b))
    }),
  )
})

test('the time of an id is a date', () => {
  expect(inspectDtxId(encodeDtxId('63', { ...parts, time: Date.UTC(2026, 10, 29) - Date.UTC(2025, 0, 1) })).at).toBe(
    '2026-11-29T00:00:00.000Z',
  )
})

test.each([
  ['', undefined],
  ['-1', undefined],
  ['9223372036854775808', undefined],
  ['0000000000880300G', undefined],
  ['12', '68' as const],
  ['FFFFFFFFFFFFFFFFF', undefined],
])('"%s" is refused', (id, form) => {
  expect(() => parseDtxId(id, form)).toThrow(expect.objectContaining({ code: 'DTXID_INVALID', kind: 'invalid' }))
})

test.each([
  ['time', 2 ** 41],
  ['datacenter', 32],
  ['worker', 1_024],
  ['sequence', 128],
  ['sequence', -1],
  ['sequence', 0.5],
])('%s %d does not fit into 63 bits', (name, value) => {
  expect(() => encodeDtxId('63', { ...parts, [name]: value })).toThrow(
    expect.objectContaining({ code: 'DTXID_INVALID', facts: expect.objectContaining({ setting: name }) as object }),
  )
})
