/** Consumer lag of a source, against a real broker. */
import { execFileSync } from 'node:child_process'
import { attempt, generation, jobId, operatorUid, subtask, systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, KafkaSource } from './index.ts'

const broker = stackEndpoints().kafka
const topic = `lag-${systemRandom.nonce().slice(0, 8)}`
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-lag' }, { clock: systemClock })
const admin = kafka.admin()
beforeAll(async () => {
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }] })
})
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})
const produce = (records: number): void => {
  const input = Array.from({ length: records }, (_, i) => String(i)).join('\n')
  execFileSync('kcat', ['-b', broker, '-P', '-t', topic, '-p', '0'], { input })
}

test('the lag is what is there and was not handed out, however much was fetched ahead', async () => {
  produce(30)
  const { signal } = new AbortController()
  const source = new KafkaSource(
    { topic, startFrom: 'earliest', until: 'none', isolation: 'read_committed' },
    {
      context: {
        jobId: jobId('lag'),
        attempt: { generation: generation(1), attempt: attempt(1) },
        operatorUid: operatorUid('in'),
        ...{ subtask: subtask(0), parallelism: 1, maxParallelism: 128, signal },
      },
      kafka,
      clock: systemClock,
    },
  )
  await source.open(null)
  expect(source.lags()).toEqual(new Map())
  const polled = async (records: number): Promise<void> => {
    for (let found = 0; found < records;) {
      const batch = await source.poll(records - found)
      if (typeof batch === 'object' && batch.kind === 'raw') found += batch.raw.count
    }
  }
  await polled(10)
  expect(source.lags()).toEqual(new Map([[0, 20]]))
  await polled(20)
  expect(source.lags()).toEqual(new Map([[0, 0]]))
  produce(5)
  await polled(1)
  expect(source.lags()).toEqual(new Map([[0, 4]]))
  await source.close()
})
