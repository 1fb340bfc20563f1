/** The contract of every transaction janitor, on a real Kafka. */
import { execFileSync } from 'node:child_process'
import { janitorContract } from '@weir/dataflow/testing'
import { attempt, generation, jobId, operatorUid, subtask, systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, KafkaJanitor, KafkaSink } from './index.ts'
import { settled } from './testing/settled.ts'

const broker = stackEndpoints().kafka
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-janitor' }, { clock: systemClock })
const admin = kafka.admin()
const { signal } = new AbortController()
const janitor = new KafkaJanitor(kafka, signal)
beforeAll(() => admin.connect())
afterAll(async () => {
  await admin.disconnect()
  await janitor.close()
})

janitorContract(async () => {
  const run = systemRandom.nonce().slice(0, 8)
  const topic = `janitor-${run}`
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }] })
  const context = {
    jobId: jobId(`janitor-${run}`),
    attempt: { generation: generation(1), attempt: attempt(1) },
    operatorUid: operatorUid('out'),
    subtask: subtask(0),
    parallelism: 1,
    maxParallelism: 128,
    signal,
  }
  const prefix = `weir.${context.jobId}.`
  const options = { topic, poolSize: 3, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  return {
    prefix,
    janitor,
    sink: () => new KafkaSink(options, { context, kafka, clock: systemClock, staged: null }),
    async committed() {
      await settled(kafka, prefix)
      const args = ['-b', broker, '-C', '-t', topic, '-e', '-q', '-o', 'beginning', '-f', '%s\n']
      const text = execFileSync('kcat', [
        ...args,
        '-X',
        'isolation.level=read_committed',
        '-X',
        'fetch.wait.max.ms=10',
      ]).toString()
      return text.split('\n').filter((line) => line !== '')
    },
  }
})
