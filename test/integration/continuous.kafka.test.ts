/**
 * The continuous scope on a real Kafka: two slices with the real source, sink and state in memory. Attempts vanish without a
 * word at any moment, as killed processes would; kcat with `read_committed` is the judge.
 */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import { planJob } from '@weir/dataflow'
import {
  KafkaContinuousSink,
  KafkaSource,
  listTransactions,
  offsetCommit,
  offsetFetch,
  type KafkaConnections,
} from '@weir/kafka'
import { attempt, generation, jobId, subtask, type WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Slice } from '@weir/runtime'
import { MemoryExchange, MemoryStateStore } from '@weir/runtime/testing'
import { job, json, kafka, tumbling } from '@weir/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, testKafka } from '../stack/kafka.ts'
import { SliceAttempt } from './slice-attempt.ts'

interface Order {
  readonly id: number
  readonly user: string
  readonly ts: number
}
const PARTITIONS = 4
const PARALLELISM = 2
const PER_PARTITION = 3_000
const INTERVAL_MS = 20
const commit = { scope: 'continuous', intervalMs: INTERVAL_MS } as const
const isBad = (o: Order): boolean => o.id % 500 === 499
const { broker, kafka: connections, admin, run, createTopics, produce, committed } = testKafka()
const topics = {
  ...{ orders: `orders-${run}`, sums: `sums-${run}`, counts: `counts-${run}` },
  ...{ dead: `dead-${run}`, more: `more-${run}` },
}
/** A user's orders are in one partition, as keyedBySource asks for. */
const ordersOf = (partition: number): Order[] =>
  Array.from({ length: PER_PARTITION }, (_, i) => ({
    id: i,
    user: `user-${partition}-${(i * 7) % 13}`,
    ts: 1_700_000_000_000 + i * 20 - ((i * 31) % 5) * 100,
  }))

beforeAll(async () => {
  await createTopics(Object.values(topics), { partitions: PARTITIONS })
  for (let p = 0; p < PARTITIONS; p++) {
    const values = ordersOf(p).map((o) => JSON.stringify(o))
    for (const topic of [topics.orders, topics.more]) produce(topic, p, values, '-z', 'lz4')
  }
})
const running: Attempt[] = []
afterAll(async () => {
  for (const one of running) await one.vanish()
})

const plan = planJob(
  job('sums', { parallelism: PARALLELISM, commit, deadLetters: kafka.sink(topics.dead) }, (flow) => {
    const orders = kafka.topic(topics.orders, {
      value: json<Order>(),
      timestamp: (o) => o.ts,
      outOfOrder: '1s',
      until: 'latest',
      recordsPerSecond: 2_000,
    })
    const byUser = flow
      .from(orders, 'orders')
      .map((o) => {
        if (isBad(o)) throw new RangeError('bad order')
        return o
      }, 'checked')
      .keyedBySource((o) => o.user)
    byUser.reduce('seen', 0, (n) => n + 1).to(kafka.sink(topics.sums))
    byUser.window(tumbling('10s')).count().to(kafka.sink(topics.counts))
  }),
)

class Attempt extends SliceAttempt {
  readonly #connections: KafkaConnections[]

  constructor(n: number, objects: Map<string, string>, id = `sums-${run}`, of = plan) {
    const opened: KafkaConnections[] = []
    const exchange = new MemoryExchange()
    const kafkaOf = (): KafkaConnections => {
      const one = connect(broker)
      opened.push(one)
      return one
    }
    super(n, PARALLELISM, (i, report) => {
      const at = { generation: generation(1), attempt: attempt(n) }
      return new Slice(
        { jobId: jobId(id), attempt: at, subtask: subtask(i), plan: of, freeze: false },
        {
          clock: systemClock,
          exchange,
          createSource: ({ descriptor }, context) => {
            const topic = String(descriptor['topic'])
            const options = { topic, startFrom: 'earliest', until: 'latest', isolation: 'read_committed' } as const
            return new KafkaSource(options, { context, kafka: kafkaOf(), clock: systemClock })
          },
          createSink: () => expect.unreachable(),
          createContinuousSink: ({ descriptor }, sinks, context) =>
            new KafkaContinuousSink(
              {
                sourceTopic: String(descriptor['topic']),
                sinks: sinks.map(({ node: { uid, descriptor: d, encodeKey, encodeValue }, asides }) => {
                  return { uid, topic: String(d['topic']), encodeKey, encodeValue, asides }
                }),
                intervalMs: INTERVAL_MS,
                transactionTimeoutMs: 60_000,
              },
              { context, kafka: kafkaOf(), clock: systemClock },
            ),
          openState: (stage) => Promise.resolve(new MemoryStateStore(objects, `slice-${i}-stage-${stage}`)),
          report,
          turn: () => new Promise((resolve) => setImmediate(resolve)),
        },
      )
    })
    this.#connections = opened
    running.push(this)
  }

  failure(): Promise<WeirError> {
    return this.all('failed').then(
      () => expect.unreachable(),
      (error: WeirError) => error,
    )
  }

