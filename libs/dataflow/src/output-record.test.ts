import { placeOf } from '@weir/model'
import { expect, test } from 'vitest'
import { NO_HEADERS, OutputView, recordHeaders, type SinkHeader } from './output-record.ts'

test('text of a header is written as UTF-8; bytes and null stay, names may repeat, the order is kept', () => {
  const headers = recordHeaders([
    ['region', 'Köln'],
    ['region', Uint8Array.of(1, 2)],
    ['gone', null],
  ])
  expect(headers).toEqual([
    ['region', Buffer.from('Köln')],
    ['region', Uint8Array.of(1, 2)],
    ['gone', null],
  ])
  expect(recordHeaders([])).toBe(NO_HEADERS)
})

test.each([
  [undefined],
  ['region: eu'],
  [['region']],
  [[['region', 7]]],
  [[['region']]],
  [[[7, 'eu']]],
  [[['\ud800', 'eu']]],
  [[['region', '\ud800']]],
])('no headers: %j', (headers) => {
  expect(() => recordHeaders(headers as unknown as SinkHeader[])).toThrow(
    expect.objectContaining({ code: 'ENCODE_FAILED', kind: 'invalid' }) as Error,
  )
})

test('a sink sees key, event time and origin of the record at hand', () => {
  const view = new OutputView()
  const origins = { places: [placeOf(2, 5)], offsets: [77], ordinals: ['0.1'] }
  const batch = { keys: ['ada'], values: [1], timestamps: [9] }
  const { key, timestamp, origin } = view.at({ ...batch, origins }, 0)
  expect({ key, timestamp, origin }).toEqual({
    key: 'ada',
    timestamp: 9,
    origin: { place: placeOf(2, 5), offset: 77, ordinal: '0.1' },
  })
  expect([view.at({ ...batch, keys: null }, 0).key, view.origin]).toEqual([null, null])
})

test('keyOf is asked once for a record, whoever looks at its key', () => {
  const asked: unknown[] = []
  const view = new OutputView((value) => {
    asked.push(value)
    return value as string | null
  })
  const batch = { keys: null, values: ['ada', null], timestamps: [9, 10] }
  const keys = [0, 1, 0].flatMap((i) => [view.at(batch, i).key, view.key])
  expect(keys).toEqual(['ada', 'ada', null, null, 'ada', 'ada'])
  expect(asked).toEqual(['ada', null, 'ada'])
})
