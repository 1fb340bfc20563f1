import { expect, test } from 'vitest'
import { z } from 'zod'
import {
  customWatermarks,
  job,
  json,
  kafka,
  tumbling,
  valueState,
  type Out,
  type ExecuteContext,
  type ResumableOperator,
} from '../index.ts'
import { Catch, Probe, testJob } from './index.ts'

const Order = z.object({
  id: z.string(),
  user: z.string(),
  amountMinor: z.int(),
  status: z.enum(['PAID', 'FAILED']),
  ts: z.number(),
})
type Order = z.infer<typeof Order>
let ids = 0
const order = (of: Partial<Order>): Order => {
  return { id: `o-${++ids}`, user: 'ada', amountMinor: 100, status: 'PAID', ts: 1_000, ...of }
}
const orders = kafka.topic('orders', { value: json(Order), timestamp: (o) => o.ts, outOfOrder: '1s' })

const settlement = job('settlement', { parallelism: 4 }, (flow) => {
  const byUser = flow
    .from(orders)
    .filter((o) => o.status === 'PAID')
    .keyBy((o) => o.user)
  byUser
    .reduce('balance', { sum: 0, count: 0 }, (acc, o) => ({ sum: acc.sum + o.amountMinor, count: acc.count + 1 }))
    .to(kafka.sink('balances'))
  byUser.window(tumbling('10s')).count().to(kafka.sink('counts'), 'per-10s')
})

test('what is fed comes out, as the sink writes it', async () => {
  const t = testJob(settlement)
  await t.feed('orders', [order({ amountMinor: 500 }), order({ amountMinor: 250 })])
  expect(t.output('balances').at(-1)).toEqual({ key: 'ada', value: { sum: 750, count: 2 } })
})

test('event time goes on with what is fed, less the bound of the source, or as the test says', async () => {
  const t = testJob(settlement)
  await t.feed('orders', [order({ ts: 9_000 }), order({ ts: 10_999 })])
  expect(t.output('counts')).toEqual([])
  await t.feed('orders', [order({ ts: 11_000 })])
  expect(t.output('counts')).toEqual([{ key: 'ada', value: { start: 0, end: 10_000, value: 1 } }])
  await t.advanceWatermark(19_999)
  expect(t.output('counts')).toHaveLength(1)
  await t.advanceWatermark(20_000, 'orders')
  // By uid too; a record for a window that is over is late.
  await t.feed('source-1', [order({ ts: 19_000 })])
  expect(t.output('per-10s').at(-1)).toEqual({ key: 'ada', value: { start: 10_000, end: 20_000, value: 2 } })
  await t.end()
  expect(t.output('counts')).toHaveLength(2)
})

test('a restart goes on from the last checkpoint: nothing is lost, nothing comes twice', async () => {
  const t = testJob(settlement, { parallelism: 2, partitions: { orders: 3 } })
  const sums = (): unknown => t.output<{ sum: number }>('balances').map(({ key, value }) => [key, value.sum])
  await t.feed('orders', [order({ user: 'ada' }), order({ user: 'bob' }), order({ user: 'cyd' })])
  await t.checkpoint()
  await t.feed('orders', [order({ user: 'ada' }), order({ user: 'bob' })])
  expect(t.output('balances')).toHaveLength(5)
  expect(t.committed('balances')).toHaveLength(3)
  const before = sums()
  await t.restart()
  expect(new Set(sums() as unknown[])).toEqual(new Set(before as unknown[]))
  expect(t.output('balances')).toHaveLength(5)
  await t.restart({ parallelism: 3 })
  await t.feed('orders', [order({ user: 'cyd' })])
  expect(t.output('balances').at(-1)).toEqual({ key: 'cyd', value: { sum: 200, count: 2 } })
  await t.restart({ parallelism: 1 })
  await t.end()
  expect(t.committed('balances')).toHaveLength(6)
  expect(t.output('counts')).toHaveLength(3)
})

test.each([
  ['has no partition', { partitions: 1, first: {}, then: {}, windows: 2 }],
  ['is ahead and gets no more', { partitions: 2, first: { partition: 0 }, then: { partition: 1 }, windows: 1 }],
])('a subtask that %s holds no event time back behind a restart', async (_, { partitions, first, then, windows }) => {
  const t = testJob(settlement, { parallelism: 2, partitions })
  await t.feed('orders', [order({ ts: 1_000 }), order({ ts: 50_000 })], first)
  await t.feed('orders', [order({ ts: 2_000 })], then)
  await t.checkpoint()
  await t.restart()
  await t.feed('orders', [order({ ts: 70_000 })], then)
  expect(t.output('counts')).toHaveLength(windows)
})

