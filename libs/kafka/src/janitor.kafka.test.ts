/** The contract of every transaction janitor, on a real Kafka. */
import { contextOf, janitorContract } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { afterAll } from 'vitest'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaJanitor, KafkaSink } from './index.ts'

const { kafka, run, createTopics, committed } = testKafka()
const { signal } = new AbortController()
const janitor = new KafkaJanitor(kafka, signal)
afterAll(() => janitor.close())
let contracts = 0

janitorContract(async () => {
  const topic = `janitor-${run}-${++contracts}`
  await createTopics([topic])
  const context = contextOf(topic, 'out', { signal })
  const prefix = `weir.${context.jobId}.`
  const options = { topic, poolSize: 3, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  return {
    prefix,
    janitor,
    sink: () => new KafkaSink(options, { context, kafka, clock: systemClock, staged: null }),
    committed: () => committed(topic, '%s', prefix),
  }
})
