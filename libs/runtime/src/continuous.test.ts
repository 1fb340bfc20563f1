/** The continuous scope in a slice: attempts that end anywhere, and one outside count of what was committed. */
import {
  encodeMark,
  type ContinuousSink,
  type GraphNode,
  type JobDefinition,
  type JobSettings,
  type LogSourceState,
  type SourceReader,
  type SourceState,
} from '@weir/dataflow'
import { SeededRandom } from '@weir/model/testing'
import { WeirError, generation, jobId, operatorUid, type AsideRecord } from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import { startContinuous } from './continuous.ts'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(stopAll)

/** Two sinks behind one source: a running concatenation, and windows of the input. */
const job = (middle: GraphNode, settings: Partial<JobSettings> = {}) => {
  const nodes = [node.source(2), middle, node.keyedBySource(), node.concat('log'), node.sink('logs')]
  const windows = [node.count('per-10', 10), node.sink('counts')]
  const one = chainOf(nodes, { commit: { scope: 'continuous', intervalMs: 20 }, ...settings })
  const at = nodes.length
  return {
    ...one,
    graph: {
      nodes: [...nodes, ...windows],
      edges: [...one.graph.edges, [2, at], [at, at + 1]] as [number, number][],
    },
  }
}
const plain = job({ kind: 'filter', uid: operatorUid('all'), test: () => true })
/** Some records cannot be processed and go to a topic of dead letters. */
const withDeadLetters = job(
  {
    kind: 'map',
    uid: operatorUid('some'),
    map: (v) => {
      if (String(v).endsWith('7')) throw new Error('no sevens')
      return v
    },
  },
  { deadLetters: { connector: 'kafka', topic: 'dead' } },
)
const random = new SeededRandom(7)
const splits = [0, 1, 2].map((split) =>
  records(
    ...Array.from({ length: 60 }, (_, i): [string, number] => {
      const ts = i * 4 + Math.floor(random.next() * 9)
      return [`${'abc'[Math.floor(random.next() * 3)]}${split}.${i}`, ts]
    }),
  ),
)
/** Outputs by sink and split: their order inside one is what a reader of a partition sees. */
function outputs(world: World): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { sink, key, value } of world.broker.outputs) {
    const text = sink === 'aside' ? String((value as AsideRecord).partition) : JSON.stringify([key, value])
    const split = sink === 'logs' ? /\d+(?=\.\d+ "\]$)/.exec(text)![0] : ''
    const name = `${sink}/${split}`
    found.set(name, [...(found.get(name) ?? []), text])
  }
  // Results of windows and dead letters do not carry their split: they are compared as a whole.
  for (const [name, of] of found) if (!name.startsWith('logs')) found.set(name, of.sort())
  return found
}

async function undisturbed(definition: JobDefinition): Promise<Map<string, string[]>> {
  const world = new World()
  const one = world.start(definition, new MemoryLogSource(splits, 100))
  await one.run()
  await one.until('input-ended')
  await one.checkpoint(1)
  return outputs(world)
}
const expected = await undisturbed(plain)
const expectedWithDeadLetters = await undisturbed(withDeadLetters)

test('the undisturbed run has everything', () => {
  expect(['logs/0', 'logs/1', 'logs/2'].map((name) => expected.get(name)!.length)).toEqual([60, 60, 60])
  expect(expected.get('counts/')!.length).toBeGreaterThan(50)
  expect(expectedWithDeadLetters.get('aside/')!).toHaveLength(18)
})

// Every attempt ends at another place: before and behind the first checkpoint, between checkpoint and commit, with a
// transaction on its way, at the end of the input. Batches differ, so a replay never meets the batches of the run before.
test.each([
  ['outputs', plain, expected, [1, 2, 3, 4, 5]],
  ['outputs and dead letters', withDeadLetters, expectedWithDeadLetters, [6, 7, 8]],
] as const)('%s exactly once over attempts that end anywhere', async (_, definition, undisturbedOutputs, seeds) => {
  for (const seed of seeds) expect(await disturbed(definition, seed)).toEqual(undisturbedOutputs)
})

