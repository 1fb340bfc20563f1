import { expect, test } from 'vitest'
import { ndjson, parquet } from './files.ts'
import { http } from './http.ts'
import { json } from './codecs/json.ts'
import { withHeaders } from './codecs/headers.ts'

const folder = 's3://lake/orders/'
const refused = (option: string): Error =>
  expect.objectContaining({
    code: 'OPTION_INVALID',
    facts: expect.objectContaining({ option }) as unknown,
  }) as Error

test('sinks are plain data', () => {
  expect(ndjson.sink(folder).descriptor).toEqual({ connector: 'files', format: 'ndjson', folder, rollBytes: 64 << 20 })
  const { descriptor } = parquet.sink(folder, {
    rollBytes: 1_000,
    columns: { id: 'INT64', at: { type: 'TIMESTAMP', from: '$timestamp' } },
  })
  expect(descriptor).toEqual({
    ...{ connector: 'files', format: 'parquet', folder, rollBytes: 1_000 },
    columns: [
      { column: 'id', type: 'INT64', from: 'id' },
      { column: 'at', type: 'TIMESTAMP', from: '$timestamp' },
    ],
  })
  expect(http.sink('https://api.example/orders', { authorization: 'env:TOKEN' }).descriptor).toEqual({
    ...{ connector: 'http', url: 'https://api.example/orders', method: 'POST' },
    ...{ contentType: 'application/json', authorization: 'env:TOKEN' },
  })
})

test.each([
  ['folder', () => ndjson.sink('s3://lake/orders')],
  ['folder', () => ndjson.sink('/var/lake/')],
  ['folder', () => ndjson.folder('lake/', { value: json(), timestamp: () => 0 })],
  ['splits', () => ndjson.folder(folder, { value: json(), timestamp: () => 0, splits: 0 })],
  ['rollBytes', () => ndjson.sink(folder, { rollBytes: 0 })],
  ['columns', () => parquet.sink(folder, { columns: {} })],
  ['columns', () => parquet.sink(folder, { columns: { a: 'DECIMAL' as 'INT64' } })],
  ['url', () => http.sink('ftp://host/')],
  ['url', () => http.sink('https://user:secret@host/')],
  ['value', () => ndjson.sink(folder, { value: withHeaders(json()) })],
  ['value', () => http.sink('https://host/', { value: withHeaders(json()) })],
  ['method', () => http.sink('https://host/', { method: 'GET' as 'POST' })],
  ['authorization', () => http.sink('https://host/', { authorization: 'Bearer secret' })],
] as const)('a wrong %s is named, and no secret repeated', (option, make) => {
  expect(make).toThrow(refused(option))
  expect(make).not.toThrow(/secret@|Bearer secret/)
})
