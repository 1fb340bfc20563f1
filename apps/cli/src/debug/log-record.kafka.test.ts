/** Records by their place on a real broker, and that nobody who could write has been made for it. */
import type { SourceNode } from '@weir/dataflow'
import { KafkaConnections, KafkaTopics, listTransactions } from '@weir/kafka'
import { operatorUid } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../../test/stack/endpoints.ts'
import { createTopics } from '../../../../test/stack/topics.ts'
import { recordsOf, type RecordPlace } from './log-record.ts'

const broker = stackEndpoints().kafka
const topic = `debug-${systemRandom.nonce().slice(0, 8)}`
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-test' }, { clock: systemClock })
const admin = kafka.admin()
const DELETED = 2

/** `a 0` to `a 4`, a marker, two aborted records, their marker, `b 0`. */
beforeAll(async () => {
  await admin.connect()
  await createTopics(admin, [topic], 1)
  const topics = new KafkaTopics({ kafka, clock: systemClock, signal: new AbortController().signal })
  const recordsNamed = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => ({
      ...{ topic, partition: 0, key: null, value: Buffer.from(`${name} ${i}`), timestamp: 1_000 + i, headers: [] },
    }))
  const id = `fed-${topic}`
  const first = await topics.begin(id)
  await first.write(recordsNamed('a', 5))
  await first.commit()
  const given = await topics.begin(id)
  await given.write(recordsNamed('aborted', 2))
  const last = await topics.begin(id) // what was open is aborted
  await last.write(recordsNamed('b', 1))
  await last.commit()
  await admin.fetchTopicOffsets(topic) // kafkajs finds leaders only of topics it has asked for
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(DELETED) }] })
})
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})

const source: SourceNode = {
  ...{ kind: 'source', uid: operatorUid('in'), decode: null, timestamp: null, outOfOrderMs: 0, recordsPerSecond: null },
  descriptor: { connector: 'kafka', topic },
}

async function read(place: Partial<RecordPlace>): Promise<readonly (readonly string[])[]> {
  const deps = { kafka: broker, log: undefined, env: {} }
  const batches: string[][] = []
  const all = { source, partition: 0, from: 0, to: 1, wanted: 'last' as const, ...place }
  for await (const batch of recordsOf(all, deps)) {
    if (batch.kind !== 'raw') throw new Error(batch.kind)
    const { raw } = batch
    batches.push(
      Array.from({ length: raw.count }, (_, i) => raw.buffer.toString('utf8', raw.valueStart[i]!, raw.valueEnd[i]!)),
    )
  }
  return batches
}

test('one record alone; several of them with the last one alone', async () => {
  expect(await read({ from: 3, to: 4 })).toEqual([['a 3']])
  const batches = await read({ from: 2, to: 5 })
  expect(batches.flat()).toEqual(['a 2', 'a 3', 'a 4'])
  expect(batches.at(-1)).toEqual(['a 4'])
})

test('markers and aborted records are none, between others they are passed', async () => {
  await expect(read({ from: 5, to: 6 })).rejects.toMatchObject({ code: 'DEBUG_NO_RECORD' })
  await expect(read({ from: 6, to: 7 })).rejects.toMatchObject({ code: 'DEBUG_NO_RECORD' })
  expect((await read({ from: 4, to: 10 })).flat()).toEqual(['a 4', 'b 0'])
  expect((await read({ from: 4, to: 8, wanted: 'some' })).flat()).toEqual(['a 4'])
})

test('what retention has eaten, what is beyond the end, a partition there is not', async () => {
  await expect(read({ from: 1, to: 2 })).rejects.toMatchObject({
    code: 'DEBUG_OFFSET_GONE',
    facts: { logStart: String(DELETED) },
  })
  await expect(read({ from: 500, to: 501 })).rejects.toMatchObject({ code: 'DEBUG_OFFSET_GONE' })
  await expect(read({ partition: 3 })).rejects.toMatchObject({ code: 'DEBUG_PARTITION_UNKNOWN' })
})

test('no transactional id and no consumer group is left by reading', async () => {
  const before = await admin.fetchTopicOffsets(topic)
  await read({ from: 3, to: 4 })
  const { signal } = new AbortController()
  const answers = await kafka.everyBroker(listTransactions(), signal)
  const ids = answers.flatMap(({ answer }) => answer.transactions.map((one) => one.transactionalId))
  expect(ids.filter((id) => id.includes(topic))).toEqual([`fed-${topic}`])
  expect(ids.filter((id) => /(^|[^a-z0-9])debug([^-]|$)/.test(id))).toEqual([])
  const { groups } = await admin.listGroups()
  expect(groups.filter(({ groupId }) => /debug/.test(groupId) && !groupId.includes('fed-'))).toEqual([])
  expect(await admin.fetchTopicOffsets(topic)).toEqual(before)
})
