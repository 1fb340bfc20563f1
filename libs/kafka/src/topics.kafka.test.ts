/** The contract of topics seen from outside, and of replays, on a real Kafka. */
import { execFileSync } from 'node:child_process'
import { topicsContract } from '@weir/dataflow/testing'
import { attempt, generation, jobId, operatorUid, subtask, systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, KafkaSink, KafkaTopics } from './index.ts'
import { settled } from './testing/settled.ts'

const broker = stackEndpoints().kafka
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-topics' }, { clock: systemClock })
const admin = kafka.admin()
const { signal } = new AbortController()
beforeAll(() => admin.connect())
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})

topicsContract(async () => {
  const run = systemRandom.nonce().slice(0, 8)
  const [out, dead, source] = ['out', 'dead', 'in'].map((name) => `topics-${name}-${run}`) as [string, string, string]
  await admin.createTopics({
    topics: [out, dead, source].map((topic) => ({ topic, numPartitions: 2, replicationFactor: 1 })),
  })
  const context = {
    jobId: jobId(`topics-${run}`),
    attempt: { generation: generation(1), attempt: attempt(1) },
    operatorUid: operatorUid('out'),
    subtask: subtask(0),
    ...{ parallelism: 1, maxParallelism: 128, signal },
  }
  const options = { topic: out, poolSize: 3, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  return {
    topics: new KafkaTopics({ kafka, clock: systemClock, signal }),
    ...{ dead, source, missing: `${dead}-missing`, job: `pay-${run}` },
    settled: () => settled(kafka, 'weir'),
    sink: (asides) => new KafkaSink({ ...options, asides }, { context, kafka, clock: systemClock, staged: null }),
    replayed() {
      const args = ['-b', broker, '-C', '-t', source, '-e', '-q', '-o', 'beginning', '-f', '%p %k=%s %h\\n']
      const text = execFileSync('kcat', [
        ...args,
        '-X',
        'isolation.level=read_committed',
        '-X',
        'fetch.wait.max.ms=10',
      ]).toString()
      return Promise.resolve(
        text
          .split('\n')
          .filter((line) => line !== '')
          .sort(),
      )
    },
  }
})
