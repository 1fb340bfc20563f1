import { planJob } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { testJob } from './testing/index.ts'
import {
  fields,
  fieldsAndSecond,
  idempotent,
  job,
  json,
  kafka,
  map,
  redis,
  run,
  tumbling,
  type Flow,
  type IdempotentOptions,
  type KeyedStream,
  type Settings,
} from './index.ts'

interface Payment {
  readonly id: string
  readonly amount: number
  readonly ts: number
  readonly type?: string
}
const payments = kafka.topic('payments', { value: json<Payment>(), timestamp: (p) => p.ts, outOfOrder: '1h' })
const NOON = Date.UTC(2026, 0, 1, 12)
const payment = (id: string, amount = 100, ts = NOON): Payment => ({ id, amount, ts })
const outside = redis({ url: 'env:REDIS_URL' })

const once = (options: Partial<IdempotentOptions<Payment>>, deadLetters = false) =>
  job('once', deadLetters ? { deadLetters: kafka.sink('dead') } : {}, (flow) => {
    const stream = flow.from(payments, 'in').idempotent('once', {
      ...{ bizKey: (p) => p.id, fingerprint: (p) => ({ amount: p.amount }), window: '1h', onDuplicate: 'sideOutput' },
      ...options,
    })
    stream.to(kafka.sink('out', { value: json() }))
    stream.sideOutput('duplicates').to(kafka.sink('twice', { value: json() }))
    stream.sideOutput('conflicts').to(kafka.sink('conflicts', { value: json() }))
  })

const stores = ['state', outside] as const
const nameOf = (store: (typeof stores)[number]): string => (store === 'state' ? 'state' : 'a store outside')
const both = stores.map((store) => [nameOf(store), store] as const)

test.each(both)('%s: the first passes, the same again is a duplicate, another amount a conflict', async (_, store) => {
  await using t = testJob(once({ store }))
  await t.feed('payments', [payment('a'), payment('b'), payment('a'), payment('a', 7), payment('c')])
  const out = t.output('out').map(({ value }) => (value as Payment).id)
  expect(out.sort()).toEqual(['a', 'b', 'c'])
  expect(t.output('twice').map(({ value }) => value)).toEqual([payment('a')])
  const [conflict] = t.output('conflicts').map(({ value }) => value)
  expect(t.output('conflicts')).toHaveLength(1)
  expect(conflict).toMatchObject({ kind: 'CONFLICT', bizKey: 'a', eventType: '', value: payment('a', 7) })
  expect((conflict as { held: object }).held).toMatchObject({ eventTime: NOON })
})

test.each(both)('%s: a window apart they are two events', async (_, store) => {
  await using t = testJob(once({ store }))
  await t.feed('payments', [payment('a'), payment('a', 100, NOON + 3_599_999), payment('a', 100, NOON + 3_600_000)])
  expect(t.output('out')).toHaveLength(2)
  expect(t.output('twice')).toHaveLength(1)
})

test.each(both)('%s: behind a crash what was not final is claimed again, and passes', async (_, store) => {
  await using t = testJob(once({ store }))
  await t.feed('payments', [payment('a')])
  await t.checkpoint()
  await t.feed('payments', [payment('b'), payment('a')])
  await t.restart()
  await t.feed('payments', [payment('b'), payment('c')])
  await t.checkpoint()
  const ids = t.output('out').map(({ value }) => (value as Payment).id)
  expect(ids.sort()).toEqual(['a', 'b', 'c'])
})

test.each(both)('%s: event types are keys of their own', async (_, store) => {
  await using t = testJob(once({ store, eventType: (p) => p.type ?? '' }))
  await t.feed('payments', [
    { ...payment('a'), type: 'paid' },
    { ...payment('a'), type: 'refunded' },
    { ...payment('a'), type: 'paid' },
  ])
  expect(t.output('out')).toHaveLength(2)
})

test.each(both)(
  '%s, strategy of the seed: another field or second is another event, and nothing a conflict',
  async (_, store) => {
    await using t = testJob(once({ store, fingerprint: fieldsAndSecond((p) => ({ amount: p.amount })) }))
    await t.feed('payments', [
      payment('a'),
      payment('a', 100, NOON + 999),
      payment('a', 100, NOON + 1_000),
      payment('a', 7),
    ])
    expect(t.output('out')).toHaveLength(3)
    expect(t.output('twice')).toHaveLength(1)
    expect(t.output('conflicts')).toEqual([])
  },
)

test.each(both)('%s, no fingerprint: the key alone says what is the same', async (_, store) => {
  await using t = testJob(once({ store, fingerprint: undefined as never }))
  await t.feed('payments', [payment('a'), payment('a', 7)])
  expect(t.output('out')).toHaveLength(1)
  expect(t.output('twice')).toHaveLength(1)
})