async function disturbed(definition: JobDefinition, seed: number): Promise<Map<string, string[]>> {
  const chance = new SeededRandom(seed)
  const world = new World()
  let snapshot: Awaited<ReturnType<ReturnType<World['start']>['checkpoint']>> | null = null
  let unknown = 0
  for (let n = 1; n <= 8; n++) {
    const source = new MemoryLogSource(splits, 1 + Math.floor(chance.next() * 9))
    source.limit = n === 8 ? 60 : Math.min(59, Math.floor((chance.next() * 0.4 + n / 8) * 60))
    const one = world.start(definition, source, n)
    // An answer that never comes: the transaction has taken effect, or has not.
    world.broker.ending = world.broker.answering = async () => {
      await systemClock.sleep(chance.next() * 4)
      if (n === 8 || chance.next() > 0.1) return
      unknown++
      throw new WeirError({ code: 'KAFKA_UNAVAILABLE', kind: 'retry' }, 'no answer')
    }
    try {
      await one.run(snapshot)
      if (n === 8) await one.until('input-ended')
      else await one.until('progress', (r) => r.recordsIn >= source.limit * 3)
      if (n === 8 || chance.next() < 0.6) snapshot = await one.checkpoint(n)
    } catch (error) {
      expect(error).toMatchObject({ code: 'KAFKA_UNAVAILABLE' })
    }
    await one.slice.stop(chance.next() < 0.3 ? 'abort' : 'leave')
  }
  if (seed === 1) expect(unknown).toBeGreaterThan(0)
  return outputs(world)
}

test('what the end of the input put out is not put out again when the end is replayed', async () => {
  const world = new World()
  const source = new MemoryLogSource(splits, 10)
  source.limit = 40
  const one = world.start(plain, source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 120)
  const snapshot = await one.checkpoint(1)
  let whole = (): void => {}
  const committed = new Promise<void>((resolve) => (whole = resolve))
  world.broker.answering = () => {
    if ([...world.broker.offsets.values()].every(({ metadata }) => metadata!.includes('"ended":true'))) whole()
    return Promise.resolve()
  }
  source.limit = 60
  await committed
  await one.slice.stop('leave')
  expect(outputs(world)).toEqual(expected)

  const two = world.start(plain, new MemoryLogSource(splits, 7), 2)
  await two.run(snapshot)
  await two.until('input-ended')
  await two.checkpoint(2)
  expect(outputs(world)).toEqual(expected)
})

test('a barrier is acknowledged when its input is committed, not earlier', async () => {
  const world = new World()
  const source = new MemoryLogSource(splits, 10)
  source.limit = 10
  const one = world.start(plain, source)
  let release = (): void => {}
  await one.run()
  const held = new Promise<void>((resolve) => (release = resolve))
  world.broker.ending = () => held
  source.limit = 20
  await one.until('progress', (r) => r.recordsIn === 60)
  let acknowledged = false
  const ack = one.checkpoint(1).then((snapshot) => {
    acknowledged = true
    return snapshot
  })
  await systemClock.sleep(50)
  expect(acknowledged).toBe(false)
  const before = world.broker.outputs.length
  release()
  const snapshot = await ack
  expect(world.broker.outputs.length).toBeGreaterThan(before)
  const { partitions } = snapshot.sources['in'] as { partitions: Record<string, { offset: string }> }
  for (const [split, { offset }] of Object.entries(partitions)) {
    expect(world.broker.offsets.get(Number(split))!.offset).toBeGreaterThanOrEqual(Number(offset))
  }
})

test('what an operator wrote before it threw inside the batch is never committed, also when the job ends', async () => {
  const world = new World()
  // The windows' cuts hand the batch on in pieces: pieces before the bad record have reached the sinks when it throws.
  const bad: GraphNode = {
    kind: 'map',
    uid: operatorUid('bad'),
    map: (v) => {
      if (v === splits[0]![30]!.value) throw new Error('bad record')
      return v
    },
  }
  const one = world.start(job(bad), new MemoryLogSource([splits[0]!], 60))
  await one.run()
  await expect(one.until('input-ended')).rejects.toMatchObject({ code: 'OPERATOR_FAILED' })
  await one.slice.stop('abort')
  expect(world.broker.outputs).toEqual([])
  expect(world.broker.offsets.get(0)!.offset).toBe(0)
})

