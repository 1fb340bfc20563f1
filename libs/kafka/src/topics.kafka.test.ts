/** The contract of topics seen from outside, and of replays, on a real Kafka. */
import { contextOf, topicsContract } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaSink, KafkaTopics } from './index.ts'
import { settled } from './testing/settled.ts'

const { kafka, run, createTopics, committed } = testKafka()
const { signal } = new AbortController()
let contracts = 0

topicsContract(async () => {
  const id = `${run}-${++contracts}`
  const [out, dead, source] = ['out', 'dead', 'in'].map((name) => `topics-${name}-${id}`) as [string, string, string]
  await createTopics([out, dead, source], { partitions: 2 })
  const context = contextOf(`topics-${id}`, 'out', { signal })
  const options = { topic: out, poolSize: 3, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  return {
    topics: new KafkaTopics({ kafka, clock: systemClock, signal }),
    ...{ dead, source, missing: `${dead}-missing`, job: `pay-${id}` },
    settled: () => settled(kafka, 'weir'),
    sink: (asides) => new KafkaSink({ ...options, asides }, { context, kafka, clock: systemClock, staged: null }),
    replayed: async () => (await committed(source, '%p %k=%s %h', 'weir')).sort(),
  }
})
