/** Topics that stand for others, and ranges of topics in which every transaction has been decided, on a real Kafka. */
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { createTopics } from '../../../test/stack/topics.ts'
import { KafkaConnections, KafkaTopics, deleteTopics, makeTopics } from './index.ts'

const connected = (): KafkaConnections =>
  new KafkaConnections({ brokers: [stackEndpoints().kafka], clientId: 'weir-made' }, { clock: systemClock })
const kafka = connected()
const admin = kafka.admin()
const topics = new KafkaTopics({ kafka, clock: systemClock, signal: new AbortController().signal })
const run = systemRandom.nonce().slice(0, 8)
const [model, shadow] = [`made-${run}`, `made-${run}.canary`]
beforeAll(async () => {
  await admin.connect()
  await createTopics(admin, [model], 3)
})
afterAll(async () => {
  await admin.deleteTopics({ topics: [model] })
  await admin.disconnect()
  await topics.close()
})

test('a topic is made as wide as the one it stands for, once; what was there is not made, and goes only when it is told', async () => {
  // kafkajs goes on asking for topics it has known, also when they are gone.
  const own = connected()
  const deps = { kafka: own, clock: systemClock }
  expect(await makeTopics(new Map([[shadow, model]]), deps)).toEqual([shadow])
  expect(await own.partitions(shadow)).toEqual([0, 1, 2])
  expect(await makeTopics(new Map([[shadow, model]]), deps)).toEqual([])
  const missing = makeTopics(new Map([[`${shadow}.x`, `${model}-missing`]]), deps)
  await expect(missing).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC', kind: 'invalid' })
  const other = `${shadow}.other`
  await createTopics(admin, [other], 1)
  const narrow = makeTopics(new Map([[other, model]]), deps)
  await expect(narrow).rejects.toMatchObject({ code: 'TOPIC_PARTITIONS', kind: 'invalid' })
  await deleteTopics([shadow, other, `${shadow}.never`], deps)
  await expect.poll(() => admin.listTopics(), { timeout: 20_000 }).not.toContain(shadow)
  await own.close()
})

test('stable ends stop in front of what is open; a range has what was committed in it, and says when it has expired', async () => {
  const record = (value: string) => ({ topic: model, partition: 0, key: null, value: Buffer.from(value), timestamp: 1 })
  /** Its end has reached the partition, whatever that comes to. */
  const decided = async (behind: number): Promise<number> => {
    const ends = async () => [(await topics.ends(model, true))[0]!, (await topics.ends(model, false))[0]!]
    await expect
      .poll(async () => (await ends()).every((end, _, [first]) => end === first && end > behind + 1), {
        timeout: 20_000,
      })
      .toBe(true)
    return (await ends())[0]!
  }
  const write = async (id: string, value: string) => {
    const transaction = await topics.begin(`weir.${id}.${run}`)
    await transaction.write([{ ...record(value), headers: [] }])
    return transaction
  }
  await (await write('one', 'first')).commit()
  const from = await decided(0)
  await (await write('two', 'second')).commit()
  const until = await decided(from)
  await (await write('three', 'third')).commit()

  const read = async (a: number, b: number): Promise<string[]> => {
    const found: string[] = []
    for await (const { value } of topics.range(model, 0, a, b)) found.push(Buffer.from(value!).toString())
    return found
  }
  expect(await read(from, until)).toEqual(['second'])
  expect(await read(0, until)).toEqual(['first', 'second'])
  expect(await read(until, until)).toEqual([])
  await admin.fetchTopicOffsets(model) // kafkajs finds leaders only of topics it has asked for
  await admin.deleteTopicRecords({ topic: model, partitions: [{ partition: 0, offset: String(from) }] })
  await expect(read(0, until)).rejects.toMatchObject({ code: 'RECORDS_EXPIRED', kind: 'invalid' })
})