test('a restart without a checkpoint begins at the beginning', async () => {
  const t = testJob(settlement)
  await t.feed('orders', [order({}), order({})])
  await t.restart()
  expect(t.output('balances')).toHaveLength(2)
  expect(t.committed('balances')).toEqual([])
})

test('a record that fails stops the job with its error, in every call until a restart comes by it again', async () => {
  const t = testJob(settlement)
  await t.feed('orders', [order({})])
  await t.checkpoint()
  const broken = t.feed('orders', [Buffer.from('{"id": "o-')])
  await expect(broken).rejects.toMatchObject({ code: 'DECODE_FAILED', facts: { operatorUid: 'source-1', offset: 1 } })
  await expect(t.feed('orders', [order({})])).rejects.toMatchObject({ code: 'DECODE_FAILED' })
  await expect(t.restart()).rejects.toMatchObject({ code: 'DECODE_FAILED' })
  expect(t.committed('balances')).toHaveLength(1)
})

test('with dead letters it goes there, as it was read, and its neighbours have their outputs', async () => {
  const checked = job('checked', { deadLetters: kafka.sink('dead') }, (flow) => {
    flow
      .from(orders)
      .map((o) => {
        if (o.amountMinor < 0) throw new RangeError('negative')
        return o
      }, 'check')
      .to(kafka.sink('out'))
  })
  const t = testJob(checked)
  const bad = order({ amountMinor: -1 })
  await t.feed('orders', [order({}), bad, Buffer.from('oops'), order({})], { key: () => 'k' })
  expect(t.output('out')).toHaveLength(2)
  expect(t.deadLetters()).toEqual([
    {
      ...{ operator: 'source-1', error: 'DECODE_FAILED', message: expect.stringContaining('offset 2') as string },
      ...{ key: 'k', value: 'oops', origin: { topic: 'orders', partition: 0, offset: 2 } },
    },
    {
      ...{ operator: 'check', error: 'OPERATOR_FAILED', message: expect.stringContaining('negative') as string },
      ...{ key: 'k', value: JSON.stringify(bad), origin: { topic: 'orders', partition: 0, offset: 1 } },
    },
  ])
  expect(t.records('dead')).toHaveLength(2)
})

test('timers of processing time fire when the clock is advanced, and survive a restart', async () => {
  const reminders = job('reminders', (flow) => {
    flow
      .from(orders, 'orders')
      .keyBy((o) => o.user)
      .process('remind', {
        state: { sum: valueState({ initial: 0 }) },
        timers: { remind: 'processing' },
        onRecord({ state, timers }, { amountMinor }) {
          state.sum.set(state.sum.get() + amountMinor)
          timers.remind.set(timers.remind.now() + 60_000)
        },
        onTimer({ key, state }, _timer, out: Out<string>) {
          out.emit(`${key} ${state.sum.get()}`)
        },
      })
      .to(new Catch<string>('reminded'))
  })
  const t = testJob(reminders, { parallelism: 2, startMs: 5_000 })
  await t.feed('orders', [order({ user: 'ada' }), order({ user: 'bob' })])
  await t.clock.advance(59_999)
  expect(t.output('reminded')).toEqual([])
  await t.checkpoint()
  await t.restart()
  expect(t.clock.now()).toBe(64_999)
  await t.clock.advance(1)
  expect(t.output('reminded').map(({ value }) => value)).toEqual(expect.arrayContaining(['ada 100', 'bob 100']))
  await t.clock.advance(86_400_000)
  expect(t.output('reminded')).toHaveLength(2)
})

