/** Pairs: a chain in YAML and the same one in TypeScript. */
import type { JobDefinition } from '@weir/dataflow'
import {
  countWindow,
  datagen,
  everyEventTime,
  http,
  job,
  json,
  kafka,
  log,
  ndjson,
  parquet,
  postgres,
  redis,
  session,
  sliding,
  tumbling,
  type Flow,
  type KeyedStream,
  type MergingAggregate,
  type Stream,
} from '@weir/sdk'

export interface Order {
  readonly id: string
  readonly user: string
  readonly amount: number
  readonly status: string
  readonly ts: number
}
export interface Pair {
  readonly yaml: string
  readonly job: JobDefinition
}

/** Both begin with this. */
const ORDERS = `
version: 1
name: twin
types:
  Order: { id: string, user: string, amount: int, status: { enum: [PAID, FAILED] }, ts: int }
steps:
  - from: { kafka: { topic: orders, value: Order, timestamp: value.ts, outOfOrder: 1s } }
    uid: orders
`
const orders = (flow: Flow): Stream<Order> =>
  flow.from(kafka.topic<Order>('orders', { value: json(), timestamp: (order) => order.ts, outOfOrder: '1s' }), 'orders')

const chain = (yaml: string, build: (orders: Stream<Order>, flow: Flow) => void): Pair => ({
  yaml: ORDERS + yaml,
  job: job('twin', (flow) => build(orders(flow), flow)),
})
const byUser = (yaml: string, build: (keyed: KeyedStream<Order>) => void): Pair =>
  chain(`  - keyBy: value.user\n    uid: by-user\n${yaml}`, (stream) =>
    build(stream.keyBy((order) => order.user, 'by-user')),
  )

const out = kafka.sink('out')
type Totals = Readonly<Record<string, unknown>>
const totals: MergingAggregate<
  Order,
  { total: number; n: number; high: number | null; last: readonly string[] },
  Totals
> = {
  initial: { total: 0, n: 0, high: null, last: [] },
  add: ({ total, n, high }, { amount, id }) => ({
    total: total + amount,
    n: n + 1,
    high: Math.max(high ?? amount, amount),
    last: [id],
  }),
  merge: (a, b) => ({
    total: a.total + b.total,
    n: a.n + b.n,
    high: Math.max(a.high ?? b.high!, b.high ?? a.high!),
    last: b.last.length ? b.last : a.last,
  }),
  result: ({ total, n, high, last }) => ({ total, n, high, last: last[0] }),
}
const TOTALS = '{ total: { sum: value.amount }, n: count, high: { max: value.amount }, last: { last: value.id } }'

