/** Chains per split: a job that is keyed by its source, against a recount of each split on its own. */
import { defaultSettings, planJob, type GraphNode, type JobDefinition, type SourceNode } from '@weir/dataflow'
import {
  attempt,
  epoch,
  generation,
  jobId,
  operatorUid,
  subtask,
  systemClock,
  type CheckpointId,
  type Key,
} from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { Slice, type SliceReport } from './slice.ts'
import {
  MemoryExchange,
  MemoryLogSource,
  MemorySink,
  MemoryStateStore,
  MemoryTopic,
  type MemoryRecord,
} from './testing/index.ts'

const node = {
  source: (outOfOrderMs: number): SourceNode => ({
    kind: 'source',
    uid: operatorUid('in'),
    descriptor: { connector: 'memory' },
    decode: null,
    timestamp: null,
    outOfOrderMs,
    recordsPerSecond: null,
  }),
  keyedBySource: (): GraphNode => ({ kind: 'keyedBySource', uid: operatorUid('by-first'), key: (v) => String(v)[0]! }),
  keyBy: (key: (value: unknown) => Key): GraphNode => ({ kind: 'keyBy', uid: operatorUid('by-all'), key }),
  concat: (uid: string): GraphNode => ({
    kind: 'reduce',
    uid: operatorUid(uid),
    initial: '',
    reduce: (a, v) => `${String(a)}${String(v)} `,
  }),
  count: (uid: string, sizeMs: number): GraphNode => ({
    kind: 'window',
    uid: operatorUid(uid),
    window: { type: 'tumbling', sizeMs },
    aggregate: { initial: 0, add: (n) => (n as number) + 1 },
    aggregateName: 'count',
  }),
  sink: (uid: string): GraphNode => ({
    kind: 'sink',
    uid: operatorUid(uid),
    descriptor: { connector: 'memory' },
    encodeKey: String,
    encodeValue: String,
  }),
}
const jobOf = (nodes: readonly GraphNode[], edges: readonly [number, number][]): JobDefinition => ({
  kind: 'weir.job',
  version: 1,
  name: 'splits',
  settings: defaultSettings,
  graph: { nodes, edges },
})

const running: Slice[] = []
afterEach(async () => {
  for (const slice of running.splice(0)) await slice.stop('leave')
})

/** One slice, one attempt; topics and objects outlive it. */
class World {
  readonly topics = new Map<string, MemoryTopic>()
  readonly objects = new Map<string, string>()

  topic(uid: string): MemoryTopic {
    if (!this.topics.has(uid)) this.topics.set(uid, new MemoryTopic())
    return this.topics.get(uid)!
  }

  start(job: JobDefinition, source: MemoryLogSource, n = 1) {
    const seen: SliceReport[] = []
    const { topics } = this
    let look = (): void => {}
    const slice = new Slice(
      {
        jobId: jobId('splits'),
        attempt: { generation: generation(1), attempt: attempt(n) },
        subtask: subtask(0),
        plan: planJob(job),
        freeze: true,
      },
      {
        clock: systemClock,
        exchange: new MemoryExchange(),
        createSource: () => source,
        createSink: ({ uid }) => new MemorySink(this.topic(uid)),
        openState: (stage) => Promise.resolve(new MemoryStateStore(this.objects, `stage-${stage}`)),
        report: (report) => {
          seen.push(report)
          look()
        },
        turn: () => new Promise((resolve) => setImmediate(resolve)),
      },
    )
    running.push(slice)
    const until = <T extends SliceReport['type']>(
      type: T,
      is: (report: Extract<SliceReport, { type: T }>) => boolean = () => true,
    ): Promise<Extract<SliceReport, { type: T }>> =>
      new Promise((resolve, reject) => {
        look = () => {
          const failed = seen.find((r) => r.type === 'failed')
          if (failed) return reject(failed.error)
          const found = seen.find((r) => r.type === type && is(r as never))
          if (found) resolve(found as Extract<SliceReport, { type: T }>)
        }
        look()
      })
    return {
      slice,
      until,
      async run(snapshot: Parameters<Slice['recover']>[0] = null): Promise<void> {
        await slice.recover(snapshot)
        await slice.run([{ subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }])
      },
      async checkpoint(e: number) {
        const id: CheckpointId = { generation: generation(1), attempt: attempt(n), epoch: epoch(e) }
        slice.trigger(id)
        const { snapshot } = await until('ack', (r) => r.checkpoint.epoch === e)
        return snapshot
      },
      async commit(e: number) {
        const sinks = Object.fromEntries([...topics.keys()].map((uid) => [uid, Number.MAX_SAFE_INTEGER]))
        slice.commit(epoch(e), sinks)
        await until('committed', (r) => r.epoch === e)
      },
    }
  }
}