class Pairs implements ResumableOperator<Order, string, Order> {
  #open: readonly Order[] = []
  prepare(): void {}
  execute(order: Order, context: ExecuteContext<string>): void {
    this.#open = [...this.#open, order]
    if (this.#open.length < 2) return
    context.emit(this.#open.map(({ id }) => id).join('+'))
    this.#open = []
  }
  snapshotState(): readonly Order[] {
    return this.#open
  }
  restoreState(orders: readonly Order[]): void {
    this.#open = [...orders]
  }
}

test('a partition without records holds event time back until it is idle by the clock', async () => {
  const idle = job('idle', (flow) => {
    flow
      .from(kafka.topic('orders', { value: json(Order), timestamp: (o) => o.ts, idleAfter: '30s' }))
      .keyBy((o) => o.user)
      .window(tumbling('10s'))
      .count()
      .to(kafka.sink('counts'))
  })
  const t = testJob(idle, { partitions: 2 })
  await t.feed('orders', [order({ ts: 1_000 }), order({ ts: 11_000 })], { partition: 0 })
  await t.clock.advance(29_000)
  expect(t.output('counts')).toEqual([])
  await t.clock.advance(86_400_000)
  await t.feed('orders', [order({ ts: 11_500 })], { partition: 0 })
  expect(t.output('counts')).toEqual([{ key: 'ada', value: { start: 0, end: 10_000, value: 1 } }])
})

test('watermarks of its own go on by records and by what the test says', async () => {
  const watermarks = customWatermarks({ initial: 0, onEvent: (_, o: Order) => o.amountMinor, watermark: (ms) => ms })
  const marked = job('marked', (flow) => {
    flow
      .from(kafka.topic('orders', { value: json(Order), timestamp: (o) => o.ts, watermarks }), 'orders')
      .keyBy((o) => o.user)
      .window(tumbling('10s'))
      .count()
      .to(kafka.sink('counts'))
  })
  const t = testJob(marked)
  await t.feed('orders', [order({ amountMinor: 9_000, ts: 5_000 }), order({ amountMinor: 9_999, ts: 55_000 })])
  expect(t.output('counts')).toEqual([])
  await t.feed('orders', [order({ amountMinor: 10_000, ts: 56_000 })])
  expect(t.output('counts')).toHaveLength(1)
  await t.advanceWatermark(60_000)
  await t.checkpoint()
  await t.restart()
  expect(t.output<{ value: number }>('counts').map(({ value }) => value.value)).toEqual([1, 2])
})

test('headers come in with what is fed and go out with what is written', async () => {
  const traced = job('traced', (flow) => {
    flow.from(orders).to(kafka.sink('out', { headers: (o) => [['user', o.user]] }))
  })
  const t = testJob(traced)
  await t.feed('orders', [order({ user: 'bob' })], { headers: () => [['trace', Buffer.from('t1')]] })
  expect(t.records('out')[0]!.headers).toEqual([['user', Buffer.from('bob')]])
})

test('side outputs are outputs', async () => {
  const sided = job('sided', (flow) => {
    const counts = flow
      .from(orders, 'orders')
      .keyBy((o) => o.user)
      .window(tumbling('10s'))
      .count('per-10s')
    counts.to(kafka.sink('counts'))
    counts.sideOutput('late').to(kafka.sink('late'))
  })
  const t = testJob(sided)
  const late = order({ ts: 1_000 })
  await t.advanceWatermark(10_000)
  await t.feed('orders', [late])
  expect(t.output('late')).toEqual([{ key: 'ada', value: late }])
})

test('a custom operator gets its pieces back; a probe sees what passes; tombstones are null', async () => {
  const probe = new Probe<Order>()
  const pairs = new Catch<string>('pairs')
  const paired = job('paired', (flow) => {
    const all = flow.from(orders, 'orders').map(probe.pass)
    all.process('pairs', () => new Pairs()).to(pairs)
    all.map(() => null).to(kafka.sink('gone'))
  })
  const t = testJob(paired)
  await t.feed('orders', [order({ id: 'a' }), order({ id: 'b' }), order({ id: 'c' })])
  await t.checkpoint()
  await t.restart()
  await t.feed('orders', [order({ id: 'd' })])
  expect(t.output('pairs').map(({ value }) => value)).toEqual(['a+b', 'c+d'])
  expect(pairs.caught).toEqual(['a+b', 'c+d'])
  expect(probe.seen.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd'])
  expect(t.output('gone').at(-1)).toEqual({ key: null, value: null })
})

test('a name that is not there, and calls to a job that is over, say what there is', async () => {
  const t = testJob(settlement)
  await expect(t.feed('order', [])).rejects.toMatchObject({
    code: 'TEST_NAME_UNKNOWN',
    facts: { known: ['orders', 'source-1'] },
  })
  expect(() => t.output('balance')).toThrow('balances, sink-1, counts, per-10s')
  expect(() => t.deadLetters()).toThrow('no dead letters')
  await t.end()
  await expect(t.feed('orders', [])).rejects.toMatchObject({ code: 'TEST_JOB_OVER' })
  expect(() => testJob(settlement, { parallelism: 0 })).toThrow('parallelism')
})

test('calls that overlap follow each other', async () => {
  await using t = testJob(settlement)
  await Promise.all([t.feed('orders', [order({})]), t.checkpoint(), t.feed('orders', [order({})]), t.restart()])
  expect(t.committed('balances')).toHaveLength(1)
  expect(t.output('balances')).toHaveLength(2)
})

test('what has no key in its stream has the one that its sink makes of the value', async () => {
  const t = testJob(
    job('keyed-output', {}, (flow) => {
      flow
        .from(kafka.topic('in', { value: json<{ user: string; n: number }>() }), 'in')
        .filter(({ n }) => n > 0, 'some')
        .to(kafka.sink('out', { keyOf: ({ user }) => (user === '' ? null : user) }), 'out')
    }),
  )
  await t.feed('in', [
    { user: 'ada', n: 1 },
    { user: '', n: 2 },
    { user: 'bob', n: 0 },
  ])
  expect(t.output('out').map(({ key }) => key)).toEqual(['ada', null])
})
