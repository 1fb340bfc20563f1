/** The contract of every two-phase sink, on a real Kafka. */
import { contextOf, twoPhaseSinkContract } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { describe } from 'vitest'
import { brokersByProtocol } from '../../../test/stack/endpoints.ts'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaSink, listTransactions } from './index.ts'

const OPEN = ['Ongoing', 'PrepareCommit', 'PrepareAbort']

describe.each(brokersByProtocol())('kafka, transactions %s', (protocol, broker) => {
  const { kafka, run, createTopics, committed } = testKafka(broker)
  let contracts = 0
  twoPhaseSinkContract(async () => {
    const topic = `contract-${run}-${++contracts}`
    const aside = `${topic}-aside`
    await createTopics([topic, aside], { partitions: 2 })
    const context = contextOf(topic, 'out')
    const part = `weir.${context.jobId}.`
    const open = async (): Promise<number> => {
      const { transactions } = await kafka.anyBroker(listTransactions())
      const mine = transactions.filter((t) => t.transactionalId.startsWith(part))
      return mine.filter((t) => OPEN.includes(t.state)).length
    }
    return {
      sink: ({ staged, ...options }) =>
        new KafkaSink({ topic, encodeKey: String, ...options }, { context, kafka, clock: systemClock, staged }),
      zombiesDisturb: protocol === 'v1',
      aside,
      missing: `${topic}-missing`,
      committed: () => committed(topic, '%s', part),
      committedAsides: async () =>
        (await committed(aside, '%k=%s %h', part)).map((line) => line.replaceAll('NULL', 'null')),
      openTransactions: open,
      async expire() {
        while ((await open()) > 0) await systemClock.sleep(100)
      },
    }
  })
})
