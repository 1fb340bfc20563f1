/** The contract of every replayable source, on a real Kafka. */
import { contextOf, replayableSourceContract, textsOf } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { beforeAll } from 'vitest'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaSource } from './index.ts'

const SPLITS = 4
const RECORDS = 30
const { kafka, run, createTopics, produce } = testKafka()
const topic = `source-contract-${run}`
beforeAll(async () => {
  await createTopics([topic], { partitions: SPLITS })
  for (let partition = 0; partition < SPLITS; partition++) {
    const values = Array.from({ length: RECORDS }, (_, i) => `${partition}/${i}`)
    produce(topic, partition, values)
  }
})

replayableSourceContract(() =>
  Promise.resolve({
    reader: ({ bounded, ...at }) =>
      new KafkaSource(
        { topic, startFrom: 'earliest', until: bounded ? 'latest' : 'none', isolation: 'read_committed' },
        { context: contextOf('contract', 'in', at), kafka, clock: systemClock },
      ),
    splits: SPLITS,
    recordsPerSplit: RECORDS,
    names: textsOf,
    impossible: { position: { partitions: { 0: { offset: '10000', end: null } } }, code: 'OFFSET_OUT_OF_RANGE' },
  }),
)
