import { planJob } from '@weir/dataflow'
import { expect, expectTypeOf, test } from 'vitest'
import {
  broadcastState,
  job,
  json,
  kafka,
  keyBy,
  tumbling,
  valueState,
  type Flow,
  type KeyedStream,
  type Out,
  type Stream,
} from './index.ts'

interface Order {
  readonly user: string
  readonly orderId: string
}
interface Card extends Order {
  readonly card: string
}
const orders = kafka.topic('orders', { value: json<Order>(), uid: 'orders' })
const cards = kafka.topic('cards', { value: json<Card>(), uid: 'cards' })
const numbers = kafka.topic('numbers', { value: json<number>(), uid: 'numbers' })
/** Type-checked, not run. */
const typesOnly = (build: (flow: Flow) => void): void => void build

test('a union takes streams of its own type, or of one that is more', () => {
  const { graph } = job('j', (flow) => {
    const all = flow.from(orders).union(flow.from(cards))
    expectTypeOf(all).toEqualTypeOf<Stream<Order>>()
    all
      .keyBy((o) => o.user)
      .reduce('count', 0, (n) => n + 1)
      .to(kafka.sink('counts'))
  })
  expect(planJob({ ...job('j', () => {}), graph }).summary.nodes.map(({ uid, stage }) => [uid, stage])).toEqual([
    ['orders', 0],
    ['cards', 1],
    ['union-1', 2],
    ['keyBy-1', 2],
    ['count', 2],
    ['sink-1', 2],
  ])
  typesOnly((flow) => {
    // @ts-expect-error: an order has no card
    flow.from(cards).union(flow.from(orders))
    // @ts-expect-error: nor is it a number
    flow.from(numbers).union(flow.from(orders))
    // @ts-expect-error: of one stream alone there is no union
    flow.from(orders).union()
    // @ts-expect-error: a keyed stream is no stream: join it, or union first
    flow.from(orders).union(flow.from(orders).keyBy((o) => o.user))
  })
})

test('streams of two jobs cannot be joined', () => {
  let other: Stream<Order> | undefined
  job('a', (flow) => void (other = flow.from(orders)))
  expect(() => job('b', (flow) => flow.from(orders).union(other!).to(kafka.sink('out')))).toThrow(
    expect.objectContaining({ code: 'GRAPH_FOREIGN_STREAM', kind: 'invalid' }) as Error,
  )
})

const payments = kafka.topic('payments', {
  value: json<{ user: string; amount: number; no: number }>(),
  uid: 'payments',
})

test('two keyed streams are sent straight to what connects them, also where one is used besides', () => {
  const { graph } = job('j', (flow) => {
    const byUser = flow.from(orders).keyBy((o) => o.user)
    const paid = flow.from(payments).keyBy((p) => p.user)
    byUser
      .intervalJoin(paid, { lower: '-5s', upper: '1m' })
      .inner('matched', (o, p) => `${o.orderId} ${p.amount}`)
      .to(kafka.sink('matched'))
    byUser.reduce('count', 0, (n) => n + 1).to(kafka.sink('counts'))
    byUser
      .join(byUser)
      .window(tumbling('10s'))
      .left('same', (a, b) => `${a.orderId} ${b?.orderId}`)
      .to(kafka.sink('same'))
  })
  const { stages, summary } = planJob({ ...job('j', () => {}), graph })
  const uid = (i: number): string => summary.nodes[i]!.uid
  expect(
    stages.map(({ head, inputs }) => [uid(head), ...inputs.map(({ stage, operand }) => [stage, operand])]),
  ).toEqual([['orders'], ['keyBy-1', [0, 0]], ['payments'], ['matched', [0, 0], [2, 1]], ['same', [0, 0], [0, 1]]])
  expect(summary.nodes.find(({ uid }) => uid === 'matched')!.config).toEqual({
    of: { type: 'interval-join', lowerMs: -5_000, upperMs: 60_000 },
  })
})

test('types flow from both sides into user code and on', () => {
  typesOnly((flow) => {
    const byUser = flow.from(orders).keyBy((o) => o.user)
    expectTypeOf(byUser).toEqualTypeOf<KeyedStream<Order, string>>()
    const paid = flow.from(payments).keyBy((p) => p.user)
    const out = byUser.connect(paid).process('paid', {
      state: { open: valueState<Order>(), sum: valueState({ initial: 0 }) },
      timers: { reminder: 'event' },
      onLeft({ state, timers, timestamp }, order) {
        expectTypeOf(order).toEqualTypeOf<Order>()
        state.open.set(order)
        timers.reminder.set(timestamp + 1)
      },
      onRight({ state }, { amount }, out: Out<number>) {
        expectTypeOf(state.open.get()).toEqualTypeOf<Order | undefined>()
        out.emit(state.sum.get() + amount)
      },
      onTimer: (_, { name }) => expectTypeOf(name).toEqualTypeOf<'reminder'>(),
    })
    expectTypeOf(out).toExtend<Stream<number>>()
    const windowed = byUser.join(paid).window(tumbling('10s'))
    windowed.full('w', (o, p, window) => {
      expectTypeOf(o).toEqualTypeOf<Order | undefined>()
      expectTypeOf(p?.amount).toEqualTypeOf<number | undefined>()
      return window.end - window.start
    })
    // @ts-expect-error: in a left join the right one may be missing
    windowed.left('l', (_, p) => p.amount)
    const near = byUser.intervalJoin(paid, { lower: 0, upper: '1s' })
    // @ts-expect-error: a promise is no value
    near.inner('i', async (o) => o)
    // @ts-expect-error: an order has no amount
    near.inner('i', (o) => o.amount)
    // @ts-expect-error: a user is never equal to a number
    byUser.join(flow.from(payments).keyBy((p) => p.no))
    // @ts-expect-error: the other one has no key
    byUser.connect(flow.from(payments))
    // @ts-expect-error: nor has this one
    void flow.from(orders).join
    const applied = flow.from(orders).apply(keyBy((o: Order) => o.user))
    applied.intervalJoin(paid, { lower: 0, upper: '1s' }).inner('i', (o, p) => ({ ...o, ...p }))
  })
})