test('behind the last barrier nothing is read: the checkpoint is at the committed offsets', async () => {
  const world = new World()
  const source = new MemoryLogSource(splits, 10)
  source.limit = 20
  const one = world.start(plain, source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 60)
  const { sources } = await one.checkpoint(1, true)
  source.limit = 60
  await one.until('progress', (r) => r.recordsIn === 60)
  await one.checkpoint(2, true) // a barrier still passes, and has nothing new
  const { partitions } = sources['in'] as { partitions: Record<string, { offset: string }> }
  expect(Object.values(partitions).map(({ offset }) => offset)).toEqual(['20', '20', '20'])
  expect([0, 1, 2].map((split) => world.broker.offsets.get(split)!.offset)).toEqual([20, 20, 20])
})

test('a pace holds for what is new, also while splits read again, which is not paced', async () => {
  const world = new World()
  const first = new MemoryLogSource(splits, 100)
  first.limit = 5
  const one = world.start(plain, first)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 15)
  await one.checkpoint(1)
  await one.slice.stop('leave')

  const [source, ...others] = plain.graph.nodes
  const never = { ...(source as Extract<GraphNode, { kind: 'source' }>), recordsPerSecond: 1e-6 }
  const paced = { ...plain, graph: { ...plain.graph, nodes: [never, ...others] } }
  const two = world.start(paced, new MemoryLogSource(splits, 100), 2)
  await two.run()
  await two.until('progress', (r) => r.recordsIn === 15)
  expect((await two.checkpoint(2)).recordsIn).toBe(15)
})

test('a job that ends commits what it has processed', async () => {
  const world = new World()
  const source = new MemoryLogSource(splits, 10)
  source.limit = 20
  const one = world.start(plain, source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 60)
  await one.slice.stop('abort')
  expect([0, 1, 2].map((split) => world.broker.offsets.get(split)!.offset)).toEqual([20, 20, 20])
  expect(world.broker.outputs.filter(({ sink }) => sink === 'logs')).toHaveLength(60)
})

test('offsets set by somebody else stop the job before anything is read', async () => {
  const world = new World()
  const source = new MemoryLogSource(splits, 10)
  source.limit = 20
  const one = world.start(plain, source)
  await one.run()
  await one.until('progress', (r) => r.recordsIn === 60)
  const snapshot = await one.checkpoint(1)
  await one.slice.stop('leave')
  const was = world.broker.offsets.get(1)!

  world.broker.offsets.set(1, { offset: 5, metadata: '' })
  await expect(world.start(plain, source, 2).run(snapshot)).rejects.toMatchObject({ code: 'COMMITTED_OFFSET_FOREIGN' })
  const start = { offset: '0', end: null }
  const metadata = encodeMark({ job: jobId('splits'), generation: generation(1), seq: 1, start, ended: false })
  world.broker.offsets.set(1, { offset: 5, metadata })
  await expect(world.start(plain, source, 3).run(snapshot)).rejects.toMatchObject({ code: 'COMMITTED_OFFSET_BEHIND' })
  world.broker.offsets.delete(1)
  await expect(world.start(plain, source, 4).run(snapshot)).rejects.toMatchObject({ code: 'COMMITTED_OFFSET_MISSING' })
  world.broker.offsets.set(1, was)
  await world.start(plain, source, 5).run(snapshot)
})

test('a subtask that had no partition tells its source that the job has begun, and of which log; the first attempt does not', async () => {
  const opened: (SourceState | null)[] = []
  const reader = {
    open: (state: SourceState | null) => Promise.resolve((opened.push(state), [])),
    snapshot: () => ({ partitions: {} }),
  } as unknown as SourceReader
  const sink = { group: 'weir.j.in', begin: () => Promise.resolve() } as unknown as ContinuousSink
  const start = (restored: LogSourceState | null) =>
    startContinuous({
      ...{ jobId: jobId('j'), generation: generation(1), topic: 't', reader, sink },
      ...{ committed: new Map(), restored, context: null },
    })
  await start(null)
  await start({ log: 'cluster/topic', partitions: {} })
  expect(opened).toEqual([null, { log: 'cluster/topic', partitions: {} }])
})