const records = (...rows: [string, number][]): MemoryRecord[] => rows.map(([value, ts]) => ({ value, ts }))
const committed = (world: World, uid: string): unknown[] => world.topic(uid).committed.map((r) => r.value)

test('equal keys of two splits are two keys, also behind a restore', async () => {
  const job = jobOf([node.source(0), node.keyedBySource(), node.concat('log'), node.sink('out')], chainOf(4))
  const splits = [records(['a1', 1], ['a2', 2], ['a3', 3]), records(['a7', 1], ['b8', 2], ['a9', 3])]
  const world = new World()
  const first = new MemoryLogSource(splits, 10)
  first.limit = 2
  const one = world.start(job, first)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 4)
  const snapshot = await one.checkpoint(1)
  await one.commit(1)
  await one.slice.stop('leave')
  expect(committed(world, 'out')).toEqual(['a1 ', 'a1 a2 ', 'a7 ', 'b8 '])

  const two = world.start(job, new MemoryLogSource(splits, 10), 2)
  await two.run(snapshot)
  await two.until('input-ended')
  await two.checkpoint(2)
  await two.commit(2)
  expect(committed(world, 'out').slice(4)).toEqual(['a1 a2 a3 ', 'a7 a9 '])
})

// Out of order inside a batch: with one watermark per batch the late record would count in some batchings only.
const disordered = [
  records(['a', 5], ['a', 12], ['a', 3], ['b', 11], ['a', 31], ['a', 19], ['b', 42]),
  records(['a', 1_000], ['a', 990], ['a', 1_010], ['a', 1_001]),
]
test.each([1, 2, 3, 100])('windows of a split depend on its records alone, in batches of %i', async (batchMax) => {
  const job = jobOf([node.source(0), node.keyedBySource(), node.count('per-10', 10), node.sink('out')], chainOf(4))
  const world = new World()
  const one = world.start(job, new MemoryLogSource(disordered, batchMax))
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  await one.commit(1)
  const windows = world.topic('out').committed.map(({ key, value }) => {
    const { start, value: n } = value as { start: number; value: number }
    return [key, start, n] as const
  })
  expect(windows.filter(([, start]) => start < 100)).toEqual([
    ['a', 0, 1], // the record at 3 is late: 12 came before it
    ['a', 10, 1],
    ['b', 10, 1],
    ['a', 30, 1], // and so is the one at 19
    ['b', 40, 1],
  ])
  expect(windows.filter(([, start]) => start >= 100)).toEqual([
    ['a', 1_000, 1], // the one at 1,001 is late, and 990 before it
    ['a', 1_010, 1],
  ])
})

test('behind a keyBy the event time of all splits counts: a slow split is not late there', async () => {
  const job = jobOf(
    [
      node.source(0),
      node.keyedBySource(),
      node.concat('log'),
      node.keyBy(() => 'all'),
      node.count('per-100', 100),
      node.sink('out'),
    ],
    chainOf(6),
  )
  const fast = records(['a', 10], ['a', 500], ['a', 900])
  const slow = records(['b', 20], ['b', 30])
  const world = new World()
  const one = world.start(job, new MemoryLogSource([fast, slow], 1))
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  await one.commit(1)
  expect(committed(world, 'out')).toEqual([
    { start: 0, end: 100, value: 3 },
    { start: 500, end: 600, value: 1 },
    { start: 900, end: 1_000, value: 1 },
  ])
})

function chainOf(nodes: number): [number, number][] {
  return Array.from({ length: nodes - 1 }, (_, i) => [i, i + 1])
}
