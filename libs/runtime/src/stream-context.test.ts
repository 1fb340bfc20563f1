/** A slice driven through its StreamContext: what operators are told, what is stored, what a stop leaves. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ObjectStore, StoredObject, SubtaskSnapshot } from '@weir/checkpoint'
import type { ExecuteContext, ResumableOperator, SnapshotContext } from '@weir/dataflow'
import { PatientUpload } from '@weir/metadata'
import { EVERY_SPLIT, epoch } from '@weir/model'
import { systemClock } from './system/index.ts'
import { openStateStore } from '@weir/state'
import { afterAll, afterEach, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

const root = await mkdtemp(join(tmpdir(), 'weir-context-'))
afterAll(() => rm(root, { recursive: true, force: true }))
afterEach(stopAll)

/** Numbers the records of the subtask. */
class Numbering implements ResumableOperator<string, string, number> {
  readonly told: unknown[] = []
  #n = 0
  prepare(): void {
    this.told.push('prepare')
  }
  execute(value: string, context: ExecuteContext<string>): void {
    if (this.told.at(-1) !== 'execute') this.told.push('execute')
    context.emit(`${value}#${++this.#n}`)
  }
  snapshotState(context: SnapshotContext): number[] {
    this.told.push(context)
    return [this.#n]
  }
  restoreState([n = 0]: readonly number[], context: unknown): void {
    this.told.push(context)
    this.#n = n
  }
  close(): void {
    this.told.push('close')
  }
}

const letters = [records(...[...'abcdefghij'].map((letter, i): [string, number] => [letter, i]))]

/** One attempt that reads up to `limit` and answers its operator. */
async function started(world: World, n: number, limit: number, snapshot: SubtaskSnapshot | null = null) {
  const operator = new Numbering()
  const job = chainOf([node.source(0), node.resumable('number', () => operator), node.sink('out')])
  const source = new MemoryLogSource(letters, 3)
  source.limit = limit
  const run = world.start(job, source, n)
  const readTo = async (to: number): Promise<void> => {
    source.limit = to
    await run.until('progress', (r) => r.recordsIn === to)
  }
  await run.run(snapshot)
  await readTo(limit)
  return { ...run, operator, readTo, context: run.slice.context }
}
const word = ({ context }: Awaited<ReturnType<typeof started>>): string =>
  `${context.state.lifecycle} ${context.state.snapshot}`

test('an attempt that is killed: the next one goes on from the state of the barrier, exactly once', async () => {
  const world = new World()
  const one = await started(world, 1, 4)
  const snapshot = await one.checkpoint(1)
  await one.commit(1)
  await one.readTo(7) // lost with the attempt
  await one.slice.stop('leave')

  const two = await started(world, 2, 10, snapshot)
  const [checkpointTimestamp] = one.operator.told.flatMap((t) => (t as Partial<SnapshotContext>).timestamp ?? [])
  expect(two.operator.told.slice(0, 3)).toEqual(['prepare', { epoch: 1, checkpointTimestamp }, 'execute'])
  await two.checkpoint(2)
  await two.commit(2)
  const numbered = [...'abcdefghij'].map((letter, i) => `${letter}#${i + 1}`)
  expect(world.topic('out').committed.map(({ value }) => value)).toEqual(numbered)
})

test('operators are told the whole name of the checkpoint and when its barrier came', async () => {
  const one = await started(new World(), 1, 4)
  const before = systemClock.now()
  const { checkpoint } = await one.checkpoint(1)
  const told = one.operator.told.at(-1) as SnapshotContext
  expect(told).toMatchObject({ checkpoint: { generation: 1, attempt: 1, epoch: 1 }, final: false })
  expect(told.timestamp).toBeGreaterThanOrEqual(before)
  expect(told.timestamp).toBeLessThanOrEqual(systemClock.now())
  expect(checkpoint).toEqual({ epoch: 1, timestamp: told.timestamp })
})

test('the slice goes through the table of the lifecycle', async () => {
  const world = new World()
  const job = chainOf([node.source(0), node.sink('out')])
  expect(world.start(job, new MemoryLogSource(letters, 3)).slice.context.state).toMatchObject({
    lifecycle: 'CREATED',
    snapshot: 'NOT_STARTED',
  })
  const one = await started(world, 1, 4)
  const seen = [word(one)]
  await one.checkpoint(1)
  seen.push(word(one))
  one.slice.giveUp((one.operator.told.at(-1) as SnapshotContext).checkpoint!)
  seen.push(word(one))
  await one.checkpoint(2)
  seen.push(word(one))
  await one.commit(2)
  seen.push(word(one))
  await one.slice.stop('leave')
  seen.push(word(one))
  expect(seen).toEqual([
    'RUNNING NOT_STARTED',
    'RUNNING IN_PROGRESS',
    'RUNNING NOT_STARTED',
    'RUNNING IN_PROGRESS',
    'RUNNING COMMITTED',
    'CLOSING FINALIZED',
  ])
})

test('a stop takes the final snapshot of what is ahead of the last barrier, then closes', async () => {
  const ahead = await started(new World(), 1, 4)
  await ahead.checkpoint(1)
  await ahead.commit(1)
  await ahead.readTo(7)
  await ahead.slice.stop('abort')
  expect(ahead.operator.told.slice(-2)).toEqual([
    { checkpoint: null, timestamp: expect.any(Number), final: true },
    'close',
  ])
  expect(ahead.context.final).toMatchObject({ ahead: ['number'], states: new Map([['number', [7]]]) })
  const report = await ahead.until('finalized')
  expect(report).toEqual({ type: 'finalized', committed: 1, ahead: ['number'] })
  expect(ahead.context.state).toMatchObject({ committed: { checkpoint: { epoch: 1 } }, undecided: null })

  const clean = await started(new World(), 1, 4)
  await clean.checkpoint(1, true)
  await clean.commit(1)
  await clean.slice.stop('abort')
  expect(clean.operator.told.at(-1)).toBe('close')
  expect(clean.context.final).toMatchObject({ ahead: [], states: new Map() })
})

/** What is uploaded, in bytes. */
class Uploads implements ObjectStore {
  readonly #stored = new Map<string, StoredObject>()
  bytes = 0
  async put(key: string, bytes: Uint8Array) {
    this.bytes += bytes.length
    this.#stored.set(key, { bytes: Uint8Array.from(bytes), etag: '' })
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
}

let serial = 0
/** State in LevelDB and real segments. */
function stored(): { world: World; uploads: Uploads } {
  const uploads = new Uploads()
  const world = new World()
  world.openState = (stage) =>
    openStateStore(
      {
        ...{ dir: join(root, `${serial++}`), keyGroups: EVERY_SPLIT, maxParallelism: 128, hotEntriesMax: 100 },
        ...{ writer: '0/1', chainLengthMax: 8, chainRatioMax: 100, freeze: true },
      },
      {
        objects: uploads,
        upload: (key) =>
          new PatientUpload(uploads, key, {
            clock: systemClock,
            signal: new AbortController().signal,
            budgetMs: 1_000,
          }),
        segmentKey: (checkpoint, kind) => `${checkpoint.attempt}-${checkpoint.epoch}-${stage}-${kind}`,
      },
    )
  return { world, uploads }
}

test('a checkpoint without a change uploads 0 bytes of state and names the segments of the one before', async () => {
  const { world, uploads } = stored()
  const one = await started(world, 1, 4)
  const first = await one.checkpoint(1)
  await one.commit(1)
  expect(uploads.bytes).toBeGreaterThan(0)

  uploads.bytes = 0
  const second = await one.checkpoint(2)
  await one.commit(2)
  expect([uploads.bytes, second.segments]).toEqual([0, first.segments])
  expect(one.context.dirty).toEqual(new Set())

  await one.readTo(5)
  expect(one.context.dirty).toEqual(new Set(['number']))
  const third = await one.checkpoint(3)
  await one.commit(3)
  expect(uploads.bytes).toBeGreaterThan(0)
  await one.slice.stop('leave')

  // And a restored operator is as clean as one that had no record.
  uploads.bytes = 0
  const two = await started(world, 2, 5, third)
  const fourth = await two.checkpoint(4)
  expect([uploads.bytes, fourth.segments]).toEqual([0, third.segments])
  expect(fourth.checkpoint!.epoch).toBe(epoch(4))
})

test('state by key marks its operators too', async () => {
  const { world, uploads } = stored()
  const job = chainOf([
    node.source(0),
    node.keyedBySource(),
    node.concat('log'),
    node.count('per-5', 5),
    node.sink('out'),
  ])
  const source = new MemoryLogSource(letters, 1)
  source.limit = 0
  const one = world.start(job, source)
  await one.run()
  const dirtyAt = async (limit: number): Promise<string[]> => {
    source.limit = limit
    await one.until('progress', (r) => r.recordsIn === limit)
    return [...one.slice.context.dirty].toSorted()
  }
  expect(await dirtyAt(0)).toEqual([])
  expect(await dirtyAt(2)).toEqual(['log', 'per-5'])
  await one.checkpoint(1)
  await one.commit(1)
  expect(one.slice.context.dirty).toEqual(new Set())
  const before = uploads.bytes
  await one.checkpoint(2)
  expect(uploads.bytes).toBe(before)
  expect(await dirtyAt(3)).toEqual(['log', 'per-5'])
})