  /** Its connections break first, so that nothing it has under way is told its end. */
  override async vanish(): Promise<void> {
    await Promise.all(this.#connections.map((c) => c.close()))
    await super.vanish()
  }
}

const read = async (topic: string): Promise<{ key: string; value: unknown }[]> =>
  (await committed(topic, '%k\t%s', run))
    .map((line) => line.split('\t'))
    .map(([key, value]) => ({ key: key!, value: JSON.parse(value!) as unknown }))

/**
 * Stably, as the engine asks: a transaction's end is answered before its markers are written, and until then a plain
 * OffsetFetch has the offset in front of it, or none.
 */
const committedAt = async (id: string, topic: string) => {
  const [group, partitions] = [`weir.${id}.orders`, Array.from({ length: PARTITIONS }, (_, p) => p)]
  const api = offsetFetch(group, topic, partitions)
  const { errorCode, committed } = await connections.toGroup(group, api, AbortSignal.timeout(10_000))
  expect(errorCode).toBe(0)
  return committed.sort((a, b) => a.partition - b.partition)
}

test('sums, windows and dead letters are exact over attempts that vanish, and one that does not', async () => {
  const objects = new Map<string, string>()
  let snapshot: SubtaskSnapshot[] | null = null
  for (const [i, share] of [0.1, 0.2, 0.35].entries()) {
    const one = new Attempt(i + 1, objects)
    await one.start(snapshot)
    await one.all('progress', (r) => r.recordsIn > share * PER_PARTITION * (PARTITIONS / PARALLELISM))
    // The first attempt leaves none, and what the others leave is older than what they have committed.
    if (i > 0) snapshot = await one.checkpoint(i + 1)
    await one.all('progress', (r) => r.recordsIn > (share + 0.05) * PER_PARTITION * (PARTITIONS / PARALLELISM))
    await one.vanish()
  }
  // One that is not dead goes on in the middle of everything: the next one fences it.
  const zombie = new Attempt(8, objects)
  await zombie.start(snapshot)
  await zombie.all('progress', (r) => r.recordsIn > 0.45 * PER_PARTITION * (PARTITIONS / PARALLELISM))
  const last = new Attempt(9, objects)
  await last.start(snapshot)
  expect((await zombie.failure()).code).toMatch(/PRODUCER_FENCED|COMMIT_REFUSED/)
  await last.all('input-ended')
  await last.checkpoint(9)
  await Promise.all(last.slices.map((s) => s.stop('abort')))

  const seen = new Map<string, number>()
  const windows = new Map<string, number>()
  for (const o of Array.from({ length: PARTITIONS }, (_, p) => ordersOf(p)).flat()) {
    if (isBad(o)) continue
    const { user, ts } = o
    seen.set(user, (seen.get(user) ?? 0) + 1)
    const window = `${user}@${ts - (ts % 10_000)}`
    windows.set(window, (windows.get(window) ?? 0) + 1)
  }
  // Per user 1, 2, 3 … in this order: nothing lost, nothing twice, no state of another time.
  const sums = new Map<string, number>()
  for (const { key, value } of await read(topics.sums)) {
    expect(value, key).toBe((sums.get(key) ?? 0) + 1)
    sums.set(key, value as number)
  }
  expect(sums).toEqual(seen)
  const counts = (await read(topics.counts)).map(({ key, value }) => {
    const { start, value: n } = value as { start: number; value: number }
    return [`${key}@${start}`, n] as const
  })
  expect(counts).toHaveLength(windows.size)
  expect(new Map(counts)).toEqual(windows)
  expect((await committedAt(`sums-${run}`, topics.orders)).map((p) => p.offset)).toEqual(Array(PARTITIONS).fill(3_000n))
  const bad = Array.from({ length: PARTITIONS }, (_, p) => ordersOf(p))
    .flat()
    .filter(isBad)
  const dead = (await read(topics.dead)).map(({ value }) => JSON.stringify(value))
  expect(dead.sort()).toEqual(bad.map((o) => JSON.stringify(o)).sort())
  const mine = (await connections.anyBroker(listTransactions())).transactions.filter((t) =>
    t.transactionalId.startsWith(`weir.sums-${run}.`),
  )
  expect(mine.filter((t) => t.state === 'Ongoing')).toEqual([])
})

test('offsets that somebody has set back, or that are older than the checkpoint, stop the job', async () => {
  const id = `more-${run}`
  const of = planJob(
    job('more', { parallelism: PARALLELISM, commit }, (flow) =>
      flow
        .from(kafka.topic(topics.more, { value: json<Order>(), until: 'latest', recordsPerSecond: 2_000 }), 'orders')
        .filter((o) => o.id < 0)
        .to(kafka.sink(topics.counts)),
    ),
  )
  const objects = new Map<string, string>()
  const first = new Attempt(1, objects, id, of)
  await first.start(null)
  await first.checkpoint(1)
  const group = { groupId: `weir.${id}.orders`, topic: topics.more }
  const set = async (offsets: Parameters<typeof offsetCommit>[2]): Promise<void> => {
    const api = offsetCommit(group.groupId, topics.more, offsets)
    expect((await connections.toGroup(group.groupId, api, AbortSignal.timeout(10_000))).errorCode).toBe(0)
  }
  const early = await committedAt(id, topics.more)
  await first.all('progress', (r) => r.recordsIn > 2_000)
  const snapshot = await first.checkpoint(2)
  await first.vanish()
  const refusal = async (n: number): Promise<unknown> => {
    const one = new Attempt(n, objects, id, of)
    const outcome = await one.start(snapshot).catch((error: unknown) => error)
    await one.vanish()
    return outcome
  }

  await set([{ partition: 2, offset: 5n, metadata: '' }])
  expect(await refusal(2)).toMatchObject({
    code: 'COMMITTED_OFFSET_FOREIGN',
    kind: 'invalid',
    facts: { group: group.groupId, topic: topics.more, partition: 2 },
  })

  // A group that was restored from a backup: Weir's own mark, and too old.
  await set(early.map(({ partition, offset, metadata }) => ({ partition, offset, metadata: metadata! })))
  expect(await refusal(3)).toMatchObject({ code: 'COMMITTED_OFFSET_BEHIND', kind: 'invalid' })

  await admin.deleteGroups([group.groupId])
  expect(await refusal(4)).toMatchObject({ code: 'COMMITTED_OFFSET_MISSING', kind: 'invalid' })
})
