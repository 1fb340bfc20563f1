/** The doctor asks a real Redis, and one that is set up to forget. */
import { examine } from '@weir/dataflow'
import { systemClock } from '@weir/runtime/system'
import { expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { PrivateServer } from '../../../test/stack/private-server.ts'
import { Redis } from 'ioredis'
import { observeRedis, redisAddress } from './index.ts'

const within = (): AbortSignal => AbortSignal.timeout(30_000)

test('a Redis tells how it keeps what it is given, and what time it has', async () => {
  const { facts, clock } = await observeRedis(redisAddress(`redis://${stackEndpoints().redis}`), systemClock, within())
  expect(facts).toMatchObject({ replicas: 0, minReplicasToWrite: 0 })
  expect(facts.appendFsync).toMatch(/always|everysec|no/)
  expect(facts.usedBytes).toBeGreaterThan(0)
  expect(Math.abs(clock.offsetMs)).toBeLessThanOrEqual(clock.uncertaintyMs + 5)
})

test('a Redis that evicts and writes nothing to its disk is unsafe', async () => {
  const server = await PrivateServer.start('redis')
  const [host, port] = server.endpoint.split(':')
  const admin = new Redis({ host: host!, port: Number(port) })
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await admin.config('SET', 'maxmemory', '100mb')
  await admin.config('SET', 'appendonly', 'no')
  await admin.config('SET', 'save', '')
  const { facts } = await observeRedis(redisAddress(`redis://${server.endpoint}`), systemClock, within())
  admin.disconnect()
  await server.close()
  expect(facts).toMatchObject({ evictionPolicy: 'allkeys-lru', maxmemoryBytes: 100 * 1024 ** 2, snapshots: false })
  const told = examine({ redis: [{ name: 'redis', facts }] }).flatMap(({ code, severity }) =>
    severity === 'unsafe' ? [code] : [],
  )
  expect(told).toEqual(['REDIS_EVICTION', 'REDIS_PERSISTENCE'])
})

test('nobody at the address: the last error, when the time is over', async () => {
  const gone = observeRedis(redisAddress('redis://127.0.0.1:1'), systemClock, AbortSignal.timeout(300))
  await expect(gone).rejects.toMatchObject({ kind: 'retry' })
})