test.each(both)(
  '%s: onConflict pass lets it through and tells of it, fail ends the job, also with dead letters',
  async (_, store) => {
    await using passing = testJob(once({ store, onConflict: 'pass' }))
    await passing.feed('payments', [payment('a'), payment('a', 7)])
    expect(passing.output('out')).toHaveLength(2)
    expect(passing.output('conflicts')).toHaveLength(1)
    const failing = testJob(once({ store, onConflict: 'fail' }, true))
    await expect(failing.feed('payments', [payment('a'), payment('a', 7)])).rejects.toMatchObject({
      code: 'CLAIM_CONFLICT',
    })
  },
)

test.each(both)('%s: a record without a key is refused, not let through', async (_, store) => {
  const t = testJob(once({ store }))
  await expect(t.feed('payments', [payment('')])).rejects.toMatchObject({ kind: 'invalid' })
})

test.each(both)('%s: dropped is the default', async (_, store) => {
  const dropping = job('drop', (flow) => {
    const stream = flow.from(payments, 'in').idempotent('once', { bizKey: (p) => p.id, store })
    stream.to(kafka.sink('out', { value: json() }))
  })
  await using t = testJob(dropping)
  await t.feed('payments', [payment('a'), payment('a'), payment('b')])
  expect(t.output('out')).toHaveLength(2)
})

test.each(both)('%s: as a transform it is the same graph, and goes on to others', (_, store) => {
  const of: IdempotentOptions<Payment> = { bizKey: (p) => p.id, fingerprint: (p) => ({ amount: p.amount }), store }
  const written = job('j', (flow) => {
    const passed = flow.from(payments, 'in').idempotent('once', of)
    passed.sideOutput('conflicts').to(kafka.sink('conflicts', { value: json() }), 'told')
    passed.map((p) => p.amount).to(kafka.sink('out', { value: json() }))
  })
  const applied = job('j', (flow) => {
    const passed = flow.from(payments, 'in').apply(idempotent('once', of))
    passed.sideOutput('conflicts').to(kafka.sink('conflicts', { value: json() }), 'told')
    passed.map((p) => p.amount).to(kafka.sink('out', { value: json() }))
  })
  expect(planJob(applied).canonical).toBe(planJob(written).canonical)
  const composed = job('j', (flow) => {
    flow
      .from(payments, 'in')
      .apply(idempotent('once', of).andThen(map((p: Payment) => p.amount)))
      .to(kafka.sink('out', { value: json() }))
  })
  expect(planJob(composed).summary.nodes.map(({ uid }) => uid)).toContain('map-1')
})

test('as a transform, with claims in state, it runs over literal inputs', () => {
  const told: unknown[] = []
  const once = idempotent<Payment>('once', { bizKey: (p) => p.id, fingerprint: (p) => ({ amount: p.amount }) })
  const options = { side: (name: string, value: unknown) => told.push([name, (value as { value: unknown }).value]) }
  expect(run(once.andThen(map((p: Payment) => p.id)), [payment('a'), payment('a'), payment('b')])).toEqual(['a', 'b'])
  expect(run(once, [payment('a'), payment('a', 7)], options)).toEqual([payment('a')])
  expect(told).toEqual([['conflicts', payment('a', 7)]])
})

test('keyed by the source, no record leaves its thread for its claim, and claims are kept per partition', async () => {
  const perPartition = job('once', (flow) => {
    const stream = flow
      .from(payments, 'in')
      .idempotent('once', { bizKey: (p) => p.id, keyedBySource: true, onDuplicate: 'sideOutput' })
    stream.to(kafka.sink('out', { value: json() }))
    stream.sideOutput('duplicates').to(kafka.sink('twice', { value: json() }))
  })
  expect(planJob(perPartition).stages).toHaveLength(1)
  await using t = testJob(perPartition)
  await t.feed('payments', [payment('a'), payment('a')])
  await t.checkpoint()
  await t.restart()
  await t.feed('payments', [payment('a'), payment('b')])
  expect(t.output('out').map(({ value }) => (value as Payment).id)).toEqual(['a', 'b'])
  expect(t.output('twice')).toHaveLength(2)
})

test('with onDuplicate drop there is no side output to take', () => {
  expect(() => planJob(once({ onDuplicate: 'drop' }))).toThrow(
    expect.objectContaining({ code: 'GRAPH_SIDE_OUTPUT' }) as Error,
  )
})

const out = kafka.sink('out')
const claims: IdempotentOptions<unknown> = { bizKey: String, store: outside }
const keyed = (flow: Flow): KeyedStream<Payment, string> => flow.from(payments, 'in').keyBy((p) => p.id)

