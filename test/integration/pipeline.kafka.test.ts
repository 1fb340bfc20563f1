/**
 * The main job's data plane on a real Kafka: orders → filter PAID → keyBy user → running sum and 10 s count → two topics,
 * two slices with state in LevelDB. Attempts are dropped without a word, as a killed process would be; kcat is the judge.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ObjectStore, StoredObject, SubtaskSnapshot } from '@weir/checkpoint'
import { defaultSettings, planJob, type JobDefinition, type SinkNode } from '@weir/dataflow'
import { KafkaSink, KafkaSource, listTransactions } from '@weir/kafka'
import { attempt, epoch, generation, jobId, operatorUid, subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Slice } from '@weir/runtime'
import { MemoryExchange } from '@weir/runtime/testing'
import { PatientUpload } from '@weir/metadata'
import { openStateStore } from '@weir/state'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testKafka } from '../stack/kafka.ts'
import { SliceAttempt } from './slice-attempt.ts'

interface Order {
  readonly id: number
  readonly user: string
  readonly amountMinor: number
  readonly status: 'PAID' | 'FAILED'
  readonly ts: number
}
const ORDERS = 20_000
const PARALLELISM = 2
const PARTITIONS = 4
const START = 1_700_000_000_000
const orderAt = (id: number): Order => ({
  id,
  user: `user-${id % 97}`,
  amountMinor: (id * 7919) % 10_000,
  status: id % 10 === 3 ? 'FAILED' : 'PAID',
  ts: START + id * 5,
})

const { kafka, run, createTopics, produce, committed } = testKafka()
const topics = { orders: `orders-${run}`, sums: `sums-${run}`, counts: `counts-${run}` }
let dir = ''

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'weir-pipeline-'))
  await createTopics(Object.values(topics), { partitions: PARTITIONS })
  // Written by librdkafka, compressed: what the source must read in production. By itself it stays with a partition for a while, and a
  // slice might have nothing to read.
  for (let p = 0; p < PARTITIONS; p++) {
    const ids = Array.from({ length: ORDERS / PARTITIONS }, (_, i) => i * PARTITIONS + p)
    const values = ids.map((id) => JSON.stringify(orderAt(id)))
    produce(topics.orders, p, values, '-z', 'lz4')
  }
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const text = (v: unknown): string => String(v)
const json = (v: unknown): string => JSON.stringify(v)
const sink = (uid: string, topic: string): SinkNode => ({
  kind: 'sink',
  uid: operatorUid(uid),
  descriptor: { connector: 'kafka', topic },
  encodeKey: text,
  encodeValue: json,
})
const definition: JobDefinition = {
  kind: 'weir.job',
  version: 1,
  name: 'orders',
  settings: { ...defaultSettings, parallelism: PARALLELISM },
  graph: {
    nodes: [
      {
        kind: 'source',
        uid: operatorUid('orders'),
        descriptor: { connector: 'kafka', topic: topics.orders },
        decode: (buffer, start, end) => JSON.parse(buffer.toString('utf8', start, end)) as Order,
        timestamp: (o) => (o as Order).ts,
        outOfOrderMs: 60_000,
        // Slow enough that every checkpoint of the test falls into the middle of the input.
        recordsPerSecond: 2_000,
      },
      { kind: 'filter', uid: operatorUid('paid'), test: (o) => (o as Order).status === 'PAID' },
      { kind: 'keyBy', uid: operatorUid('by-user'), key: (o) => (o as Order).user },
      {
        kind: 'reduce',
        uid: operatorUid('balance'),
        initial: { sum: 0, count: 0 },
        reduce: (a, o) => {
          const { sum, count } = a as { sum: number; count: number }
          return { sum: sum + (o as Order).amountMinor, count: count + 1 }
        },
      },
      sink('sums', topics.sums),
      {
        kind: 'window',
        uid: operatorUid('per-10s'),
        window: { type: 'tumbling', sizeMs: 10_000 },
        aggregate: { initial: 0, add: (n) => (n as number) + 1 },
        aggregateName: 'count',
      },
      sink('counts', topics.counts),
    ],
    edges: [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [2, 5],
      [5, 6],
    ],
  },
}
const plan = planJob(definition)
const job = jobId(`orders-${run}`)
const objects = new (class implements ObjectStore {
  readonly #stored = new Map<string, StoredObject>()
  async put(key: string, bytes: Uint8Array) {
    this.#stored.set(key, { bytes, etag: '' })
    return { kind: 'stored' as const, etag: '' }
  }
  async get(key: string) {
    return this.#stored.get(key) ?? null
  }
  async list() {
    return [...this.#stored.keys()]
  }
  async delete() {}
  async close() {}
})()

class Attempt extends SliceAttempt {
  constructor(n: number) {
    const exchange = new MemoryExchange()
    super(n, PARALLELISM, (i, report) => {
      const options = {
        jobId: job,
        attempt: { generation: generation(1), attempt: attempt(n) },
        subtask: subtask(i),
        plan,
        freeze: false,
      }
      return new Slice(options, {
        clock: systemClock,
        exchange,
        createSource: (node, context) =>
          new KafkaSource(
            {
              topic: node.descriptor['topic'] as string,
              startFrom: 'earliest',
              until: 'latest',
              isolation: 'read_committed',
            },
            { context, kafka, clock: systemClock },
          ),
        createSink: (node, context) =>
          new KafkaSink(
            {
              topic: node.descriptor['topic'] as string,
              poolSize: 4,
              transactionTimeoutMs: 60_000,
              encodeKey: node.encodeKey,
              encodeValue: node.encodeValue,
            },
            { context, kafka, clock: systemClock, staged: null },
          ),
        createContinuousSink: () => expect.unreachable(),
        openState: (stage) =>
          openStateStore(
            {
              dir: join(dir, `a${n}-${i}-${stage}`),
              keyGroups: { from: 0, to: 128 },
              maxParallelism: 128,
              hotEntriesMax: 50,
              writer: `${i}`,
              chainLengthMax: 3,
              chainRatioMax: 1,
              freeze: false,
            },
            {
              objects,
              upload: (key) =>
                new PatientUpload(objects, key, {
                  clock: systemClock,
                  signal: new AbortController().signal,
                  budgetMs: 5_000,
                }),
              segmentKey: (c, kind) => `${c.epoch}-a${n}-${i}-${stage}-${kind}`,
            },
          ),
        report,
        turn: () => new Promise((resolve) => setImmediate(resolve)),
      })
    })
  }

  commit(n: number, snapshots: readonly SubtaskSnapshot[]): Promise<unknown> {
    this.slices.forEach((slice, i) => {
      slice.commit(
        epoch(n),
        Object.fromEntries(Object.entries(snapshots[i]!.sinks).map(([uid, s]) => [uid, s.sequence])),
      )
    })
    return this.all('committed', (r) => r.epoch === n)
  }
}

const read = async (topic: string): Promise<{ key: string; value: unknown }[]> =>
  (await committed(topic, '%k\t%s', run))
    .map((line) => line.split('\t'))
    .map(([key, value]) => ({ key: key!, value: JSON.parse(value!) as unknown }))

/** Of each slice: it has read more than any had at a checkpoint, so that the next one has something. */
const beyond = (snapshots: readonly SubtaskSnapshot[]) => {
  const most = Math.max(...snapshots.map(({ recordsIn }) => recordsIn))
  return ({ recordsIn }: { readonly recordsIn: number }): boolean => recordsIn > most
}

