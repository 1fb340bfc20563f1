/** Consumer lag of a source, against a real broker. */
import { contextOf } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { beforeAll, expect, test } from 'vitest'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaSource } from './index.ts'

const { kafka, run, createTopics, produce } = testKafka()
const topic = `lag-${run}`
beforeAll(() => createTopics([topic]))
const produced = (records: number): void =>
  produce(
    topic,
    0,
    Array.from({ length: records }, (_, i) => String(i)),
    ...['-X', 'linger.ms=200'], // one batch: what a fetch brings is all of it
  )

test('the lag is what is there and was not handed out, however much was fetched ahead', async () => {
  produced(30)
  const source = new KafkaSource(
    { topic, startFrom: 'earliest', until: 'none', isolation: 'read_committed' },
    { context: contextOf('lag', 'in'), kafka, clock: systemClock },
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
  produced(5)
  await polled(1)
  expect(source.lags()).toEqual(new Map([[0, 4]]))
  await source.close()
})
