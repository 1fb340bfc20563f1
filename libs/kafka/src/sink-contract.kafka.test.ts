/** The contract of every two-phase sink, on a real Kafka. */
import { execFileSync } from 'node:child_process'
import { twoPhaseSinkContract } from '@weir/dataflow/testing'
import { attempt, generation, jobId, operatorUid, subtask, systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll, describe } from 'vitest'
import { brokersByProtocol } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, KafkaSink, listTransactions } from './index.ts'
import { settled } from './testing/settled.ts'

const OPEN = ['Ongoing', 'PrepareCommit', 'PrepareAbort']

describe.each(brokersByProtocol())('kafka, transactions %s', (protocol, broker) => {
  const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-contract' }, { clock: systemClock })
  const admin = kafka.admin()
  beforeAll(() => admin.connect())
  afterAll(async () => {
    await admin.disconnect()
    await kafka.close()
  })
  twoPhaseSinkContract(async () => {
    const run = systemRandom.nonce().slice(0, 8)
    const topic = `contract-${run}`
    const aside = `${topic}-aside`
    await admin.createTopics({
      topics: [topic, aside].map((name) => ({ topic: name, numPartitions: 2, replicationFactor: 1 })),
    })
    const context = {
      jobId: jobId(`contract-${run}`),
      attempt: { generation: generation(1), attempt: attempt(1) },
      operatorUid: operatorUid('out'),
      subtask: subtask(0),
      parallelism: 1,
      maxParallelism: 128,
      signal: new AbortController().signal,
    }
    const open = async (): Promise<number> => {
      const { transactions } = await kafka.anyBroker(listTransactions())
      const mine = transactions.filter((t) => t.transactionalId.startsWith(`weir.${context.jobId}.`))
      return mine.filter((t) => OPEN.includes(t.state)).length
    }
    const read = async (from: string, format: string): Promise<string[]> => {
      await settled(kafka, `weir.${context.jobId}.`)
      const args = ['-b', broker, '-C', '-Z', '-t', from, '-e', '-q', '-o', 'beginning', '-f', format]
      const text = execFileSync('kcat', [
        ...args,
        '-X',
        'isolation.level=read_committed',
        '-X',
        'fetch.wait.max.ms=10',
      ]).toString()
      return text.split('\n').filter((line) => line !== '')
    }
    return {
      sink: ({ staged, ...options }) =>
        new KafkaSink({ topic, encodeKey: String, ...options }, { context, kafka, clock: systemClock, staged }),
      zombiesDisturb: protocol === 'v1',
      aside,
      missing: `${topic}-missing`,
      committed: () => read(topic, '%s\n'),
      committedAsides: async () => (await read(aside, '%k=%s %h\n')).map((line) => line.replaceAll('NULL', 'null')),
      openTransactions: open,
      async expire() {
        while ((await open()) > 0) await systemClock.sleep(100)
      },
    }
  })
})