/** Run with records, too. */
export const running: Readonly<Record<string, Pair>> = {
  'a key that the sink makes': chain(
    `
  - map: { who: value.user, amount: value.amount }
  - to: { kafka: { topic: out, keyOf: 'value.who + "/" + string(value.amount)' } }`,
    (stream) =>
      stream
        .map(({ user, amount }) => ({ who: user, amount }))
        .to(kafka.sink('out', { keyOf: ({ who, amount }) => `${who}/${amount}` })),
  ),
  'filter, map to fields': chain(
    `
  - filter: value.status == "PAID" && value.amount >= 10
    uid: paid
  - map: { who: value.user, cents: value.amount * 100, text: 'value.id + "/" + string(value.amount)', at: value.ts }
  - to: { kafka: out }`,
    (stream) =>
      stream
        .filter((order) => order.status === 'PAID' && order.amount >= 10, 'paid')
        .map(({ user, amount, id, ts }) => ({ who: user, cents: amount * 100, text: `${id}/${amount}`, at: ts }))
        .to(out),
  ),
  'map to the record itself, flatMap, key and time of a record': chain(
    `
  - map: value
  - flatMap: '[value.id, value.user].filter(x, x.size() > 1)'
  - keyBy: value
  - reduce: { initial: "", add: 'acc + value.substring(0, 1)' }
    uid: letters
  - map: { text: value, at: eventTime }
  - to: { kafka: out }`,
    (stream) =>
      stream
        .map((order) => order)
        .flatMap(({ id, user }) => [id, user].filter((text) => text.length > 1))
        .keyBy((text) => text)
        .reduce('letters', '', (acc, text) => acc + text[0])
        .map((text, { timestamp }) => ({ text, at: timestamp }))
        .to(out),
  ),
  'reduce, a fraction in what began as a whole number': byUser(
    `
  - reduce: { initial: { sum: 0, half: 0 }, add: { sum: acc.sum + value.amount, half: acc.half + value.amount / 2.0 } }
    uid: balance
  - to: { kafka: out }`,
    (keyed) =>
      keyed
        .reduce('balance', { sum: 0, half: 0 }, ({ sum, half }, { amount }) => ({
          sum: sum + amount,
          half: half + amount / 2,
        }))
        .to(out),
  ),
  'running aggregate': byUser(
    `
  - aggregate: ${TOTALS}
    uid: totals
  - to: { kafka: out }`,
    (keyed) => keyed.aggregate('totals', totals).to(out),
  ),
  'tumbling windows with late records aside': byUser(
    `
  - window: { tumbling: 10s, fold: { sum: value.amount }, allowedLateness: 2s, trigger: { everyEventTime: 5s } }
    uid: sums
  - to: { kafka: out }
  - sideOutput: late
    input: sums
  - map: value.id
  - to: { kafka: late }`,
    (keyed) => {
      const sums = keyed
        .window(tumbling('10s'))
        .trigger(everyEventTime('5s'))
        .allowedLateness('2s')
        .sum('sums', (order) => order.amount)
      sums.to(out)
      sums
        .sideOutput('late')
        .map((order) => order.id)
        .to(kafka.sink('late'))
    },
  ),
  'sliding windows of an aggregate': byUser(
    `
  - window: { sliding: { size: 10s, every: 5s }, fold: { aggregate: ${TOTALS} } }
    uid: totals
  - to: { kafka: out }`,
    (keyed) => keyed.window(sliding('10s', '5s')).aggregate('totals', totals).to(out),
  ),
  'session windows of a fold': byUser(
    `
  - window: { session: 3s, fold: { reduce: { initial: 0, add: acc + value.amount, merge: acc + other } } }
    uid: spent
  - to: { kafka: out }`,
    (keyed) =>
      keyed
        .window(session('3s'))
        .reduce('spent', 0, (acc, order) => acc + order.amount, { merge: (a, b) => a + b })
        .to(out),
  ),
  'windows of a count': byUser(
    `
  - window: { count: 2, fold: { min: value.amount } }
    uid: pairs
  - map: { who: key, least: value.value }
  - to: { kafka: out }`,
    (keyed) =>
      keyed
        .window(countWindow(2))
        .min('pairs', (order) => order.amount)
        .map(({ value }, { key }) => ({ who: key, least: value }))
        .to(out),
  ),
  'deduplicate and its duplicates': byUser(
    `
  - deduplicate: { ttl: 1h }
    uid: first
  - to: { kafka: out }
  - sideOutput: duplicates
    input: first
  - to: { kafka: duplicates }`,
    (keyed) => {
      const first = keyed.deduplicate('first', { ttl: '1h' })
      first.to(out)
      first.sideOutput('duplicates').to(kafka.sink('duplicates'))
    },
  ),
  sessionize: byUser(
    `
  - sessionize: { gap: 3s }
    uid: sessions
  - map: { from: value.start, amounts: 'value.records.map(r, r.amount)' }
  - to: { kafka: out }`,
    (keyed) =>
      keyed
        .sessionize('sessions', '3s')
        .map(({ start, records }) => ({ from: start, amounts: records.map(({ amount }) => amount) }))
        .to(out),
  ),
  'idempotent in state, with conflicts': chain(
    `
  - idempotent: { bizKey: value.id, eventType: value.status, fingerprint: { amount: value.amount }, window: 1d, onDuplicate: sideOutput }
    uid: once
  - to: { kafka: out }
  - sideOutput: conflicts
    input: once
  - map: { id: value.bizKey, amount: value.value.amount }
  - to: { kafka: conflicts }`,
    (stream) => {
      const once = stream.idempotent('once', {
        bizKey: (order) => order.id,
        eventType: (order) => order.status,
        fingerprint: ({ amount }) => ({ amount }),
        window: '1d',
        onDuplicate: 'sideOutput',
      })
      once.to(out)
      once
        .sideOutput('conflicts')
        .map(({ bizKey, value }) => ({ id: bizKey, amount: value.amount }))
        .to(kafka.sink('conflicts'))
    },
  ),
  'union, and two streams of one source': chain(
    `
  - filter: value.amount > 50
    uid: large
  - filter: value.status == "FAILED"
    uid: failed
    input: orders
  - union: [large, failed]
  - map: value.id
  - to: { kafka: out }`,
    (stream) => {
      const large = stream.filter((order) => order.amount > 50, 'large')
      const failed = stream.filter((order) => order.status === 'FAILED', 'failed')
      large
        .union(failed)
        .map((order) => order.id)
        .to(out)
    },
  ),
  'window join that keeps the left ones': chain(
    `
  - keyBy: value.user
    uid: by-user
  - filter: value.status == "FAILED"
    uid: failed
    input: orders
  - keyBy: value.user
    uid: failed-by-user
  - join:
      left: by-user
      right: failed-by-user
      window: { tumbling: 10s }
      keeps: left
      select: { id: left.id, with: 'right == null ? "nobody" : right.id', end: window.end }
    uid: with-failed
  - to: { kafka: out }`,
    (stream) => {
      const keyed = stream.keyBy((order) => order.user, 'by-user')
      const failed = stream
        .filter((order) => order.status === 'FAILED', 'failed')
        .keyBy((order) => order.user, 'failed-by-user')
      keyed
        .join(failed)
        .window(tumbling('10s'))
        .left('with-failed', (left, right, { end }) => ({ id: left.id, with: right?.id ?? 'nobody', end }))
        .to(out)
    },
  ),
  'interval join': chain(
    `
  - keyBy: value.user
    uid: by-user
  - filter: value.status == "FAILED"
    uid: failed
    input: orders
  - keyBy: value.user
    uid: failed-by-user
  - intervalJoin:
      left: by-user
      right: failed-by-user
      lower: -2s
      upper: 0
      select: { a: left.id, b: right.id }
    uid: near
  - to: { kafka: out }`,
    (stream) => {
      const keyed = stream.keyBy((order) => order.user, 'by-user')
      const failed = stream
        .filter((order) => order.status === 'FAILED', 'failed')
        .keyBy((order) => order.user, 'failed-by-user')
      keyed
        .intervalJoin(failed, { lower: '-2s', upper: 0 })
        .inner('near', (left, right) => ({ a: left.id, b: right.id }))
        .to(out)
    },
  ),
}

