import { expect, test } from 'vitest'
import { testKafka } from '../../../test/stack/kafka.ts'
import { topicId } from './wire/apis.ts'

const { kafka, admin, run } = testKafka()

test('a topic that is deleted and made again has another id; one that is not there has none', async () => {
  const topic = `topic-id-${run}`
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
