import { planJob, type Plan } from '@weir/dataflow'
import { expect, expectTypeOf, test } from 'vitest'
import {
  filter,
  job,
  kafka,
  json,
  keyBy,
  log,
  map,
  tumbling,
  windowCount,
  type KeyedStream,
  type Stream,
} from './index.ts'

interface Order {
  readonly user: string
  readonly amountMinor: number
}
const orders = kafka.topic('orders', { value: json<Order>(), uid: 'orders' })
const large = filter((o: Order) => o.amountMinor > 100)
const uids = (plan: Plan): string[] => plan.summary.nodes.map((node) => node.uid)

test('an applied transform is the same graph as the chain written out', () => {
  const written = job('j', (flow) => {
    flow
      .from(orders)
      .filter((o) => o.amountMinor > 100)
      .map((o) => o.user)
      .to(log.sink('out'))
  })
  const applied = job('j', (flow) => {
    flow
      .from(orders)
      .apply(large.andThen(map((o) => o.user)))
      .to(log.sink('out'))
  })
  expect(planJob(applied).canonical).toBe(planJob(written).canonical)
  expect(uids(planJob(applied))).toEqual(['orders', 'filter-1', 'map-1', 'sink-1'])
})

test('a transform that ends in a keyBy gives a keyed stream, one that begins with a window needs it', () => {
  const byUser = keyBy((o: Order) => o.user)
  const counts = windowCount<string, Order>(tumbling('10s'))
  const definition = job('j', (flow) => {
    const stream = flow.from(orders)
    const keyed = stream.apply(large.andThen(byUser))
    expectTypeOf(keyed).toEqualTypeOf<KeyedStream<Order, string>>()
    expectTypeOf(stream.apply).returns.not.toBeAny()
    keyed.apply(counts).to(kafka.sink('counts'))
    // @ts-expect-error a window needs a keyed stream
    void ((): unknown => stream.apply(counts))
    // @ts-expect-error a transform of strings does not fit a stream of orders
    void ((): unknown => stream.apply(map((s: string) => s.length)))
    // @ts-expect-error operators are synchronous
    void ((): unknown => stream.map((o) => Promise.resolve(o)))
  })
  expect(planJob(definition).stages).toHaveLength(2)
  expect(uids(planJob(definition))).toEqual(['orders', 'filter-1', 'keyBy-1', 'window-1', 'sink-1'])
})

test('a type guard narrows the stream', () => {
  job('j', (flow) => {
    const some = flow.from(kafka.topic('t', { value: json<string | null>() })).filter((v): v is string => v !== null)
    expectTypeOf(some).toEqualTypeOf<Stream<string>>()
  })
})
