import type { SubtaskSnapshot } from '@weir/checkpoint'
import { defaultSettings, planJob, type JobDefinition, type Plan, type WindowResult } from '@weir/dataflow'
import {
  attempt,
  epoch,
  generation,
  jobId,
  operatorUid,
  subtask,
  type CheckpointId,
  type Key,
  type Subtask,
} from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import type { SliceReport } from './slice-report.ts'
import { Slice } from './slice.ts'
import { MemoryExchange, MemorySink, MemorySource, MemoryStateStore, MemoryTopic } from './testing/index.ts'

interface Order {
  user: string
  amount: number
  paid: boolean
}
const order = (i: number): Order => ({ user: `u${i % 7}`, amount: i, paid: i % 3 !== 0 })
const input = [0, 1].map((split) => Array.from({ length: 200 }, (_, i) => order(i * 2 + split)))

const job = (test: (o: Order) => boolean = (o) => o.paid): JobDefinition => ({
  kind: 'weir.job',
  version: 1,
  name: 'sums',
  settings: { ...defaultSettings, parallelism: 2 },
  graph: {
    nodes: [
      {
        kind: 'source',
        uid: operatorUid('in'),
        descriptor: { connector: 'memory' },
        decode: null,
        timestamp: null,
        outOfOrderMs: 0,
        recordsPerSecond: null,
      },
      { kind: 'filter', uid: operatorUid('paid'), test: (v) => test(v as Order) },
      { kind: 'keyBy', uid: operatorUid('by-user'), key: (v) => (v as Order).user },
      { kind: 'reduce', uid: operatorUid('sum'), initial: 0, reduce: (a, v) => (a as number) + (v as Order).amount },
      {
        kind: 'sink',
        uid: operatorUid('sums'),
        descriptor: { connector: 'memory' },
        encodeKey: String,
        encodeValue: String,
      },
      {
        kind: 'window',
        uid: operatorUid('count'),
        window: { type: 'tumbling', sizeMs: 10_000 },
        aggregate: { initial: 0, add: (n) => (n as number) + 1 },
        aggregateName: 'count',
      },
      {
        kind: 'sink',
        uid: operatorUid('counts'),
        descriptor: { connector: 'memory' },
        encodeKey: String,
        encodeValue: String,
      },
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
})

/** What outlives every attempt: topics and objects. */
class World {
  readonly topics = new Map<string, MemoryTopic>()
  readonly objects = new Map<string, string>()
  topic(uid: string, of: number): MemoryTopic {
    const name = `${uid}-${of}`
    if (!this.topics.has(name)) this.topics.set(name, new MemoryTopic())
    return this.topics.get(name)!
  }
  output(uid: string): { key: Key | null; value: unknown }[] {
    return [0, 1].flatMap((i) => this.topic(uid, i).committed)
  }
}

/** Where it may hand out no more, its polls wait until they are interrupted. */
class WaitingSource extends MemorySource {
  waits = false
  #end: () => void = () => {}

  override poll(...of: Parameters<MemorySource['poll']>): ReturnType<MemorySource['poll']> {
    this.waits = (this.snapshot() as { at: number }).at >= this.limit
    return this.waits ? new Promise((resolve) => (this.#end = () => resolve('idle'))) : super.poll(...of)
  }

  interrupt(): void {
    this.#end()
  }
}

const running: Fleet[] = []
afterEach(async () => {
  for (const fleet of running.splice(0)) await fleet.stop()
})

/** Two slices and the coordinator's part, by hand. */
class Fleet {
  readonly slices: Slice[]
  readonly sources: MemorySource[] = []
  readonly reports: { from: number; report: SliceReport }[] = []
  #watchers: (() => void)[] = []

  constructor(world: World, n: number, plan: Plan = planJob(job()), Source: typeof MemorySource = MemorySource) {
    const exchange = new MemoryExchange()
    running.push(this)
    this.slices = [0, 1].map((i) => {
      const options = {
        jobId: jobId('sums'),
        attempt: { generation: generation(1), attempt: attempt(n) },
        subtask: subtask(i),
        plan,
        freeze: true,
      }
      return new Slice(options, {
        clock: systemClock,
        exchange,
        createSource: () => (this.sources[i] = new Source(input[i]!, i)),
        createSink: (node) => new MemorySink(world.topic(node.uid, i)),
        createContinuousSink: () => expect.unreachable(),
        openState: (stage) => Promise.resolve(new MemoryStateStore(world.objects, `slice-${i}-stage-${stage}`)),
        report: (report) => {
          this.reports.push({ from: i, report })
          for (const watch of this.#watchers) watch()
        },
        turn: () => new Promise((resolve) => setImmediate(resolve)),
      })
    })
  }

  async start(snapshots: readonly SubtaskSnapshot[] | null, limit = Number.MAX_SAFE_INTEGER): Promise<void> {
    await Promise.all(this.slices.map((s, i) => s.recover(snapshots?.[i] ?? null)))
    for (const source of this.sources) source.limit = limit
    const peers = [0, 1].map((i) => ({ subtask: subtask(i), taskManagerId: 'tm', exchangeAddress: '' }))
    await Promise.all(this.slices.map((s) => s.run(peers)))
  }

  /** Both slices' reports of a type; fails when a slice fails first. */
  both<T extends SliceReport['type']>(type: T, is: (r: Extract<SliceReport, { type: T }>) => boolean = () => true) {
    type R = Extract<SliceReport, { type: T }>
    return new Promise<R[]>((resolve, reject) => {
      const look = (): void => {
        const failure = this.reports.find(({ report }) => report.type === 'failed')?.report
        if (failure?.type === 'failed' && type !== 'failed') return reject(failure.error)
        const found = [0, 1].map(
          (i) => this.reports.find((r) => r.from === i && r.report.type === type && is(r.report as R))?.report,
        )
        if (found.every((r) => r !== undefined)) resolve(found as R[])
      }
      this.#watchers.push(look)
      look()
    })
  }

  async checkpoint(n: number, a: number): Promise<SubtaskSnapshot[]> {
    const id: CheckpointId = { generation: generation(1), attempt: attempt(a), epoch: epoch(n) }
    for (const slice of this.slices) slice.trigger(id)
    return (await this.both('ack', (r) => r.checkpoint.epoch === n)).map((r) => r.snapshot)
  }

  async commit(n: number, snapshots: readonly SubtaskSnapshot[]): Promise<void> {
    this.slices.forEach((slice, i) =>
      slice.commit(
        epoch(n),
        Object.fromEntries(Object.entries(snapshots[i]!.sinks).map(([uid, s]) => [uid, s.sequence])),
      ),
    )
    await this.both('committed', (r) => r.epoch === n)
  }

  async stop(): Promise<void> {
    await Promise.all(this.slices.map((s) => s.stop('leave')))
  }
}

/** The dumb way: every paid order once, in any order between users, in order within a user and split. */
const paid = input.flat().filter((o) => o.paid)
const expectedCount = paid.length
const expectedSum = new Map<string, number>()
for (const o of paid) expectedSum.set(o.user, (expectedSum.get(o.user) ?? 0) + o.amount)

function check(world: World): void {
  const sums = world.output('sums')
  expect(sums).toHaveLength(expectedCount)
  const last = new Map<string, number>()
  for (const { key, value } of sums) last.set(key as string, Math.max(last.get(key as string) ?? 0, value as number))
  expect([...last].sort()).toEqual([...expectedSum].sort())
  const counted = world.output('counts').map(({ value }) => (value as WindowResult<number>).value)
  expect(counted.reduce((a, b) => a + b, 0)).toBe(expectedCount)
  const windows = world.output('counts').map(({ key, value }) => `${key}@${(value as WindowResult<number>).start}`)
  expect(new Set(windows).size).toBe(windows.length)
}

test('bounded input: sums and windows come out once, with the last epoch', async () => {
  const world = new World()
  const fleet = new Fleet(world, 1)
  await fleet.start(null)
  await fleet.both('input-ended')
  expect(world.output('sums')).toEqual([])
  await fleet.commit(1, await fleet.checkpoint(1, 1))
  check(world)
})

for (const cut of [1, 17, 64, 150, 199]) {
  test(`killed after ${cut} records per split between publish and commit: recovery commits once and goes on at the cut`, async () => {
    const world = new World()
    const first = new Fleet(world, 1)
    await first.start(null, cut)
    const snapshots = await first.checkpoint(1, 1)
    for (const source of first.sources) source.limit = cut + 40 // output behind the barrier, never published
    const second = new Fleet(world, 2)
    await second.start(JSON.parse(JSON.stringify(snapshots)) as SubtaskSnapshot[])
    await second.both('input-ended')
    await second.commit(2, await second.checkpoint(2, 2))
    check(world)
  })
}

test('a barrier does not wait for a poll that waits for records', async () => {
  const world = new World()
  const fleet = new Fleet(world, 1, planJob(job()), WaitingSource)
  const sources = fleet.sources as WaitingSource[]
  await fleet.start(null, 50)
  await expect.poll(() => sources.every(({ waits }) => waits)).toBe(true)
  const cut = await fleet.checkpoint(1, 1)
  expect(cut.map(({ sources }) => sources['in'])).toEqual([{ at: 50 }, { at: 50 }])
  await fleet.commit(1, cut)
  for (const source of sources) source.limit = Number.MAX_SAFE_INTEGER
  for (const source of sources) source.interrupt()
  await fleet.both('input-ended')
  await fleet.commit(2, await fleet.checkpoint(2, 1))
  check(world)
})

test('A2: the output of an epoch that is given up is committed with the next one', async () => {
  const world = new World()
  const fleet = new Fleet(world, 1)
  await fleet.start(null, 50)
  await fleet.checkpoint(1, 1)
  for (const slice of fleet.slices) slice.giveUp({ generation: generation(1), attempt: attempt(1), epoch: epoch(1) })
  for (const source of fleet.sources) source.limit = Number.MAX_SAFE_INTEGER
  await fleet.both('input-ended')
  await fleet.commit(2, await fleet.checkpoint(2, 1))
  check(world)
})

test('a slice that has not acked an epoch that timed out says which barriers it had waited for; one that has says nothing', async () => {
  const fleet = new Fleet(new World(), 1)
  await fleet.start(null, 50)
  const checkpoint = { generation: generation(1), attempt: attempt(1), epoch: epoch(1) }
  fleet.slices[0]!.trigger(checkpoint)
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  for (const slice of fleet.slices) slice.giveUp(checkpoint, true)
  const told = (): unknown[] => fleet.reports.filter(({ report }) => report.type === 'gave-up')
  const inputs = [{ cause: 'barrier', stage: 'by-user', from: 'in', fromSubtask: 1 }]
  expect(told()).toEqual([{ from: 0, report: { type: 'gave-up', checkpoint, late: { inputs, more: 0 } } }])
  await fleet.checkpoint(2, 1)
  for (const slice of fleet.slices) slice.giveUp({ ...checkpoint, epoch: epoch(2) }, true)
  expect(told()).toHaveLength(1)
})

test('B6: sources stop at the barrier of a last epoch, and go on when it is given up', async () => {
  const world = new World()
  const fleet = new Fleet(world, 1)
  await fleet.start(null, 50)
  const last = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
  const cut = async (n: number): Promise<(number | undefined)[]> => {
    for (const slice of fleet.slices) slice.trigger(last(n), true)
    const acks = await fleet.both('ack', (r) => r.checkpoint.epoch === n)
    return acks.map(({ snapshot }) => (snapshot.sources['in'] as { at: number }).at)
  }
  const stopped = await cut(1)
  for (const source of fleet.sources) source.limit = Number.MAX_SAFE_INTEGER
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(fleet.sources.map((source) => (source.snapshot() as { at: number }).at)).toEqual(stopped)
  for (const slice of fleet.slices) slice.giveUp(last(1))
  await fleet.both('input-ended')
  expect(await cut(2)).toEqual([200, 200])
  await fleet.commit(
    2,
    (await fleet.both('ack', (r) => r.checkpoint.epoch === 2)).map((r) => r.snapshot),
  )
  check(world)
})

test('user code that throws fails the slice with the operator named, and stop still ends it', async () => {
  const fleet = new Fleet(
    new World(),
    1,
    planJob(
      job((o) => {
        if (o.amount === 42) throw new Error('no such order')
        return o.paid
      }),
    ),
  )
  await fleet.start(null)
  await expect
    .poll(() => fleet.reports.find((r) => r.report.type === 'failed')?.report)
    .toMatchObject({
      error: { code: 'OPERATOR_FAILED', kind: 'invalid', message: expect.stringContaining('paid') as string },
    })
  await fleet.stop()
})

test('a zombie attempt is fenced: it can neither prepare nor commit', async () => {
  const world = new World()
  const zombie = new Fleet(world, 1)
  await zombie.start(null, 20)
  const snapshots = await zombie.checkpoint(1, 1)
  const fresh = new Fleet(world, 2)
  await fresh.start(snapshots)
  zombie.slices[0 as Subtask]!.commit(epoch(1), { sums: 1 })
  await expect
    .poll(() => zombie.reports.some((r) => r.report.type === 'failed' && r.report.error.kind === 'fenced'))
    .toBe(true)
  await fresh.both('input-ended')
  await fresh.commit(2, await fresh.checkpoint(2, 2))
  check(world)
})