const whole = (yaml: string, of: JobDefinition): Pair => ({ yaml: `version: 1\nname: twin\n${yaml}`, job: of })
const any = json<{ id: string; ts: number }>()

/** What needs servers: only their graphs are compared. */
export const planned: Readonly<Record<string, Pair>> = {
  'all settings': whole(
    `
settings:
  parallelism: 3
  maxParallelism: 96
  checkpoint: { intervalMs: 5000, everyRecords: null, minPauseMs: 100, alignTimeoutMs: 60000, toleratedAborts: 2, retained: 5, alignedTimeoutMs: 1000, circuit: { failures: 5 } }
  transactionTimeoutMs: 600000
  recoveryBudgetMs: 60000
  restart: { attempts: 3, delayMs: 10 }
  bufferTimeoutMs: 5
  traces: { sampleRate: 0.01 }
  failover: full
  metadata: { primary: etcd, fallback: s3, consistency: strong }
  deadLetters: { kafka: dead }
  audit: true
steps:
  - from: { kafka: { topic: in, outOfRange: earliest, startFrom: latest, idleAfter: 1m, alignWithin: 10s, alignGroup: g, recordsPerSecond: 100, minRecordsPerSecond: 10 } }
  - keyBy: value.id
  - window: { tumbling: 1m, fold: count }
  - to: { kafka: { topic: out, onLost: fail } }`,
    job(
      'twin',
      {
        parallelism: 3,
        maxParallelism: 96,
        checkpoint: {
          ...{ intervalMs: 5_000, everyRecords: null, minPauseMs: 100, alignTimeoutMs: 60_000, toleratedAborts: 2 },
          ...{ retained: 5, alignedTimeoutMs: 1_000, circuit: { failures: 5 } },
        },
        transactionTimeoutMs: 600_000,
        recoveryBudgetMs: 60_000,
        restart: { attempts: 3, delayMs: 10 },
        bufferTimeoutMs: 5,
        traces: { sampleRate: 0.01 },
        failover: 'full',
        metadata: { primary: 'etcd', fallback: 's3', consistency: 'strong' },
        deadLetters: kafka.sink('dead'),
        audit: true,
      },
      (flow) =>
        flow
          .from(
            kafka.topic('in', {
              ...{ value: any, outOfRange: 'earliest', startFrom: 'latest', idleAfter: '1m', alignWithin: '10s' },
              ...{ alignGroup: 'g', recordsPerSecond: 100, minRecordsPerSecond: 10 },
            }),
          )
          .keyBy(({ id }) => id)
          .window(tumbling('1m'))
          .count()
          .to(kafka.sink('out', { onLost: 'fail' })),
    ),
  ),
  'the continuous scope, keyed by the source': whole(
    `
settings: { commit: { scope: continuous, intervalMs: 50 } }
steps:
  - from: { kafka: { topic: in } }
  - keyedBySource: value.id
    uid: id
  - aggregate: { n: count }
    uid: n
  - to: { kafka: out }`,
    job('twin', { commit: { scope: 'continuous', intervalMs: 50 } }, (flow) =>
      flow
        .from(kafka.topic('in', { value: any }))
        .keyedBySource((value) => value.id, 'id')
        .aggregate('n', { initial: { n: 0 }, add: ({ n }) => ({ n: n + 1 }) })
        .to(kafka.sink('out')),
    ),
  ),
  'files, tables and HTTP': whole(
    `
steps:
  - from: { ndjson: { folder: file:///in/, timestamp: value.ts, splits: 2 } }
    uid: files
  - to: { ndjson: { folder: s3://bucket/out/, rollBytes: 1000 } }
  - to: { parquet: { folder: file:///out/, columns: { id: STRING, at: { type: TIMESTAMP, from: ts } } } }
    input: files
  - to: { postgres: { table: sales.orders, url: env:DB, columns: [id, ts], key: [id] } }
    input: files
  - to: { http: { url: https://example.org/hook, method: PUT, authorization: env:TOKEN } }
    input: files
  - from: { postgres: { url: env:DB, publication: pub, slot: weir } }
  - map: { table: value.table, after: value.after }
  - to: { postgres: { table: log, url: env:DB, columns: { of: value.table } } }`,
    job('twin', (flow) => {
      const files = flow.from(
        ndjson.folder('file:///in/', { value: any, timestamp: ({ ts }) => ts, splits: 2 }),
        'files',
      )
      files.to(ndjson.sink('s3://bucket/out/', { rollBytes: 1_000 }))
      files.to(parquet.sink('file:///out/', { columns: { id: 'STRING', at: { type: 'TIMESTAMP', from: 'ts' } } }))
      files.to(postgres.sink('sales.orders', { url: 'env:DB', columns: ['id', 'ts'], key: ['id'] }))
      files.to(http.sink('https://example.org/hook', { method: 'PUT', authorization: 'env:TOKEN' }))
      flow
        .from(postgres.changes({ url: 'env:DB', publication: 'pub', slot: 'weir' }))
        .map(({ table, after }) => ({ table, after }))
        .to(postgres.sink('log', { url: 'env:DB', columns: { of: 'value.table' } }))
    }),
  ),
  'claims in Redis': whole(
    `
steps:
  - from: { kafka: { topic: in } }
  - idempotent: { bizKey: value.id, store: { redis: { url: env:REDIS, namespace: pay } }, ttl: 2d, onUnavailable: { block: 5s }, onConflict: pass }
    uid: once
  - to: { kafka: out }`,
    job('twin', (flow) =>
      flow
        .from(kafka.topic('in', { value: any }))
        .idempotent('once', {
          bizKey: ({ id }) => id,
          store: redis({ url: 'env:REDIS', namespace: 'pay' }),
          ttl: '2d',
          onUnavailable: { block: '5s' },
          onConflict: 'pass',
        })
        .to(kafka.sink('out')),
    ),
  ),
  'generated payments': whole(
    `
steps:
  - from: { datagen: { splits: 2, users: 10, seed: 7, recordsPerSecond: 100 } }
  - filter: value.amountMinor > 100
  - to: { log: out }`,
    job('twin', (flow) =>
      flow
        .from(datagen.payments({ splits: 2, users: 10, seed: 7, recordsPerSecond: 100 }))
        .filter((payment) => payment.amountMinor > 100)
        .to(log.sink('out')),
    ),
  ),
}

const START = Date.UTC(2026, 0, 1)
const order = (id: string, user: string, amount: number, seconds: number, status = 'PAID'): Order => ({
  ...{ id, user, amount, status },
  ts: START + seconds * 1_000,
})
/** Out of order, late, sent twice, contradicting each other. */
export const ORDERS_IN: readonly (readonly Order[])[] = [
  [order('a1', 'ada', 5, 0), order('a2', 'ada', 60, 1), order('b1', 'bo', 10, 2, 'FAILED'), order('a2', 'ada', 60, 1)],
  [order('b2', 'bo', 70, 6), order('a2', 'ada', 61, 7), order('a3', 'ada', 11, 6, 'FAILED')],
  [order('c1', 'cy', 99, 14), order('a4', 'ada', 2, 3), order('b3', 'bo', 1, 13)],
  [order('a5', 'ada', 7, 30), order('b4', 'bo', 8, 5), order('c2', 'cy', 40, 31, 'FAILED')],
]
