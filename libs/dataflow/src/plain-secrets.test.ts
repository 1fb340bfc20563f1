/** What is taken for a secret in a plan, and what is not. */
import { expect, test } from 'vitest'
import { plainSecrets } from './plain-secrets.ts'
import type { PlanSummary } from './plan.ts'

const planOf = (config: unknown): PlanSummary =>
  ({ version: 1, nodes: [{ uid: 'rows', kind: 'sink', config, stage: 1 }] }) as unknown as PlanSummary

test.each([
  ['a password in a URL', { url: 'postgres://ada:pw@host/db' }, 'url'],
  ['a password without a user', { descriptor: { url: 'redis://:pw@host:6379/0' } }, 'descriptor.url'],
  ['a token in a query', { url: 'https://host/hook?a=1&token=abc' }, 'url'],
  ['a private key', { tls: { ca: null, key: '-----BEGIN EC PRIVATE KEY-----\nMHc=' } }, 'tls.key'],
  ['a field named for one', { auth: [{ password: 'pw' }] }, 'auth.0.password'],
  ['a header', { authorization: 'Bearer abc' }, 'authorization'],
])('%s', (_, config, place) => {
  expect(plainSecrets(planOf(config))).toEqual([`sink "rows": ${place}`])
})

test.each([
  ['references', { url: 'env:DB', authorization: 'file:/secrets/token', password: null }],
  ['addresses', { url: 'https://host:8443/orders?limit=3', pd: ['pd-0:2379'], folder: 's3://bucket/folder/' }],
  ['names of topics and columns', { topic: 'tokens', columns: [{ column: 'password_hash', from: 'hash' }] }],
  ['public certificates', { tls: { ca: '-----BEGIN CERTIFICATE-----' } }],
])('%s are none', (_, config) => {
  expect(plainSecrets(planOf(config))).toEqual([])
})
