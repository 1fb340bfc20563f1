/** What a record came with goes along to its outputs: through operators, exchanges and folds. */
import type { RecordHeader, TopicRecord } from '@weir/model'
import { expect, test } from 'vitest'
import { cloudEvents, job, json, kafka, tumbling, withHeaders, type CloudEvent } from '../index.ts'
import { testJob } from '../testing/index.ts'

interface Order {
  readonly id: number
  readonly user: string
  readonly ts: number
}
const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0'
const traced = ({ id }: Order): RecordHeader[] =>
  id % 3 === 0 ? [] : [['traceparent', Buffer.from(`${PARENT}${id}`)], ...(id === 1 ? [STATE] : [])]
const STATE: RecordHeader = ['tracestate', Buffer.from('vendor=1')]
const orders = kafka.topic('orders', { value: json<Order>(), timestamp: (o) => o.ts })
const input: Order[] = [1, 2, 3, 4, 5].map((id) => ({ id, user: `u${id % 2}`, ts: id }))

const headersOf = (records: readonly TopicRecord[]): Record<string, string>[] =>
  records.map(({ value, headers }) => ({
    value: String(value),
    ...Object.fromEntries(headers.map(([name, of]) => [name, String(of)])),
  }))

test('the trace context of a record reaches each of its outputs, that of a fold the record behind it, a window none', async () => {
  const traces = job('traces', { parallelism: 2, traceContext: true }, (flow) => {
    const byUser = flow
      .from(orders)
      .filter((o) => o.id !== 2)
      .flatMap((o) => (o.id === 4 ? [o, { ...o, id: 40 }] : [o]))
      .keyBy((o) => o.user)
    byUser.reduce('last', 0, (_, o) => o.id).to(kafka.sink('last'))
    byUser.window(tumbling('1s')).count().to(kafka.sink('counts'))
  })
  await using t = testJob(traces, { partitions: 2 })
  await t.feed('orders', input, { headers: traced })
  await t.end()
  const byValue = Object.fromEntries(headersOf(t.records('last')).map(({ value, ...of }) => [value!, of]))
  expect(byValue).toEqual({
    1: { traceparent: `${PARENT}1`, tracestate: 'vendor=1' },
    3: {},
    4: { traceparent: `${PARENT}4` },
    5: { traceparent: `${PARENT}5` },
    40: { traceparent: `${PARENT}4` },
  })
  expect(headersOf(t.records('counts')).map((of) => Object.keys(of))).toEqual([['value'], ['value']])
})

test('a job that does not ask carries no context, and one that passes headers on writes no second one', async () => {
  for (const traceContext of [false, true]) {
    const passing = job('passing', { traceContext }, (flow) => {
      const value = withHeaders(json<Order>())
      flow.from(kafka.topic('orders', { value })).to(kafka.sink('passed', { value }))
      flow
        .from(kafka.topic('orders', { value }), 'again')
        .map(({ value: order }) => order)
        .to(kafka.sink('plain'))
    })
    await using t = testJob(passing)
    await t.feed('orders', [{ value: input[0]!, headers: traced(input[0]!) }])
    expect(t.records('passed').map(({ headers }) => headers)).toEqual([traced(input[0]!)])
    expect(t.records('plain')[0]!.headers).toHaveLength(traceContext ? 2 : 0)
  }
})

test('an event has the same id whenever its input is read again, and no other one has it', async () => {
  const value = cloudEvents<Order>(json(), { source: '/shop', type: 'paid' })
  const events = job('events', { parallelism: 2 }, (flow) => {
    flow
      .from(orders)
      .flatMap((o) => [{ data: o }, { data: { ...o, id: -o.id } }])
      .keyBy(({ data }) => data.user)
      .reduce('last', { data: input[0]! }, (_, event) => event)
      .to(kafka.sink('paid', { value }))
  })
  await using t = testJob(events, { partitions: 2 })
  await t.feed('orders', input)
  const idsOf = (records: readonly TopicRecord[]): string[] =>
    headersOf(records)
      .map((of) => of['ce_id']!)
      .toSorted()
  const first = idsOf(t.records('paid'))
  expect(new Set(first).size).toBe(2 * input.length)
  expect(first[0]).toBe('sink-1:orders-0-0.0')
  await t.restart()
  await t.feed('orders', [])
  expect(idsOf(t.records('paid'))).toEqual(first)
  const event = (t.output('paid')[0] as { value: CloudEvent<Order> }).value
  expect(event).toMatchObject({ specversion: '1.0', source: '/shop', type: 'paid', data: { user: event.data!.user } })
})
