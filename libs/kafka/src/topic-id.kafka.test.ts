/** Needs the stack: npm run stack -- up. */
import { systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections } from './index.ts'
import { topicId } from './wire/apis.ts'

const kafka = new KafkaConnections(
  { brokers: [stackEndpoints().kafka], clientId: 'weir-topic-id' },
  { clock: systemClock },
)
const admin = kafka.admin()
beforeAll(() => admin.connect())
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})

test('a topic that is deleted and made again has another id; one that is not there has none', async () => {
  const topic = `topic-id-${systemRandom.nonce().slice(0, 8)}`
  const idOf = (): Promise<string | null> => kafka.anyBroker(topicId(topic))
  const create = (): Promise<boolean> =>
    admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: false })
  expect(await idOf()).toBeNull()
  await create()
  await expect.poll(idOf).toMatch(/^[A-Za-z0-9_-]{22}$/)
  const first = await idOf()
  await admin.deleteTopics({ topics: [topic] })
  await expect.poll(idOf).toBeNull()
  await create()
  await expect.poll(idOf).not.toBeNull()
  expect(await idOf()).not.toBe(first)
})
