import type { JobDefinition } from '@weir/dataflow'
import { keyGroupOf } from '@weir/model'
import { describe, expect, test } from 'vitest'
import { job, json, kafka, sideOutput, tumbling, valueState, type Out } from '../../index.ts'
import { checkpointOf, recordOf, type Fed } from './replay.fixture.ts'
import { keyGroupsOf } from './key-groups.ts'
import { Replay, type ReplayOptions } from './replay.ts'

interface Payment {
  readonly user: string
  readonly amountMinor: number
}
const payments = kafka.topic('payments', { value: json<Payment>(), outOfOrder: '1s' })
const at = (partition: number, user: string, amountMinor: number, timestamp = 1_000): Fed => ({
  ...{ partition, timestamp },
  value: { user, amountMinor },
})
const FED = [at(0, 'ada', 100), at(0, 'bob', 7), at(1, 'ada', 20), at(1, 'cyd', 1)]

const limits = job('limits', { deadLetters: kafka.sink('dead') }, (flow) => {
  flow
    .from(payments, 'payments')
    .filter((payment) => payment.amountMinor !== 0, 'is-something')
    .keyBy((payment) => payment.user, 'by-user')
    .process('limit', {
      state: { spent: valueState({ initial: 0 }) },
      timers: { forget: 'event' },
      sides: { large: sideOutput<Payment>() },
      onRecord({ state, timers, timestamp, sides }, payment, out: Out<number>) {
        if (payment.amountMinor < 0) throw new RangeError('negative')
        state.spent.set(state.spent.get() + payment.amountMinor)
        timers.forget.set(timestamp + 60_000)
        if (payment.amountMinor > 500) sides.large.emit(payment)
        out.emit(state.spent.get())
      },
      onTimer: () => {},
    })
    .to(kafka.sink('spent'), 'spent')
})

async function replayed(
  of: JobDefinition,
  fed: readonly Fed[],
  record: Fed & { readonly offset: number },
  more: Partial<ReplayOptions> = {},
) {
  const { manifest, objects } = await checkpointOf(of, 'payments', fed, { parallelism: 2, partitions: 2 })
  const before = objects.writes
  const options = { job: of, manifest, objects, source: 'payments', partition: record.partition, allowCalls: false }
  const replay = await Replay.open({ ...options, settleMs: 30_000, ...more })
  const answer = await replay.record(recordOf(record))
  await replay.close()
  expect(objects.writes).toBe(before)
  return answer
}

test('one record, with the state two subtasks had stored: what it puts out, reads, writes and sets', async () => {
  const answer = await replayed(limits, FED, { ...at(1, 'ada', 600, 2_000), offset: 2 })
  expect(answer).toMatchObject({
    failure: null,
    outputs: [{ sink: 'spent', topic: 'spent', key: 'ada', value: 720, timestamp: 2_000 }],
    sides: [{ side: 'limit.large', key: 'ada', value: { user: 'ada', amountMinor: 600 } }],
    deadLetters: [],
    state: [{ operatorUid: 'limit', name: 'spent', key: 'ada', entry: null, split: null, before: 120, after: 720 }],
    timers: [{ operatorUid: 'limit', kind: 'event', key: 'ada', name: 'forget', timeMs: 62_000, change: 'set' }],
    suppressed: [],
  })
  expect(answer.steps.map(({ operator, call, returned }) => [operator, call, returned])).toEqual([
    ['is-something', 'test', true],
    ['by-user', 'key', 'ada'],
    ['limit', 'onRecord', undefined],
  ])
})

test('a record that a filter drops says where it ended', async () => {
  const { steps, outputs, state } = await replayed(limits, FED, { ...at(0, 'ada', 0), offset: 2 })
  expect(steps).toMatchObject([{ operator: 'is-something', call: 'test', returned: false }])
  expect([...outputs, ...state]).toEqual([])
})

test('one that cannot be read, and one that fails, are dead letters with their origin', async () => {
  const unread = await replayed(limits, FED, { ...at(0, '', 0), value: Buffer.from('oops'), offset: 2 })
  expect(unread.deadLetters).toMatchObject([
    { error: 'DECODE_FAILED', value: 'oops', origin: { topic: 'payments', partition: 0, offset: 2 } },
  ])
  const failing = await replayed(limits, FED, { ...at(0, 'ada', -1), offset: 2 })
  expect(failing.deadLetters).toMatchObject([{ operator: 'limit', error: 'OPERATOR_FAILED' }])
  expect(failing.steps.at(-1)).toMatchObject({ operator: 'limit', threw: 'RangeError: negative' })
  expect(failing.state).toMatchObject([])
})

test('without dead letters the failure is the answer', async () => {
  const strict = { ...limits, settings: { ...limits.settings, deadLetters: null } }
  const { failure, outputs } = await replayed(strict, FED, { ...at(0, 'ada', -1), offset: 2 })
  expect(failure).toMatchObject({ code: 'OPERATOR_FAILED', facts: { operatorUid: 'limit' } })
  expect(outputs).toEqual([])
})

