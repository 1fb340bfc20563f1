/** The contract of every replayable source, on a real Kafka. */
import { execFileSync } from 'node:child_process'
import { replayableSourceContract } from '@weir/dataflow/testing'
import { attempt, generation, jobId, operatorUid, subtask, systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, KafkaSource } from './index.ts'

const SPLITS = 4
const RECORDS = 30
const broker = stackEndpoints().kafka
const topic = `source-contract-${systemRandom.nonce().slice(0, 8)}`
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-contract' }, { clock: systemClock })
const admin = kafka.admin()
beforeAll(async () => {
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: SPLITS, replicationFactor: 1 }] })
  for (let partition = 0; partition < SPLITS; partition++) {
    const input = Array.from({ length: RECORDS }, (_, i) => `${partition}/${i}`).join('\n')
    execFileSync('kcat', ['-b', broker, '-P', '-t', topic, '-p', String(partition)], { input })
  }
})
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})

replayableSourceContract(() =>
  Promise.resolve({
    reader: ({ bounded, ...at }) =>
      new KafkaSource(
        { topic, startFrom: 'earliest', until: bounded ? 'latest' : 'none', isolation: 'read_committed' },
        {
          context: {
            jobId: jobId('contract'),
            attempt: { generation: generation(1), attempt: attempt(1) },
            operatorUid: operatorUid('in'),
            maxParallelism: 128,
            ...at,
            subtask: subtask(at.subtask),
          },
          kafka,
          clock: systemClock,
        },
      ),
    splits: SPLITS,
    recordsPerSplit: RECORDS,
    names: (batch) => {
      if (batch.kind !== 'raw') return []
      const { buffer, count, valueStart, valueEnd } = batch.raw
      return Array.from({ length: count }, (_, i) => buffer.toString('utf8', valueStart[i], valueEnd[i]))
    },
    impossible: { position: { partitions: { 0: { offset: '10000', end: null } } }, code: 'OFFSET_OUT_OF_RANGE' },
  }),
)
