import { planJob, run, type WindowResult } from '@weir/dataflow'
import { expect, expectTypeOf, test } from 'vitest'
import {
  countWindow,
  deduplicate,
  everyCount,
  everyEventTime,
  everyProcessingTime,
  globalWindow,
  job,
  json,
  kafka,
  keyBy,
  map,
  purging,
  session,
  sessionize,
  sliding,
  tumbling,
  windowAggregate,
  windowCount,
  type Aggregate,
  type WindowOut,
  type KeyedStream,
  type MergingAggregate,
  type Session,
  type Stream,
} from './index.ts'

interface Order {
  readonly user: string
  readonly amountMinor: number
  readonly ts: number
}
const orders = kafka.topic('orders', { value: json<Order>(), uid: 'orders' })
const planned = (build: (byUser: KeyedStream<Order>) => void) =>
  planJob(job('j', (flow) => build(flow.from(orders).keyBy((o) => o.user))))
const refusal = (build: (byUser: KeyedStream<Order>) => Stream<unknown>): { code: string; message: string } => {
  try {
    planned((byUser) => build(byUser).to(kafka.sink('out')))
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('it was planned')
}

const mean: Aggregate<Order, { n: number; sum: number }, number> = {
  initial: { n: 0, sum: 0 },
  add: ({ n, sum }, { amountMinor }) => ({ n: n + 1, sum: sum + amountMinor }),
  result: ({ n, sum }) => sum / n,
}
const merging: MergingAggregate<Order, { n: number; sum: number }, number> = {
  ...mean,
  merge: (a, b) => ({ n: a.n + b.n, sum: a.sum + b.sum }),
}

test('what a window is, and when it fires, is in the plan', () => {
  const { summary } = planned((byUser) => {
    byUser
      .window(tumbling('10s', { offset: '3s' }))
      .allowedLateness('5s')
      .count('t')
      .to(kafka.sink('t-out'))
    byUser
      .window(sliding('10s', '2s'))
      .trigger(everyEventTime('1s'))
      .sum('s', (o) => o.amountMinor)
      .to(kafka.sink('s-out'))
    byUser.window(session('30s')).aggregate('e', merging).to(kafka.sink('e-out'))
    byUser
      .window(countWindow(100))
      .max('c', (o) => o.amountMinor)
      .to(kafka.sink('c-out'))
    byUser
      .window(globalWindow(everyProcessingTime('1s')))
      .reduce('g', 0, (n) => n + 1)
      .to(kafka.sink('g-out'))
  })
  const of = (uid: string) => summary.nodes.find((node) => node.uid === uid)!
  const trigger = (by: string, every: object, purges = false) => ({ every: { by, ...every }, purges })
  expect(['t', 's', 'e', 'c', 'g'].map((uid) => of(uid).config)).toEqual([
    {
      ...{ window: { type: 'tumbling', sizeMs: 10_000, offsetMs: 3_000 }, aggregate: 'count', initial: 0 },
      allowedLatenessMs: 5_000,
    },
    {
      ...{ window: { type: 'sliding', sizeMs: 10_000, slideMs: 2_000 }, aggregate: 'sum', initial: 0 },
      trigger: trigger('event-time', { everyMs: 1_000 }),
    },
    { window: { type: 'session', gapMs: 30_000 }, aggregate: 'aggregate', initial: { n: 0, sum: 0 } },
    {
      ...{ window: { type: 'global' }, aggregate: 'max', initial: null },
      trigger: trigger('count', { count: 100 }, true),
    },
    {
      ...{ window: { type: 'global' }, aggregate: 'reduce', initial: 0 },
      trigger: trigger('processing-time', { everyMs: 1_000 }),
    },
  ])
  expect(['t', 's', 'e', 'c', 'g'].map((uid) => of(uid).states!.map(({ name }) => name))).toEqual([
    ['window', 'window.fired'],
    ['window', 'window.fired'],
    ['window[]', 'window.sessions'],
    ['window', 'window.seen'],
    ['window', 'window.seen', '@processing[]'],
  ])
})

test('a tumbling window without any of it has the plan it always had', () => {
  const { summary } = planned((byUser) => byUser.window(tumbling('10s')).count('t').to(kafka.sink('out')))
  const { config, states } = summary.nodes.find(({ uid }) => uid === 't')!
  expect(config).toEqual({ window: { type: 'tumbling', sizeMs: 10_000 }, aggregate: 'count', initial: 0 })
  expect(states).toEqual([{ name: 'window', schema: null }])
})

test('types: results, side outputs, and what has to be merged', () => {
  planned((byUser) => {
    const means = byUser.window(tumbling('10s')).aggregate('mean', mean)
    expectTypeOf(means.map).parameter(0).parameter(0).toEqualTypeOf<WindowResult<number>>()
    const meansAside = means.sideOutput('late')
    expectTypeOf(meansAside).toEqualTypeOf<Stream<Order>>()
    meansAside.to(kafka.sink('means-aside'))
    means.to(kafka.sink('means'))
    const sums = byUser
      .window(session('1m'))
      .allowedLateness('1s')
      .sum('sums', (o) => o.amountMinor)
    const sumsAside = sums.sideOutput('late')
    expectTypeOf(sumsAside).toEqualTypeOf<Stream<Order>>()
    sumsAside.to(kafka.sink('sums-aside'))
    sums.to(kafka.sink('sums'))
    const running = byUser.aggregate('running', mean)
    expectTypeOf(running).toEqualTypeOf<Stream<number>>()
    running.to(kafka.sink('running'))
    const plain = byUser.aggregate('plain', { initial: 0, add: (n: number, o) => n + o.amountMinor })
    expectTypeOf(plain).toEqualTypeOf<Stream<number>>()
    plain.to(kafka.sink('plain'))
    const first = byUser.deduplicate('first', { ttl: '1h' })
    const firstAside = first.sideOutput('duplicates')
    expectTypeOf(firstAside).toEqualTypeOf<Stream<Order>>()
    firstAside.to(kafka.sink('first-aside'))
    first.to(kafka.sink('first'))
    const visits = byUser.sessionize('visits', '30m')
    expectTypeOf(visits.map).parameter(0).parameter(0).toEqualTypeOf<Session<Order>>()
    const visitsAside = visits.sideOutput('late')
    expectTypeOf(visitsAside).toEqualTypeOf<Stream<Order>>()
    visitsAside.to(kafka.sink('visits-aside'))
    visits.to(kafka.sink('visits'))
    // @ts-expect-error sliding windows are put together from panes: a merge is needed
    void ((): unknown => byUser.window(sliding('10s', '2s')).aggregate('x', mean))
    // @ts-expect-error sessions are merged
    void ((): unknown => byUser.window(session('10s')).reduce('x', 0, (n: number) => n + 1))
    // @ts-expect-error a global window needs a trigger
    void ((): unknown => byUser.window(globalWindow()))
    // @ts-expect-error it has no end that something could be late for
    void ((): unknown => byUser.window(countWindow(3)).allowedLateness('1s'))
    // @ts-expect-error and no late records
    void ((): unknown => byUser.window(countWindow(3)).count('x').sideOutput('late'))
    // @ts-expect-error there is no such side output
    void ((): unknown => means.sideOutput('early'))
    const ofStrings = { initial: 0, add: (n: number, s: string) => n + s.length }
    // @ts-expect-error the aggregate is of other values
    void ((): unknown => byUser.window(tumbling('1s')).aggregate('x', ofStrings))
    // @ts-expect-error a trigger is not a window
    void ((): unknown => byUser.window(everyCount(3)))
  })
})

test.each<[says: string, build: (byUser: KeyedStream<Order>) => Stream<unknown>]>([
  ['size is 0.5 ms', (s) => s.window(tumbling(0.5)).count()],
  ['offset is 10000 ms', (s) => s.window(tumbling('10s', { offset: '10s' })).count()],
  ['slide is 1.5 ms', (s) => s.window(sliding('10s', 1.5)).count()],
  ['between two windows', (s) => s.window(sliding('2s', '10s')).count()],
  ['panes per window', (s) => s.window(sliding('1h', 7)).count()],
  [
    'offset is 2000 ms; it must be a whole number, 0 or more and less than its slide',
    (s) => s.window(sliding('10s', '2s', { offset: '2s' })).count(),
  ],
  ['gap is 0.5 ms', (s) => s.window(session(0.5)).count()],
  [
    'has no merge',
    (s) => s.window(session('1s')).aggregate('x', mean as MergingAggregate<Order, { n: number; sum: number }, number>),
  ],
  ['every 0 records', (s) => s.window(countWindow(0)).count()],
  [
    'cannot purge',
    (s) =>
      s
        .window(session('1s'))
        .trigger(purging(everyEventTime('1s')))
        .count(),
  ],
])('refused, WINDOW_INVALID: %s', (says, build) => {
  expect(refusal(build)).toMatchObject({ code: 'WINDOW_INVALID', message: expect.stringContaining(says) as string })
})

test('a join knows no windows with an offset', () => {
  planned((byUser) => {
    const windows = byUser.join(byUser)
    expect(() => windows.window(tumbling('10s', { offset: '1s' }))).toThrow(
      expect.objectContaining({ code: 'WINDOW_INVALID' }) as Error,
    )
    byUser.window(tumbling('10s')).count().to(kafka.sink('out'))
  })
})

test('in the scope continuous nothing may go by the clock', () => {
  const build = (trigger: ReturnType<typeof everyEventTime>) =>
    job('j', { commit: { scope: 'continuous' } }, (flow) =>
      flow
        .from(orders)
        .keyedBySource((o) => o.user)
        .window(tumbling('10s'))
        .trigger(trigger)
        .count()
        .to(kafka.sink('out')),
    )
  expect(() => planJob(build(everyProcessingTime('1s')))).toThrow(
    expect.objectContaining({ code: 'CONTINUOUS_SCOPE_REFUSED' }) as Error,
  )
  expect(planJob(build(everyEventTime('1s'))).stages).toHaveLength(1)
})

// ---- transforms, alone ------------------------------------------------------------------------------------------------

const order = (user: string, amountMinor: number, ts: number): Order => ({ user, amountMinor, ts })
const byUser = keyBy((o: Order) => o.user)
const timestamp = ({ ts }: Order): number => ts

test('windows as transforms', () => {
  const inputs = [order('ada', 4, 1_000), order('ada', 8, 6_000), order('bob', 1, 7_000), order('ada', 6, 12_000)]
  const means = byUser.andThen(windowAggregate('means', sliding('10s', '5s'), merging))
  expect(run(means, inputs, { timestamp }).map(({ end, value }) => [end / 1_000, value])).toEqual([
    [5, 4],
    [10, 6],
    [10, 1],
    [15, 7],
    [15, 1],
    [20, 6],
  ])
  // @ts-expect-error sliding windows need a merge
  void ((): unknown => windowAggregate('x', sliding('10s', '5s'), mean))
})

test('side outputs of an applied transform are those of its last step', () => {
  const { summary } = planned((byUser) => {
    const counts = byUser.apply(windowAggregate('means', tumbling('10s'), mean))
    expectTypeOf(counts.sideOutput('late')).toEqualTypeOf<Stream<Order>>()
    counts.sideOutput('late').to(kafka.sink('late'))
    const firsts = byUser.apply(deduplicate('first', 1_000))
    firsts.sideOutput('duplicates').to(kafka.sink('duplicates'))
    const doubled = byUser.apply(windowCount<string, Order>(tumbling('1s')).andThen(map(({ value }) => value * 2)))
    expectTypeOf(doubled).toEqualTypeOf<Stream<number>>()
    doubled.to(kafka.sink('doubled'))
    // @ts-expect-error nothing is late for all of time
    void ((): unknown => byUser.apply(windowAggregate('x', countWindow(3), mean)).sideOutput('late'))
    // @ts-expect-error there is no such side output
    void ((): unknown => firsts.sideOutput('late'))
  })
  expect(summary.nodes.filter(({ kind }) => kind === 'sideOutput').map(({ uid }) => uid)).toEqual([
    'means.late',
    'first.duplicates',
  ])
})

test('deduplicate: the first of a key within the ttl, the others aside', () => {
  const aside: unknown[] = []
  const side = (name: string, value: unknown): void => void aside.push([name, (value as Order).ts])
  const inputs = [0, 500, 999, 1_000, 1_500, 2_500].map((ts) => order('ada', 1, ts))
  const outputs = run(byUser.andThen(deduplicate('first', 1_000)), inputs, { timestamp, side })
  expect(outputs.map(({ ts }) => ts)).toEqual([0, 1_000, 2_500])
  expect(aside).toEqual([500, 999, 1_500].map((ts) => ['duplicates', ts]))
})

test('sessionize: the records of a session together, in the order of event time', () => {
  const late: unknown[] = []
  const side = (_name: string, value: unknown): void => void late.push((value as Order).ts)
  const inputs = [5, 0, 9, 40, 30, 2, 100].map((ts) => order('ada', 1, ts))
  const visits = run(byUser.andThen(sessionize('visits', 10)), inputs, { timestamp, outOfOrderMs: 15, side })
  expect(visits.map(({ start, end, records }) => [start, end, records.map(({ ts }) => ts)])).toEqual([
    [0, 19, [0, 5, 9]],
    [30, 40, [30]],
    [40, 50, [40]],
    [100, 110, [100]],
  ])
  expect(late).toEqual([2])
})

test('a function over all records of a window: in the plan with its state, typed from record to output', () => {
  const { summary } = planned((byUser) => {
    const medians = byUser.window(sliding('10s', '5s')).process('median', (orders, context, out: WindowOut<number>) => {
      expectTypeOf(orders).toEqualTypeOf<readonly Order[]>()
      expectTypeOf(context.window.end).toEqualTypeOf<number>()
      out.emit(orders.length)
    })
    const typed: Stream<number> = medians
    typed.to(kafka.sink('medians'))
    const late = medians.sideOutput('late')
    expectTypeOf(late).toEqualTypeOf<Stream<Order>>()
    late.to(kafka.sink('late'))
  })
  const { config, states } = summary.nodes.find(({ uid }) => uid === 'median')!
  expect(config).toEqual({
    ...{ window: { type: 'sliding', sizeMs: 10_000, slideMs: 5_000 }, aggregate: 'process', initial: 0 },
  })
  expect(states!.map(({ name }) => name)).toEqual(['window', 'window.elements[]', 'window.fired'])
  // @ts-expect-error sessions are handed over by sessionize
  const sessions = (byUser: KeyedStream<Order>) => byUser.window(session('1s')).process('s', () => {})
  expect(refusal(sessions as never)).toMatchObject({ code: 'WINDOW_INVALID' })
})