test(
  'sums and counts are exact after attempts vanish before a commit, inside a commit and with a given-up epoch',
  { timeout: 120_000 },
  async () => {
    // Attempt 1: epoch 1 final; epoch 2 published, and everything vanishes before any commit.
    const first = new Attempt(1)
    await first.start(null)
    await first.all('progress', (r) => r.recordsIn > 0)
    const one = await first.checkpoint(1)
    await first.commit(1, one)
    await first.all('progress', beyond(one))
    const two = await first.checkpoint(2)
    await first.vanish()

    // Attempt 2: recovery commits epoch 2. Epoch 3 is given up, epoch 4 carries its output; only one of two slices commits.
    const second = new Attempt(2)
    await second.start(two)
    await second.all('progress', beyond(two))
    const three = await second.checkpoint(3)
    for (const slice of second.slices) slice.giveUp({ generation: generation(1), attempt: attempt(2), epoch: epoch(3) })
    await second.all('progress', beyond(three))
    const four = await second.checkpoint(4)
    second.slices[0]!.commit(
      epoch(4),
      Object.fromEntries(Object.entries(four[0]!.sinks).map(([uid, s]) => [uid, s.sequence])),
    )
    await second.vanish()
    const read4 = four.reduce((n, s) => n + s.recordsIn, 0)
    expect(read4).toBeGreaterThan(two.reduce((n, s) => n + s.recordsIn, 0))
    expect(read4).toBeLessThan(ORDERS)

    // Attempt 3 runs to the end.
    const third = new Attempt(3)
    await third.start(four)
    await third.all('input-ended')
    await third.commit(5, await third.checkpoint(5))
    await Promise.all(third.slices.map((s) => s.stop('abort')))

    const expected = new Map<string, { sum: number; count: number }>()
    const windows = new Map<string, number>()
    for (let id = 0; id < ORDERS; id++) {
      const o = orderAt(id)
      if (o.status !== 'PAID') continue
      const { sum, count } = expected.get(o.user) ?? { sum: 0, count: 0 }
      expected.set(o.user, { sum: sum + o.amountMinor, count: count + 1 })
      const window = `${o.user}@${o.ts - (o.ts % 10_000)}`
      windows.set(window, (windows.get(window) ?? 0) + 1)
    }
    const sums = (await read(topics.sums)) as { key: string; value: { sum: number; count: number } }[]
    // Every count of every user exactly once: nothing lost, nothing twice.
    const seen = sums.map(({ key, value }) => `${key}#${value.count}`)
    expect(seen).toHaveLength([...expected.values()].reduce((n, { count }) => n + count, 0))
    expect(new Set(seen).size).toBe(seen.length)
    for (const [user, total] of expected) {
      expect(sums.find((s) => s.key === user && s.value.count === total.count)?.value).toEqual(total)
    }
    const counts = (await read(topics.counts)) as { key: string; value: { start: number; value: number } }[]
    expect(counts).toHaveLength(windows.size)
    for (const { key, value } of counts) expect(value.value).toBe(windows.get(`${key}@${value.start}`))

    const mine = (await kafka.anyBroker(listTransactions())).transactions.filter((t) =>
      t.transactionalId.startsWith(`weir.${job}.`),
    )
    expect(mine.filter((t) => t.state === 'Ongoing')).toEqual([])
  },
)