test('the key groups a record needs are found without their state, and with them alone the answer is the same', async () => {
  const { manifest, objects } = await checkpointOf(limits, 'payments', FED, { parallelism: 2, partitions: 2 })
  const options = { job: limits, manifest, objects, source: 'payments', partition: 0, allowCalls: false }
  const record = recordOf({ ...at(0, 'ada', 5), offset: 2 })
  const groups = await keyGroupsOf({ ...options, settleMs: 30_000 }, record)
  expect(groups(1)).toEqual(new Set([keyGroupOf('ada', limits.settings.maxParallelism)]))
  await using replay = await Replay.open({ ...options, groups, settleMs: 30_000 })
  expect((await replay.record(record)).outputs).toMatchObject([{ key: 'ada', value: 125 }])
})

test('where the record fails in front of the state, all of it is restored; where it is dropped, none', async () => {
  const { manifest, objects } = await checkpointOf(limits, 'payments', FED, { parallelism: 2, partitions: 2 })
  const options = {
    job: limits,
    manifest,
    objects,
    source: 'payments',
    partition: 0,
    allowCalls: false,
    settleMs: 30_000,
  }
  const unreadable = recordOf({ ...at(0, '', 0), value: Buffer.from('oops'), offset: 2 })
  expect((await keyGroupsOf(options, unreadable))(1)).toBe(null)
  expect((await keyGroupsOf(options, recordOf({ ...at(0, 'ada', 0), offset: 2 })))(1)).toEqual(new Set())
})

test('earlier records leave their state and event time, and none of their output', async () => {
  const { manifest, objects } = await checkpointOf(limits, 'payments', FED, { parallelism: 2, partitions: 2 })
  const options = { job: limits, manifest, objects, source: 'payments', partition: 0, allowCalls: false }
  await using replay = await Replay.open({ ...options, settleMs: 30_000 })
  await replay.pass(recordOf({ ...at(0, 'ada', 1), offset: 2 }))
  await replay.pass(recordOf({ ...at(0, 'ada', 1), offset: 3 }))
  const { outputs, state } = await replay.record(recordOf({ ...at(0, 'ada', 1), offset: 4 }))
  expect(outputs).toMatchObject([{ value: 123 }])
  expect(state).toMatchObject([{ before: 122, after: 123 }])
})

describe('windows', () => {
  const counts = job('counts', {}, (flow) =>
    flow
      .from(payments, 'payments')
      .keyBy((payment) => payment.user, 'by-user')
      .window(tumbling('10s'))
      .count('per-10s')
      .to(kafka.sink('counts'), 'counts'),
  )
  const late = [at(0, 'ada', 1, 1_000), at(1, 'ada', 1, 30_000)]

  test('the record closes what its time closes, from the event time of every partition on', async () => {
    const { outputs, state } = await replayed(counts, late, { ...at(0, 'ada', 1, 12_000), offset: 1 })
    expect(outputs).toMatchObject([{ key: 'ada', value: { start: 0, end: 10_000, value: 1 } }])
    expect(state.find(({ namespace }) => namespace === 20_000)).toMatchObject({ before: undefined, after: 1 })
  })

  test('what is too late for its window is seen, although the job does not take it', async () => {
    const { sides } = await replayed(counts, [at(0, 'ada', 1, 40_000), at(1, 'ada', 1, 40_000)], {
      ...at(0, 'ada', 3, 2_000),
      offset: 1,
    })
    expect(sides).toMatchObject([{ side: 'per-10s.late', key: 'ada', value: { user: 'ada', amountMinor: 3 } }])
  })
})

describe('calls', () => {
  let calls = 0
  const rated = job('rated', {}, (flow) =>
    flow
      .from(payments, 'payments')
      .asyncMap('rate', async ({ amountMinor }) => {
        calls++
        await Promise.resolve()
        return amountMinor * 2
      })
      .to(kafka.sink('rated'), 'rated'),
  )

  test('are not made, and it is said where the record ended', async () => {
    const { outputs, suppressed } = await replayed(rated, [], { ...at(0, 'ada', 4), offset: 0 })
    expect(outputs).toEqual([])
    expect(suppressed).toEqual([{ operator: 'rate', value: { user: 'ada', amountMinor: 4 } }])
    expect(calls).toBe(0)
  })

  test('are made where they are allowed', async () => {
    const { outputs, suppressed } = await replayed(rated, [], { ...at(0, 'ada', 4), offset: 0 }, { allowCalls: true })
    expect(outputs).toMatchObject([{ value: 8 }])
    expect(suppressed).toEqual([])
    expect(calls).toBe(1)
  })
})

test('the degrade switch stands as it does in the checkpoint', async () => {
  const degradable = job('degradable', { degradable: true }, (flow) =>
    flow
      .from(payments, 'payments')
      .map(({ user }, { degraded }) => `${user} ${degraded}`, 'mark')
      .to(kafka.sink('marked'), 'marked'),
  )
  const { outputs } = await replayed(degradable, FED, { ...at(0, 'ada', 1), offset: 2 })
  expect(outputs).toMatchObject([{ value: 'ada true' }])
})

test('a source the job does not have is refused with those it has', async () => {
  const answer = replayed(limits, FED, { ...at(0, 'ada', 1), offset: 2 }, { source: 'orders' })
  await expect(answer).rejects.toMatchObject({ code: 'REPLAY_SOURCE_UNKNOWN', facts: { sources: ['payments'] } })
})
