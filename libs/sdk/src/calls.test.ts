import { planJob, type JobDefinition } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { job, json, kafka, run, asyncMap, type CallOptions, type Settings } from './index.ts'

interface Order {
  readonly id: string
  readonly currency: string
}
const orders = kafka.topic('orders', { value: json<Order>() })
const jobWith = (options: CallOptions, settings: Settings = {}): JobDefinition =>
  job('rates', settings, (flow) => {
    flow
      .from(orders)
      .asyncMap('rate', async (order, { origin }) => ({ ...order, rate: 1, key: origin?.id }), options)
      .map(({ rate }) => rate.toFixed(2))
      .to(kafka.sink<string>('out'))
  })

test('bounds have defaults, and all of them stand in the plan', () => {
  const { summary, carries } = planJob(jobWith({ mode: 'unordered', timeout: '2s', backoff: '10s' }))
  expect(summary.nodes[1]).toMatchObject({
    kind: 'asyncMap',
    config: {
      ...{ mode: 'unordered', capacity: 100, timeoutMs: 2_000, retries: 3, backoffMs: 10_000, backoffMsMax: 10_000 },
      onFailure: 'dead-letter',
    },
  })
  expect(carries).toBe('origins')
})

const continuous: Settings = { commit: { scope: 'continuous' } }
test.each<[string, () => JobDefinition, string]>([
  ['no room for a call', () => jobWith({ capacity: 0 }), 'GRAPH_NODE_INVALID'],
  ['half a try', () => jobWith({ retries: 0.5 }), 'GRAPH_NODE_INVALID'],
  ['another mode', () => jobWith({ mode: 'random' as 'ordered' }), 'GRAPH_NODE_INVALID'],
  ['calls that outlast every checkpoint', () => jobWith({ timeout: '1m', retries: 3 }), 'CALLS_TOO_LONG'],
  ['the continuous scope', () => jobWith({}, continuous), 'CONTINUOUS_SCOPE_REFUSED'],
  [
    'a keyedBySource before it',
    () =>
      job('per-partition', (flow) => {
        flow
          .from(orders)
          .keyedBySource((order) => order.currency)
          .reduce('count', 0, (n) => n + 1)
          .asyncMap('later', async (n) => n)
          .to(kafka.sink('out'))
      }),
    'GRAPH_KEYED_BY_SOURCE',
  ],
  [
    'barriers that overtake nowhere else',
    () =>
      job('unaligned', { checkpoint: { unaligned: true } }, (flow) => {
        flow
          .from(orders)
          .keyBy((order) => order.id)
          .reduce('count', 0, (n) => n + 1)
          .asyncMap('later', async (n) => n)
          .to(kafka.sink('out'))
      }),
    'UNALIGNED_REFUSED',
  ],
])('%s is refused', (_, made, code) => {
  expect(() => planJob(made())).toThrow(expect.objectContaining({ code }) as Error)
})

test('run() says that it cannot wait for calls', () => {
  const { capacity, ...bounds } = { capacity: 1, timeoutMs: 1, retries: 0, backoffMs: 0, backoffMsMax: 0 }
  const later = asyncMap('later', async (n: number) => n, {
    ...{ mode: 'ordered', capacity, ...bounds, retryIf: null, onFailure: 'restart' },
  })
  expect(() => run(later, [1])).toThrow(expect.objectContaining({ code: 'CALLS_NOT_HERE' }) as Error)
})

test('a stream behind it has what the promise resolves to', () => {
  job('types', (flow) => {
    const ones = flow.from(orders).asyncMap('n', async () => 1)
    // @ts-expect-error they are numbers
    ones.to(kafka.sink<string>('out'))
  })
})
