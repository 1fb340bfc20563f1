/** The source without a broker: what its polls wait for. */
import { contextOf } from '@weir/dataflow/testing'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import type { KafkaConnections } from './connections.ts'
import { KafkaSource } from './source.ts'

/** A topic of one partition without records: a fetch is never answered. */
const silent = {
  connect: () => Promise.resolve(),
  partitions: () => Promise.resolve([0]),
  anyBroker: () => Promise.resolve({ clusterId: 'c', topicId: 't' }),
  toLeader: () => Promise.resolve({ errorCode: 0, offset: 0n }),
  byLeader: () => Promise.resolve(new Map([['1', [0]]])),
  toBroker: () => new Promise(() => {}),
} as unknown as KafkaConnections
const context = contextOf('j', 'in')

test('a poll that waits for a fetch ends when a barrier waits for it, and the next one waits again', async () => {
  const clock = new ManualClock()
  const options = { topic: 'orders', startFrom: 'earliest', until: 'none', isolation: 'read_committed' } as const
  const source = new KafkaSource(options, { context, kafka: silent, clock })
  await source.open(null)
  const interrupted = source.poll(10)
  source.interrupt()
  expect(await interrupted).toBe('idle')
  const inTime = source.poll(10)
  clock.advance(100)
  expect(await inTime).toBe('idle')
})
