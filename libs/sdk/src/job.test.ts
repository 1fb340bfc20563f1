import { planJob, type WindowResult } from '@weir/dataflow'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { durationMs, job, json, kafka, tumbling, type KeyedStream } from './index.ts'

const Order = z.object({
  id: z.string(),
  user: z.string(),
  amountMinor: z.int(),
  status: z.enum(['PAID', 'FAILED']),
  ts: z.number(),
})
type Order = z.infer<typeof Order>

const settlement = job('settlement', { parallelism: 4, checkpoint: { intervalMs: 1_000 } }, (flow) => {
  const paid = flow
    .from(kafka.topic('orders', { value: json(Order), timestamp: (o) => o.ts, outOfOrder: '5s' }))
    .filter((o) => o.status === 'PAID')
  const byUser = paid.keyBy((o) => o.user)
  expectTypeOf(byUser).toEqualTypeOf<KeyedStream<Order, string>>()
  byUser
    .reduce('balance', { sum: 0, count: 0 }, (acc, o) => ({ sum: acc.sum + o.amountMinor, count: acc.count + 1 }))
    .to(kafka.sink('balances'))
  const counts = byUser.window(tumbling('10s')).count()
  counts.map((w) => expectTypeOf(w).toEqualTypeOf<WindowResult<number>>(), 'typed').to(kafka.sink('typed'))
  counts.to(kafka.sink('counts'))
  // @ts-expect-error: a record has no such field
  void ((): unknown => paid.map((o) => o.nothing))
  // @ts-expect-error: state needs a key
  void ((): unknown => paid.reduce)
})

test('the main job plans: one exchange, both branches behind it', () => {
  const { stages, summary } = planJob(settlement)
  expect(stages.map((s) => s.nodes.map((i) => summary.nodes[i]!.uid))).toEqual([
    ['source-1', 'filter-1'],
    ['balance', 'sink-1', 'window-1', 'typed', 'sink-2', 'sink-3'],
  ])
  expect(summary.settings).toMatchObject({ parallelism: 4, checkpoint: { intervalMs: 1_000, alignTimeoutMs: 120_000 } })
})

test('the continuous scope and a key without a shuffle are two words', () => {
  const fees = job('fees', { commit: { scope: 'continuous' } }, (flow) =>
    flow
      .from(kafka.topic('orders', { value: json(Order) }))
      .keyedBySource((o) => o.user)
      .reduce('count', 0, (n) => n + 1)
      .to(kafka.sink('counts')),
  )
  const { stages, summary } = planJob(fees)
  expect(stages).toHaveLength(1)
  expect(summary.settings.commit).toEqual({ scope: 'continuous', intervalMs: 100 })
  // Its checkpoints commit nothing: by time is enough, unless asked for.
  expect(summary.settings.checkpoint.everyRecords).toBeNull()
  expect(planJob(settlement).summary.settings.commit).toEqual({ scope: 'epoch' })
})

const decode = (text: string): unknown => {
  const bytes = Buffer.from(`..${text}..`)
  return json(Order).decode(bytes, 2, bytes.length - 2)
}
test('a record is decoded in place and checked by the schema', () => {
  const order: Order = { id: '1', user: 'ada', amountMinor: 500, status: 'PAID', ts: 1 }
  expect(decode(JSON.stringify(order))).toEqual(order)
  expect(() => decode('{')).toThrow(/not JSON/)
  expect(() => decode(JSON.stringify({ ...order, amountMinor: 0.5 }))).toThrow(
    expect.objectContaining({
      code: 'DECODE_FAILED',
      message: expect.stringContaining('amountMinor') as string,
    }) as Error,
  )
})

test('durations are words or ms; anything else is refused', () => {
  expect([durationMs('10s'), durationMs('1.5m'), durationMs(250)]).toEqual([10_000, 90_000, 250])
  expect(() => durationMs('soon' as '1s')).toThrow(expect.objectContaining({ code: 'DURATION_INVALID' }) as Error)
})

test('an async builder is refused', () => {
  expect(() => job('j', (() => Promise.resolve()) as () => void)).toThrow(
    expect.objectContaining({ code: 'BUILD_ASYNC' }) as Error,
  )
})

test('unaligned checkpoints are asked for by name, or by the time an alignment may take', () => {
  const of = (checkpoint: { unaligned?: boolean; alignedTimeoutMs?: number }) =>
    job('j', { checkpoint }, () => undefined).settings.checkpoint
  expect(of({})).toMatchObject({ unaligned: false, alignedTimeoutMs: null })
  expect(of({ unaligned: true })).toMatchObject({ unaligned: true, alignedTimeoutMs: null })
  expect(of({ alignedTimeoutMs: 500 })).toMatchObject({ unaligned: false, alignedTimeoutMs: 500 })
})

test('dead letters are a topic of a connector; codecs of that sink have no say', () => {
  const dead = kafka.sink('orders.dead', { onLost: 'fail' })
  const { settings } = job('settlement', { deadLetters: dead }, (flow) =>
    flow.from(kafka.topic('orders', { value: json(Order) })).to(kafka.sink('out')),
  )
  expect(settings.deadLetters).toEqual({ connector: 'kafka', topic: 'orders.dead' })
  expect(planJob(settlement).summary.settings.deadLetters).toBeNull()
})
