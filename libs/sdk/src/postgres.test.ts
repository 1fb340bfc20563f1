import { expect, test } from 'vitest'
import { planJob } from '@weir/dataflow'
import { datagen } from './connectors.ts'
import { job } from './job.ts'
import { postgres } from './postgres.ts'

const url = 'env:DATABASE_URL'

test('a sink is plain data: the plan holds the name of the secret', () => {
  expect(postgres.sink('pay.totals', { url, columns: ['id', 'total'], key: ['id'] }).descriptor).toEqual({
    connector: 'postgres',
    url,
    table: 'pay.totals',
    columns: [
      { column: 'id', from: 'id' },
      { column: 'total', from: 'total' },
    ],
    key: ['id'],
    origin: null,
    markers: 'pay.weir_sinks',
  })
  const { descriptor } = postgres.sink('totals', { url, columns: { id: '$key' }, origin: 'o', markers: 'm' })
  expect(descriptor).toMatchObject({ columns: [{ column: 'id', from: '$key' }], origin: 'o', markers: 'm' })
})

test.each([
  ['table', 'a.b.c', {}],
  ['url', 't', { url: 'postgres://user:secret@host/db' }],
  ['columns', 't', { columns: [] }],
  ['columns', 't', { columns: ['a', 'a'] }],
  ['key', 't', { key: ['b'] }],
  ['origin', 't', { origin: 'o', key: ['a'] }],
  ['origin', 't', { origin: 'a' }],
] as const)('a wrong %s is named, and no secret repeated', (option, table, over) => {
  const make = (): unknown => postgres.sink(table, { url, columns: ['a'], ...over })
  expect(make).toThrow(
    expect.objectContaining({ code: 'OPTION_INVALID', facts: expect.objectContaining({ option }) as unknown }) as Error,
  )
  expect(make).not.toThrow(/secret/)
})

test('receipts need topics: a job whose first sink is a table keeps none, and says so', () => {
  const audited = job('audited', { audit: true }, (flow) => {
    flow.from(datagen.payments()).to(postgres.sink('t', { url, columns: ['id'] }))
  })
  expect(() => planJob(audited)).toThrow(expect.objectContaining({ code: 'AUDIT_INVALID' }) as Error)
})
