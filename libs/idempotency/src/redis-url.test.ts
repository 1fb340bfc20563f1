import { expect, test } from 'vitest'
import { redisAddress } from './redis-url.ts'

const plain = { tls: false, username: undefined, password: undefined, db: 0, primary: undefined }

test.each([
  ['redis://host', { ...plain, kind: 'single', hosts: [{ host: 'host', port: 6379 }] }],
  ['redis://host:7/3', { ...plain, kind: 'single', hosts: [{ host: 'host', port: 7 }], db: 3 }],
  ['redis://[::1]:7', { ...plain, kind: 'single', hosts: [{ host: '::1', port: 7 }] }],
  [
    'rediss://ada:p%40ss@host:7',
    { ...plain, kind: 'single', tls: true, hosts: [{ host: 'host', port: 7 }], username: 'ada', password: 'p@ss' },
  ],
  [
    'redis+sentinel://:secret@a,b:2/primary',
    {
      ...{ ...plain, kind: 'sentinel', password: 'secret', primary: 'primary' },
      hosts: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 2 },
      ],
    },
  ],
  [
    'rediss+cluster://a:1,b:2',
    {
      ...{ ...plain, kind: 'cluster', tls: true },
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    },
  ],
])('%s', (url, address) => {
  expect(redisAddress(url)).toEqual(address)
})

test.each([
  'host:6379',
  'redis://',
  'redis://user:secret@a,b',
  'redis://a/name',
  'redis+sentinel://a',
  'redis+cluster://a/1',
  'redis://a:99999',
  'http://a',
])('%s is refused, and not repeated', (url) => {
  expect(() => redisAddress(url)).toThrow(
    expect.objectContaining({ code: 'REDIS_URL_INVALID', kind: 'invalid' }) as Error,
  )
  expect(() => redisAddress(url)).not.toThrow(/secret/)
})
