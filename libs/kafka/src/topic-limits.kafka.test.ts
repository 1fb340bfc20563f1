/** What a topic would refuse goes aside before it is sent; what it takes is written, however it is batched (PROTOCOL B7). */
import { attempt, epoch, generation, jobId, operatorUid, subtask, systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, KafkaSink, KafkaTopics } from './index.ts'
import { settled } from './testing/settled.ts'

const kafka = new KafkaConnections(
  { brokers: [stackEndpoints().kafka], clientId: 'weir-limits' },
  { clock: systemClock },
)
const admin = kafka.admin()
const { signal } = new AbortController()
beforeAll(() => admin.connect())
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})

test('too large, without a key, too far in the future or the past: refused one by one, and the rest is written', async () => {
  const run = systemRandom.nonce().slice(0, 8)
  const topic = `limits-${run}`
  const configs = {
    'max.message.bytes': '2000',
    'cleanup.policy': 'compact',
    'message.timestamp.before.max.ms': '1000000',
    'message.timestamp.after.max.ms': '1000000',
  }
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1, configEntries }] })
  const refused: [unknown, string][] = []
  const context = {
    jobId: jobId(topic),
    attempt: { generation: generation(1), attempt: attempt(1) },
    operatorUid: operatorUid('out'),
    subtask: subtask(0),
    ...{ parallelism: 1, maxParallelism: 128, signal },
  }
  const sink = new KafkaSink(
    {
      ...{ topic, poolSize: 2, transactionTimeoutMs: 60_000 },
      encodeKey: (key) => (key === 'none' ? null : String(key)),
      encodeValue: String,
      asides: { topics: [], audit: null, refuse: ({ values }, i, error) => void refused.push([values[i], error.code]) },
    },
    { context, kafka, clock: systemClock, staged: null },
  )
  await sink.recover(null)
  const now = Date.now()
  const small = Array.from({ length: 50 }, (_, i) => `${i} ${'x'.repeat(100)}`)
  const rows: [key: string, value: string, timestamp: number][] = [
    ['k', 'ü'.repeat(1_000), now],
    ['none', 'a', now],
    ['k', 'b', now + 2_000_000],
    ['k', 'c', now - 2_000_000],
    ['k', 'y'.repeat(1_800), now],
    ...small.map((value): [string, string, number] => ['k', value, now]),
  ]
  await sink.write({ keys: rows.map((r) => r[0]), values: rows.map((r) => r[1]), timestamps: rows.map((r) => r[2]) })
  expect(refused).toEqual([
    ['ü'.repeat(1_000), 'RECORD_TOO_LARGE'],
    ['a', 'RECORD_WITHOUT_KEY'],
    ['b', 'RECORD_TIMESTAMP_REFUSED'],
    ['c', 'RECORD_TIMESTAMP_REFUSED'],
  ])
  await sink.prepare({ epoch: epoch(1), generation: generation(1), attempt: attempt(1) })
  await sink.commit(1)
  await settled(kafka, topic)
  const written: string[] = []
  const topics = new KafkaTopics({ kafka, clock: systemClock, signal })
  for await (const { value } of topics.read(topic)) written.push(Buffer.from(value!).toString())
  expect(written).toEqual(['y'.repeat(1_800), ...small])
  await sink.close('abort')
})
