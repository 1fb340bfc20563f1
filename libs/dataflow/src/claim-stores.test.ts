import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import type { ClaimsDescriptor } from './claim-node.ts'
import { checkClaimStore } from './claim-stores.ts'

const redis = { store: 'redis', url: 'env:REDIS_URL', namespace: null, wait: null }
const tikv = {
  ...{ store: 'tikv', pd: ['pd-0:2379'], namespace: 'payments', apiVersion: 2, keyspace: null, tls: null },
  deadlineMs: 100,
}
const postgres = { store: 'postgres', url: 'env:CLAIMS_URL', namespace: null, table: 'weir.claims' }
const tiered = { store: 'tiered', remote: tikv, localDir: null, soleWriter: false, entriesMax: 1_000 }
const check = (claims: unknown): void =>
  checkClaimStore({ uid: operatorUid('once'), claims: claims as ClaimsDescriptor })

test.each([
  ['redis', redis],
  ['redis that waits', { ...redis, wait: { replicas: 1, timeoutMs: 1_000 } }],
  ['tikv', tikv],
  ['tikv with TLS', { ...tikv, tls: { ca: 'env:CA', cert: 'env:CERT', key: 'env:KEY' } }],
  ['postgres', postgres],
  ['a secret in a file', { ...postgres, url: 'file:/run/secrets/db' }],
  ['tiered', tiered],
  ['memory', { store: 'memory' }],
])('what the builders make is taken: %s', (_, claims) => {
  expect(() => check(claims)).not.toThrow()
})

test.each<[string, unknown, RegExp]>([
  ['a secret in the plan', { ...redis, url: 'redis://weir:hunter2@host' }, /a wrong url: it is env:NAME or file:/],
  ['nothing said of waiting', { store: 'redis', url: 'env:X', namespace: null }, /a wrong wait/],
  [
    'an option of another store',
    { ...redis, table: 'claims' },
    /has "table", which is none of store, url, namespace, wait/,
  ],
  ['a namespace that names several', { ...redis, namespace: 'a/b' }, /a wrong namespace/],
  ['a table that is more than one', { ...postgres, table: 'a; drop' }, /a wrong table/],
  ['PD as a URL', { ...tikv, pd: ['http://pd:2379'] }, /a wrong pd/],
  ['a time TiKV cannot answer in', { ...tikv, deadlineMs: 1 }, /a wrong deadlineMs: it is a whole number from 5/],
  [
    'tiers over tiers',
    { ...tiered, remote: tiered },
    /a wrong remote: it is "tiered"; it is one of redis, tikv, postgres/,
  ],
  ['tiers over something by hand', { ...tiered, remote: { ...redis, url: 'x' } }, /a wrong remote: it has a wrong url/],
  ['a folder without a place', { ...tiered, localDir: 'claims' }, /a wrong localDir/],
  ['a store that is none', { store: 'etcd' }, /is "etcd"; it is one of redis, tikv, postgres, tiered, memory/],
  ['a name of JavaScript', { store: 'constructor' }, /is "constructor"; it is one of/],
  ['no store', {}, /is nothing; it is one of/],
])('%s is refused with what to write instead, and no secret repeated', (_, claims, said) => {
  const refused = expect.objectContaining({ code: 'CLAIM_STORE_INVALID', kind: 'invalid' }) as Error
  expect(() => check(claims)).toThrow(refused)
  expect(() => check(claims)).toThrow(said)
  expect(() => check(claims)).toThrow(/Make it with redis\(…\), tikv\(…\), postgres\.claims\(…\) or tiered\(…\)/)
  expect(() => check(claims)).not.toThrow(/hunter2/)
})
