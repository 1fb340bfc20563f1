/**
 * A topic that is not what it was when the job began to read it: more partitions, or another log under its name. On a real broker.
 */
import type { OffsetGap, SourceState } from '@weir/dataflow'
import { contextOf } from '@weir/dataflow/testing'
import { epoch, subtask, type Clock } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { afterAll, expect, test } from 'vitest'
import { connect, testKafka } from '../../../test/stack/kafka.ts'
import type { KafkaConnections } from './connections.ts'
import { KafkaSource, type KafkaSourceOptions } from './source.ts'
import { nextValues } from './next-values.fixture.ts'
import { topicId } from './wire/apis.ts'

const RESTORED = { epoch: epoch(7), checkpointTimestamp: 1_700_000_000_000 }
const { broker, kafka, admin, run, createTopics, produce } = testKafka()
const connections: KafkaConnections[] = []
afterAll(() => Promise.all(connections.map((of) => of.close())))

/** So many in all, each with a leader as far as whoever asks has heard. */
async function addPartitions(topic: string, count: number): Promise<void> {
  await admin.createPartitions({ topicPartitions: [{ topic, count }] })
  const led = (): Promise<number> =>
    admin.fetchTopicOffsets(topic).then(
      (offsets) => offsets.length,
      () => 0,
    )
  await expect.poll(led).toBe(count)
}

interface Of {
  readonly subtask?: number
  readonly parallelism?: number
  readonly clock?: Clock
  readonly options?: Partial<KafkaSourceOptions>
}
/** Each with connections of its own, as each attempt has. */
function sourceOf(topic: string, of: Of = {}) {
  const at = { subtask: subtask(of.subtask ?? 0), parallelism: of.parallelism ?? 1 }
  const context = contextOf(`changed-${run}`, 'in', at)
  const own = connect(broker)
  connections.push(own)
  const options = { topic, startFrom: 'latest', until: 'none', isolation: 'read_committed', ...of.options } as const
  const source = new KafkaSource(options, { context, kafka: own, clock: of.clock ?? systemClock })
  const gaps: OffsetGap[] = []
  source.onGap((gap) => void gaps.push(gap))
  return { source, gaps }
}

/** What a first attempt that has read so much leaves behind. */
async function begun(topic: string, of: Of, ...values: string[]): Promise<SourceState> {
  const { source } = sourceOf(topic, of)
  await source.open(null)
  if (values.length > 0) {
    produce(topic, 0, values)
    await nextValues(source, values.length)
  }
  const state = source.snapshot()
  await source.close()
  return state
}

test('what was written to a partition that came later is read from its beginning, also by a job that began at the end of its topic', async () => {
  const topic = `added-${run}`
  await createTopics([topic])
  produce(topic, 0, ['before the job'])
  const state = await begun(topic, {}, 'a')
  await addPartitions(topic, 2)
  produce(topic, 1, ['b', 'c'])
  const { source } = sourceOf(topic)
  expect(await source.open(state, RESTORED)).toEqual([0, 1])
  expect(await nextValues(source, 2)).toEqual(['b', 'c'])
  await source.close()
})

test('nor is it skipped by a subtask that had none before', async () => {
  const topic = `added-idle-${run}`
  await createTopics([topic])
  const idle = { subtask: 1, parallelism: 2 }
  const state = await begun(topic, idle)
  expect(state).toMatchObject({ partitions: {} })
  await addPartitions(topic, 2)
  produce(topic, 1, ['b'])
  // The second is as an older build has left it.
  for (const of of [state, { partitions: {} }]) {
    const { source } = sourceOf(topic, idle)
    await source.open(of, RESTORED)
    expect(await nextValues(source, 1)).toEqual(['b'])
    await source.close()
  }
})

test('the end of a bounded input is that of its first start: nothing of a later partition is in it', async () => {
  const topic = `added-bounded-${run}`
  await createTopics([topic])
  const options = { startFrom: 'earliest', until: 'latest' } as const
  produce(topic, 0, ['a'])
  const first = sourceOf(topic, { options })
  await first.source.open(null)
  const state = first.source.snapshot()
  await first.source.close()
  await addPartitions(topic, 2)
  produce(topic, 1, ['b'])
  const { source } = sourceOf(topic, { options })
  await source.open(state, RESTORED)
  expect(await nextValues(source, 2)).toEqual(['a'])
  await source.close()
})

test('a job that runs asks each minute, and begins an attempt that reads them', async () => {
  const topic = `added-running-${run}`
  await createTopics([topic])
  let aheadMs = 0
  const clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() + aheadMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    after: (ms, call) => systemClock.after(ms, call),
  }
  const { source } = sourceOf(topic, { clock })
  await source.open(null)
  produce(topic, 0, ['a'])
  expect(await nextValues(source, 1)).toEqual(['a'])
  await addPartitions(topic, 3)
  aheadMs = 60_000
  const added = { code: 'PARTITIONS_ADDED', kind: 'restart', facts: { topic, partitions: [1, 2] } }
  await expect(nextValues(source, 1)).rejects.toMatchObject(added)
  await source.close()
})

test('another log under the same name: its offsets are not those of the job, though they are in range', async () => {
  const topic = `anew-${run}`
  await createTopics([topic])
  const state = await begun(topic, {}, 'a', 'b')
  expect(state).toMatchObject({ log: expect.stringContaining('/') as string, partitions: { 0: { offset: '2' } } })
  await admin.deleteTopics({ topics: [topic] })
  await expect.poll(() => kafka.anyBroker(topicId(topic))).toBeNull()
  await createTopics([topic])
  produce(topic, 0, ['0', '1', '2', '3'])

  const refused = sourceOf(topic)
  await expect(refused.source.open(state, RESTORED)).rejects.toMatchObject({
    ...{ code: 'TOPIC_RECREATED', kind: 'invalid' },
    message: expect.stringContaining('outOfRange') as string,
  })
  await refused.source.close()

  const accepted = sourceOf(topic, { options: { outOfRange: 'earliest' } })
  await accepted.source.open(state, RESTORED)
  expect(await nextValues(accepted.source, 4)).toEqual(['0', '1', '2', '3'])
  expect(accepted.gaps).toMatchObject([{ partition: 0, offset: '2', resumedAt: '0', skippedRecords: 0, epoch: 7 }])
  await accepted.source.close()

  // A checkpoint of an older build does not say which log it is of.
  const { log, ...older } = state
  const trusting = sourceOf(topic)
  await trusting.source.open(older, RESTORED)
  expect(await nextValues(trusting.source, 2)).toEqual(['2', '3'])
  await trusting.source.close()

  // A copy of the topic in another cluster, whose offsets are those of the first.
  const moved = sourceOf(topic)
  await moved.source.open({ ...older, log: `other${String(log)}` }, RESTORED)
  expect(await nextValues(moved.source, 2)).toEqual(['2', '3'])
  await moved.source.close()
})