test.each<[string, (flow: Flow, of: IdempotentOptions<unknown>) => void]>([
  [
    'reduce',
    (flow, of) =>
      keyed(flow)
        .reduce('sum', 0, (n) => n + 1)
        .idempotent('once', of)
        .to(out),
  ],
  [
    'keyedProcess',
    (flow, of) =>
      keyed(flow)
        .process('p', { onRecord: () => {} })
        .idempotent('once', of)
        .to(out),
  ],
  [
    'window',
    (flow, of) => keyed(flow).window(tumbling('1h')).allowedLateness('1m').count().idempotent('once', of).to(out),
  ],
])("behind a %s claims need names that a replay gives again: only the job's own state can have them", (kind, build) => {
  const refused = {
    code: 'CLAIMS_WITHOUT_ORIGIN',
    kind: 'invalid',
    facts: expect.objectContaining({ ofKind: kind }) as object,
  }
  expect(() => planJob(job('behind', (flow) => build(flow, claims)))).toThrow(expect.objectContaining(refused) as Error)
  expect(() => planJob(job('behind', (flow) => build(flow, { ...claims, store: 'state' })))).not.toThrow()
})

test.each<[string, Settings, (flow: Flow) => void]>([
  [
    'CLAIMS_TOO_LONG',
    { checkpoint: { alignTimeoutMs: 20_000 } },
    (flow) => flow.from(payments).idempotent('once', claims).to(out),
  ],
  [
    'UNALIGNED_REFUSED',
    { checkpoint: { unaligned: true } },
    (flow) => keyed(flow).window(tumbling('1h')).count().idempotent('once', claims).to(out),
  ],
  [
    'CONTINUOUS_SCOPE_REFUSED',
    { commit: { scope: 'continuous' } },
    (flow) => flow.from(payments).idempotent('once', claims).to(out),
  ],
  [
    'GRAPH_KEYED_BY_SOURCE',
    {},
    (flow) => {
      const once = flow.from(payments).idempotent('once', claims)
      once
        .keyedBySource(() => 'k')
        .reduce('n', 0, (n) => n + 1)
        .to(out)
    },
  ],
])('%s: where claims of a store outside cannot be, the planner says so', (code, settings, build) => {
  expect(() => planJob(job('behind', settings, build))).toThrow(
    expect.objectContaining({ code, kind: 'invalid' }) as Error,
  )
})

test('results of windows are called by window, key and end', async () => {
  const counted = job('counted', (flow) => {
    const counts = flow
      .from(payments, 'in')
      .keyBy((p) => p.id)
      .window(tumbling('1h'))
      .count()
    counts.idempotent('once', { bizKey: ({ start }) => start, store: outside }).to(kafka.sink('out', { value: json() }))
  })
  await using t = testJob(counted)
  await t.feed('payments', [payment('a'), payment('b'), payment('a', 1, NOON + 3_600_000)])
  await t.end()
  expect(t.output('out')).toHaveLength(2)
})

test('outputs of a flatMap are told apart, and each is itself again', async () => {
  const split = job('split', (flow) => {
    const items = flow.from(payments, 'in').flatMap((p) => [p, p, { ...p, id: `${p.id}x` }])
    items
      .idempotent('once', { bizKey: (p) => p.id, store: outside, onDuplicate: 'sideOutput' })
      .to(kafka.sink('out', { value: json() }))
  })
  await using t = testJob(split)
  await t.feed('payments', [payment('a')])
  expect(t.output('out')).toHaveLength(2)
})

test.each([
  ['url', () => redis({ url: 'redis://user:secret@host' })],
  ['namespace', () => redis({ url: 'env:X', namespace: 'a b' })],
  ['wait', () => redis({ url: 'env:X', wait: { replicas: 0 } })],
  ['onDuplicate', () => once({ onDuplicate: 'keep' as never })],
  ['store', () => once({ store: {} as never })],
  ['keyedBySource', () => once({ store: outside, keyedBySource: true })],
])('%s is refused where it is written, without its value', (option, make) => {
  expect(make).toThrow(
    expect.objectContaining({ code: 'OPTION_INVALID', facts: expect.objectContaining({ option }) as object }) as Error,
  )
})

test.each([
  ['a ttl below the window', { ttl: '30m' as const, store: outside }, 'GRAPH_NODE_INVALID'],
  ['to block for longer than 30 s', { onUnavailable: { block: '31s' as const }, store: outside }, 'GRAPH_NODE_INVALID'],
  ['another onConflict', { onConflict: 'no' as never, store: outside }, 'GRAPH_NODE_INVALID'],
])('%s is refused by the planner', (_, change, code) => {
  expect(() => planJob(once(change))).toThrow(expect.objectContaining({ code }) as Error)
})

test('fields is what a bare function is', () => {
  expect(fields((p: Payment) => p.amount).strategy).toBe('fields')
})