test.each([
  [
    'GRAPH_KEYED_BY_SOURCE',
    (flow: Flow) =>
      flow
        .from(orders)
        .keyedBySource((o) => o.user)
        .connect(flow.from(orders, 'o2').keyBy((o) => o.user))
        .process('p', { onLeft() {}, onRight() {} })
        .to(kafka.sink('out')),
  ],
  [
    'GRAPH_NODE_INVALID',
    (flow: Flow) =>
      flow
        .from(orders)
        .keyBy((o) => o.user)
        .intervalJoin(
          flow.from(orders, 'o2').keyBy((o) => o.user),
          { lower: '1s', upper: '-1s' },
        )
        .inner('p', (o) => o)
        .to(kafka.sink('out')),
  ],
  [
    'DURATION_INVALID',
    (flow: Flow) =>
      flow
        .from(orders)
        .keyBy((o) => o.user)
        .intervalJoin(
          flow.from(orders, 'o2').keyBy((o) => o.user),
          { lower: '--1s' as never, upper: '1s' },
        )
        .inner('p', (o) => o)
        .to(kafka.sink('out')),
  ],
] as const)('a join that cannot be is refused before anything runs: %s', (code, build) => {
  expect(() => planJob(job('j', build))).toThrow(expect.objectContaining({ code, kind: 'invalid' }) as Error)
})

test('what is broadcast is read by records and written by the broadcast alone', () => {
  const { graph } = job('j', (flow) => {
    const rules = flow.from(numbers).broadcast('rules')
    flow
      .from(orders)
      .connect(rules)
      .process('plain', {
        broadcast: { limits: broadcastState<string, number>() },
        onBroadcast: ({ broadcast }, n) => broadcast.limits.set('max', n),
        onRecord: ({ broadcast }, order, out: Out<string>) => {
          expectTypeOf(broadcast.limits.get('max')).toEqualTypeOf<number | undefined>()
          // @ts-expect-error: only the broadcast writes
          void (() => broadcast.limits.set('max', 1))
          out.emit(order.orderId)
        },
      })
      .to(kafka.sink('plain'))
    flow
      .from(payments)
      .keyBy((p) => p.user)
      .connect(rules)
      .process('keyed', {
        broadcast: { limits: broadcastState<string, number>() },
        state: { sum: valueState({ initial: 0 }) },
        timers: { end: 'event' },
        onBroadcast: ({ broadcast }, n) => {
          expectTypeOf(n).toEqualTypeOf<number>()
          broadcast.limits.set('max', n)
        },
        onRecord: ({ broadcast, state, timers }, { amount }, out: Out<boolean>) => {
          state.sum.set(state.sum.get() + amount)
          timers.end.set(1)
          out.emit(state.sum.get() > (broadcast.limits.get('max') ?? 0))
        },
        onTimer: (_, { name }) => expectTypeOf(name).toEqualTypeOf<'end'>(),
      })
      .to(kafka.sink('keyed'))
  })
  const { stages, summary } = planJob({ ...job('j', () => {}), graph })
  expect(stages.map(({ head, inputs }) => [summary.nodes[head]!.uid, ...inputs.map(({ route }) => route)])).toEqual([
    ['numbers'],
    ['orders'],
    ['plain', 'forward', 'broadcast'],
    ['payments'],
    ['keyed', 'keyed', 'broadcast'],
  ])
  typesOnly((flow) => {
    const rules = flow.from(numbers).broadcast()
    // @ts-expect-error: a broadcast is not a stream
    void rules.map
    const beside = flow.from(orders).connect(rules)
    const broadcast = { limits: broadcastState<string, number>() }
    const onBroadcast = (): void => {}
    // @ts-expect-error: state needs a key
    beside.process('p', { broadcast, onBroadcast, onRecord() {}, state: { sum: valueState({ initial: 0 }) } })
    // @ts-expect-error: a broadcast is of numbers here
    beside.process('p', { broadcast, onBroadcast: (_, rule: string) => void rule, onRecord() {} })
  })
})
