import { expect, test } from 'vitest'
import { postgres, tikv, type TikvClaimsOptions } from './index.ts'

test('a store in TiKV is plain data, its secrets by reference', () => {
  const tls = { ca: 'env:TIKV_CA', cert: 'env:TIKV_CERT', key: 'env:TIKV_KEY' }
  expect(tikv({ pd: ['pd-0:2379'], namespace: 'payments', keyspace: 'claims', tls, deadline: '50ms' }).claims).toEqual({
    ...{ store: 'tikv', pd: ['pd-0:2379'], namespace: 'payments', apiVersion: 2, keyspace: 'claims', tls },
    deadlineMs: 50,
  })
  expect(tikv({ pd: ['pd-0:2379'] }).claims).toMatchObject({
    namespace: null,
    keyspace: null,
    tls: null,
    deadlineMs: 100,
  })
})

test.each<[string, TikvClaimsOptions]>([
  ['pd', { pd: [] }],
  ['pd', { pd: ['http://pd-0:2379'] }],
  ['namespace', { pd: ['pd:2379'], namespace: 'a/b' }],
  ['apiVersion', { pd: ['pd:2379'], apiVersion: 1 as 2 }],
  ['keyspace', { pd: ['pd:2379'], apiVersion: 'v1ttl', keyspace: 'k' }],
  ['tls.ca', { pd: ['pd:2379'], tls: { ca: '-----BEGIN CERTIFICATE-----' } }],
  ['tls', { pd: ['pd:2379'], tls: { ca: 'env:CA', cert: 'env:CERT' } }],
  ['deadline', { pd: ['pd:2379'], deadline: '1m' }],
])('tikv: a wrong %s is named', (option, options) => {
  expect(() => tikv(options)).toThrow(
    expect.objectContaining({ code: 'OPTION_INVALID', facts: expect.objectContaining({ option }) as object }),
  )
})

test('a store in PostgreSQL is plain data, and its address never in it', () => {
  expect(postgres.claims({ url: 'env:CLAIMS_URL' }).claims).toEqual({
    ...{ store: 'postgres', url: 'env:CLAIMS_URL', namespace: null, table: 'weir_claims' },
  })
  const secret = 'postgres://weir:hunter2@db/claims'
  expect(() => postgres.claims({ url: secret })).toThrow(/env:NAME or file:/)
  expect(() => postgres.claims({ url: secret })).not.toThrow(/hunter2/)
  expect(() => postgres.claims({ url: 'env:URL', table: 'a; drop' })).toThrow(/table is of lower case/)
})
