/**
 * A restored offset that the log does not hold any more, on a real broker: DeleteRecords does at once what retention does
 * in days. Each policy; below the log and above it; also while running.
 */
import type { OffsetGap, OffsetPolicy, SourceState } from '@weir/dataflow'
import { contextOf } from '@weir/dataflow/testing'
import { epoch } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { expect, test } from 'vitest'
import { testKafka } from '../../../test/stack/kafka.ts'
import { KafkaSource } from './source.ts'
import { nextValues } from './next-values.fixture.ts'

const RECORDS = 100
const DELETED = 60
const RESTORED = { epoch: epoch(7), checkpointTimestamp: 1_700_000_000_000 }
const { kafka, admin, run, createTopics, produce } = testKafka()

/** One partition holding `n 0` to `n 99`; what is deleted are the first. */
async function topicOf(name: string) {
  const topic = `range-${name}-${run}`
  await createTopics([topic])
  const values = Array.from({ length: RECORDS }, (_, i) => `n ${i}`)
  produce(topic, 0, values)
  await admin.fetchTopicOffsets(topic) // kafkajs finds leaders only of topics it has asked for
  const deleteTo = (offset: number): Promise<void> =>
    admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(offset) }] })
  return { topic, deleteTo }
}

function sourceOf(topic: string, outOfRange: OffsetPolicy | undefined, until: 'none' | 'latest' = 'none') {
  const context = contextOf(`range-${run}`, 'in')
  const options = { topic, startFrom: 'earliest', until, isolation: 'read_committed', outOfRange } as const
  const source = new KafkaSource(options, { context, kafka, clock: systemClock })
  const gaps: OffsetGap[] = []
  source.onGap((gap) => void gaps.push(gap))
  return { source, gaps }
}

const at = (offset: number, end: number | null = null): SourceState => ({
  partitions: { 0: { offset: String(offset), end: end === null ? null : String(end) } },
})

test('fail, the default: the job is told what is deleted, and nothing moves', async () => {
  const { topic, deleteTo } = await topicOf('fail')
  await deleteTo(DELETED)
  const { source, gaps } = sourceOf(topic, undefined)
  await expect(source.open(at(10), RESTORED)).rejects.toMatchObject({
    facts: {
      ...{ code: 'OFFSET_OUT_OF_RANGE', kind: 'invalid', topic, partition: 0, policy: 'fail', epoch: 7 },
      ...{ offset: '10', logStart: '60', logEnd: '100', gapRecords: 50 },
    },
  })
  expect([gaps, source.snapshot()]).toMatchObject([[], at(10)])
  await source.close()
})

test.each([
  ['earliest', 60, 50, ['n 60', 'n 61']],
  ['latest', 100, 90, ['later 0', 'later 1']],
] as const)(
  '%s: goes on at %i, %i records are skipped, and every later attempt says so',
  async (policy, ...expected) => {
    const [resumedAt, skippedRecords, first] = expected
    const { topic, deleteTo } = await topicOf(policy)
    await deleteTo(DELETED)
    const { source, gaps } = sourceOf(topic, policy)
    await source.open(at(10), RESTORED)
    const gap = {
      ...{ topic, partition: 0, policy, offset: '10', logStart: '60', logEnd: '100', epoch: 7 },
      ...{ resumedAt: String(resumedAt), gapRecords: 50, skippedRecords },
    }
    expect(gaps).toEqual([gap])
    produce(topic, 0, ['later 0', 'later 1'])
    expect((await nextValues(source, 2)).slice(0, 2)).toEqual(first)
    const state = source.snapshot()
    await source.close()

    const again = sourceOf(topic, policy)
    await again.source.open(state, { ...RESTORED, epoch: epoch(8) })
    expect(again.gaps).toEqual([gap])
    expect(again.source.snapshot()).toEqual(state)
    await again.source.close()
  },
)

test('an offset behind the end of the log, as in a topic made anew: fail names it, latest and earliest go back', async () => {
  const { topic } = await topicOf('anew')
  const failing = sourceOf(topic, 'fail')
  await expect(failing.source.open(at(130), RESTORED)).rejects.toThrow(/30 records that were read are not in it/)
  for (const [policy, resumedAt] of [
    ['latest', '100'],
    ['earliest', '0'],
  ] as const) {
    const { source, gaps } = sourceOf(topic, policy)
    await source.open(at(130), RESTORED)
    expect(gaps).toMatchObject([{ offset: '130', resumedAt, gapRecords: 30, skippedRecords: 0 }])
    expect(source.snapshot()).toMatchObject({ partitions: { 0: { offset: resumedAt } } })
    await source.close()
  }
})

test('offsets at both edges of the log are inside of it', async () => {
  const { topic, deleteTo } = await topicOf('edges')
  await deleteTo(DELETED)
  for (const offset of [DELETED, RECORDS]) {
    const { source, gaps } = sourceOf(topic, 'fail')
    await source.open(at(offset), RESTORED)
    expect([gaps, source.snapshot()]).toMatchObject([[], at(offset)])
    await source.close()
  }
})

test('bounded input that was read to its end needs no log any more', async () => {
  const { topic, deleteTo } = await topicOf('read')
  await deleteTo(DELETED)
  const { source, gaps } = sourceOf(topic, 'fail', 'latest')
  await source.open(at(40, 40), RESTORED)
  expect([await source.poll(10), gaps]).toEqual([{ kind: 'split-end', split: 0 }, []])
  await source.close()
})

test('retention that is faster than a running job: the same policies', async () => {
  const { topic, deleteTo } = await topicOf('running')
  const failing = sourceOf(topic, 'fail')
  const earliest = sourceOf(topic, 'earliest')
  for (const { source } of [failing, earliest]) await source.open(null)
  await deleteTo(DELETED)
  await expect(nextValues(failing.source)).rejects.toMatchObject({
    facts: { code: 'OFFSET_OUT_OF_RANGE', offset: '0', gapRecords: 60, epoch: null },
  })
  expect((await nextValues(earliest.source))[0]).toBe('n 60')
  expect(earliest.gaps).toMatchObject([{ offset: '0', resumedAt: '60', skippedRecords: 60, epoch: null }])
  for (const { source } of [failing, earliest]) await source.close()
})

test('bounded input whose rest is deleted ends there', async () => {
  const { topic, deleteTo } = await topicOf('bounded')
  await deleteTo(DELETED)
  const { source, gaps } = sourceOf(topic, 'earliest', 'latest')
  await source.open(at(10, 40), RESTORED)
  expect(gaps).toMatchObject([{ gapRecords: 30, skippedRecords: 30 }])
  expect(await source.poll(10)).toEqual({ kind: 'split-end', split: 0 })
  expect(await source.poll(10)).toBe('end')
  await source.close()
})

test('a position in a partition that the topic has no more is told at once, whatever the policy', async () => {
  const { topic } = await topicOf('fewer')
  for (const policy of ['fail', 'earliest', 'latest'] as const) {
    const { source } = sourceOf(topic, policy)
    const restored = { partitions: { 0: { offset: '10', end: null }, 3: { offset: '5', end: null } } }
    await expect(source.open(restored, RESTORED)).rejects.toMatchObject({
      facts: { code: 'PARTITION_GONE', kind: 'restart', topic, partitions: [3] },
    })
    await source.close()
  }
})
