import {
  WATERMARK_MAX,
  epoch,
  generation,
  attempt,
  keyGroupRange,
  operatorUid,
  subtask,
  type Key,
  type RecordBatch,
} from '@weir/model'
import { expect, test } from 'vitest'
import { MemoryKeyedState } from '../memory-state.ts'
import type { KeyedState } from '../ports.ts'
import type { ExecuteContext, ResumableOperator, SnapshotContext } from '../resumable.ts'
import { RestoreHooks } from '../restore-hooks.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'
import { RESUMABLE_BATCH_RECORDS_MAX, Resumable, operatorGroups } from './resumable.ts'

/** State by group, as in a store; counts what is written. */
class Cells {
  readonly tables = new Map<string, MemoryKeyedState<unknown>>()
  writes: string[] = []
  keyed<V>(_uid: string, name: string, split?: number): KeyedState<V> {
    const id = `${name}/${split}`
    let state = this.tables.get(id)
    if (state === undefined) {
      state = new MemoryKeyedState<unknown>()
      const [put, del] = [state.put.bind(state), state.delete.bind(state)]
      state.put = (key: Key, value: unknown) => {
        this.writes.push(`put ${id} ${key}`)
        put(key, value)
      }
      state.delete = (key: Key) => {
        this.writes.push(`delete ${id} ${key}`)
        del(key)
      }
      this.tables.set(id, state)
    }
    return state as unknown as KeyedState<V>
  }
}

interface Pair {
  readonly user: string
  n: number
}

/** Numbers the records of each user. */
class Numbering implements ResumableOperator<string, string, Pair> {
  readonly seen: unknown[] = []
  counts = new Map<string, Pair>()
  prepare(): void {
    this.seen.push('prepare')
  }
  execute(user: string, context: ExecuteContext<string>): void {
    if (user === 'bad') throw new Error('no such user')
    const pair = this.counts.get(user) ?? { user, n: 0 }
    pair.n++ // in place: what was returned at a barrier must not see it
    this.counts.set(user, pair)
    context.emit(`${user} ${pair.n}`)
  }
  snapshotState(context: SnapshotContext): Pair[] {
    this.seen.push(['snapshotState', context])
    return [...this.counts.values()]
  }
  restoreState(states: readonly Pair[], context: unknown): void {
    this.seen.push(['restoreState', states.length, context])
    for (const pair of states) this.counts.set(pair.user, pair)
  }
}

const at = (n: number, parallelism = 1, stage: 'keyed' | 'source' = 'source', state = new Cells()) => ({
  subtask: subtask(n),
  parallelism,
  signal: new AbortController().signal,
  state,
  groups: operatorGroups(stage, { subtask: n, parallelism, maxParallelism: 8 }),
})
const barrier = (n: number): SnapshotContext => {
  const checkpoint = { generation: generation(1), attempt: attempt(1), epoch: epoch(n) }
  return { checkpoint, timestamp: n * 1_000, final: false }
}
const restored = { epoch: epoch(3), checkpointTimestamp: 3_000 }
type Any = ResumableOperator<unknown, unknown, unknown>
const make = (operator: unknown, place: ReturnType<typeof at>): Resumable => {
  const resumable = new Resumable({ kind: 'resumable', uid, create: () => operator as Any }, place)
  resumable.open(contextOf())
  return resumable
}
const feed = (resumable: Resumable, ...users: string[]): (string | readonly unknown[])[] => {
  const out = new Catch()
  resumable.onBatch(batchOf(...users.map((user, i) => [null, user, i] as const)), out)
  return out.seen
}

test('prepare, then state and the context, then the first record; a fresh start restores nothing', async () => {
  const fresh = new Numbering()
  await make(fresh, at(0)).restore(null)
  expect(fresh.seen).toEqual(['prepare'])

  const cells = new Cells()
  const before = make(new Numbering(), at(0, 1, 'source', cells))
  await before.restore(null)
  feed(before, 'a', 'b', 'a')
  before.snapshot(barrier(3))
  const operator = new Numbering()
  const after = make(operator, at(0, 1, 'source', cells))
  await after.restore(restored)
  expect(operator.seen).toEqual(['prepare', ['restoreState', 2, restored]])
  expect(feed(after, 'a')).toEqual([[null, 'a 3', 0]])
})

test('what is stored is a copy of the barrier: later changes in place are not in it', async () => {
  const cells = new Cells()
  const resumable = make(new Numbering(), at(0, 1, 'source', cells))
  await resumable.restore(null)
  feed(resumable, 'a')
  resumable.snapshot(barrier(1))
  feed(resumable, 'a', 'a')
  expect(cells.keyed('', 'operator', 0).get(0)).toEqual({ user: 'a', n: 1 })
})

test('a clean operator is not asked and writes nothing; a dirty one writes the pieces that changed', async () => {
  const cells = new Cells()
  const operator = new Numbering()
  const resumable = make(operator, at(0, 1, 'source', cells))
  await resumable.restore(null)
  feed(resumable, 'a', 'b', 'c')
  expect(resumable.dirty).toBe(true)
  resumable.snapshot(barrier(1))
  expect(resumable.dirty).toBe(false)
  operator.seen.length = cells.writes.length = 0
  resumable.snapshot(barrier(2))
  expect([operator.seen, cells.writes]).toEqual([[], []])
  feed(resumable, 'b')
  resumable.snapshot(barrier(3))
  expect(operator.seen).toEqual([['snapshotState', barrier(3)]])
  expect(cells.writes).toEqual(['put operator/1 0'])
})

test('a restored operator is clean, and its next list may be shorter', async () => {
  const cells = new Cells()
  const before = make(new Numbering(), at(0, 1, 'source', cells))
  await before.restore(null)
  feed(before, 'a', 'b', 'c')
  before.snapshot(barrier(1))
  cells.writes.length = 0
  const operator = new Numbering()
  const after = make(operator, at(0, 1, 'source', cells))
  await after.restore(restored)
  after.snapshot(barrier(2))
  expect(cells.writes).toEqual([])
  operator.counts.delete('c')
  feed(after, 'a')
  after.snapshot(barrier(3))
  expect(cells.writes).toEqual(['put operator/0 0', 'delete operator/2 0'])
})

test.each(['source', 'keyed'] as const)(
  'rescale in a stage of kind %s: every piece goes to one subtask',
  async (stage) => {
    const cells = new Cells() // all that is stored, as the segments of all subtasks are
    const users = Array.from({ length: 30 }, (_, i) => `u${i}`)
    for (const n of [0, 1]) {
      const resumable = make(new Numbering(), at(n, 2, stage, cells))
      await resumable.restore(null)
      feed(resumable, ...users.filter((_, i) => i % 2 === n))
      resumable.snapshot(barrier(1))
    }
    for (const parallelism of [1, 2, 3, 4]) {
      const got = await Promise.all(
        Array.from({ length: parallelism }, async (_, n) => {
          const operator = new Numbering()
          await make(operator, at(n, parallelism, stage, cells)).restore(restored)
          return [...operator.counts.keys()]
        }),
      )
      expect(got.flat().toSorted()).toEqual(users.toSorted())
      expect(got.every((some) => some.length > 0)).toBe(true)
      if (parallelism === 2) expect(got).toEqual([0, 1].map((n) => users.filter((_, i) => i % 2 === n)))
    }
  },
)

test('groups: behind an exchange its key groups, at a source those that are dealt out as splits are', () => {
  const of = { subtask: 1, parallelism: 3, maxParallelism: 8 }
  const { from, to } = keyGroupRange(1, 3, 8)
  expect(operatorGroups('keyed', of)).toEqual([3, 4, 5].filter((g) => g >= from && g < to))
  expect(operatorGroups('source', of)).toEqual([1, 4, 7])
})

test('hooks run between prepare and restoreState, last registered first; their state stays with its subtask', async () => {
  const seen: unknown[] = []
  const made = (): Any => {
    const hook = (name: string) => ({
      name,
      snapshotState: () => `of ${name}`,
      onRestore: (state: unknown) => void seen.push([name, state]),
    })
    return {
      hooks: new RestoreHooks().register(hook('first')).register(hook('last')),
      prepare: () => void seen.push('prepare'),
      execute: () => {},
      snapshotState: () => [],
      restoreState: () => void seen.push('restoreState'),
    }
  }
  const cells = new Cells()
  const before = make(made(), at(0, 2, 'source', cells))
  await before.restore(null)
  before.snapshot(barrier(1))
  seen.length = 0
  await make(made(), at(0, 2, 'source', cells)).restore(restored)
  expect(seen).toEqual(['prepare', ['last', 'of last'], ['first', 'of first'], 'restoreState'])
  seen.length = 0
  await make(made(), at(0, 1, 'source', cells)).restore(restored)
  expect(seen).toEqual(['prepare', ['last', undefined], ['first', undefined], 'restoreState'])
})

test('a record that fails is refused with what it had emitted; its neighbours are not', async () => {
  const refused: number[] = []
  const resumable = make(new Numbering(), at(0))
  await resumable.restore(null)
  resumable.open(contextOf({ refuse: (_batch, i, error) => void refused.push(i, error.code.length) }))
  expect(feed(resumable, 'a', 'bad', 'a')).toEqual([
    [null, 'a 1', 0],
    [null, 'a 2', 2],
  ])
  expect(refused).toEqual([1, 'OPERATOR_FAILED'.length])
})

test('outputs keep the key of their record and may have a time of their own; many leave in several batches', async () => {
  const many: Any = {
    prepare: () => {},
    execute(n, context) {
      for (let i = 0; i < Number(n); i++) context.emit(`${context.key} ${i}`, context.timestamp + i)
    },
    snapshotState: () => [],
    restoreState: () => {},
  }
  const resumable = make(many, at(0))
  await resumable.restore(null)
  const out = new Catch()
  resumable.onBatch(batchOf(['k', 2, 10], ['l', RESUMABLE_BATCH_RECORDS_MAX, 20], ['m', 1, 30]), out)
  expect(out.seen.slice(0, 3)).toEqual([
    ['k', 'k 0', 10],
    ['k', 'k 1', 11],
    ['l', 'l 0', 20],
  ])
  expect(out.batches).toEqual([RESUMABLE_BATCH_RECORDS_MAX + 2, 1])
})

test('outputs carry where their record was read, numbered; those of a refused record leave no trace', async () => {
  const twice: Any = {
    prepare: () => {},
    execute(value, { emit }) {
      emit(`${String(value)} 0`)
      if (value === 'bad') throw new Error('half way')
      emit(`${String(value)} 1`)
    },
    snapshotState: () => [],
    restoreState: () => {},
  }
  const resumable = make(twice, at(0))
  await resumable.restore(null)
  resumable.open(contextOf({ refuse: () => {} }))
  const emitted: RecordBatch[] = []
  const out = { emit: (batch: RecordBatch) => void emitted.push(batch), watermark: () => {} }
  const origins = { places: [7, 7, 7], offsets: [10, 11, 12], ordinals: null }
  resumable.onBatch({ ...batchOf([null, 'a', 1], [null, 'bad', 2], [null, 'b', 3]), origins }, out)
  expect(emitted).toEqual([
    {
      keys: null,
      values: ['a 0', 'a 1', 'b 0', 'b 1'],
      timestamps: [1, 1, 3, 3],
      origins: { places: [7, 7, 7, 7], offsets: [10, 10, 12, 12], ordinals: ['0', '1', '0', '1'] },
    },
  ])
})

test('at the end of the input what is kept leaves before the last watermark, once, with the time of the last record', async () => {
  const cells = new Cells()
  const keeping = (): Any & { kept: unknown[] } => ({
    kept: [],
    prepare() {},
    execute(value) {
      this.kept.push(value)
    },
    finish(context) {
      for (const value of this.kept.splice(0)) context.emit(value)
    },
    snapshotState() {
      return this.kept
    },
    restoreState(states) {
      this.kept = [...states]
    },
  })
  const before = make(keeping(), at(0, 1, 'source', cells))
  await before.restore(null)
  feed(before, 'x', 'y')
  before.snapshot(barrier(1))
  const after = make(keeping(), at(0, 1, 'source', cells))
  await after.restore(restored)
  const out = new Catch()
  after.onWatermark(5, out)
  after.onWatermark(WATERMARK_MAX, out)
  after.onEnd()
  expect(out.seen).toEqual(['watermark 5', [null, 'x', 1], [null, 'y', 1], `watermark ${WATERMARK_MAX}`])
  after.snapshot(barrier(2))
  expect(cells.keyed('', 'operator', 0).get(0)).toBeUndefined()
})

test('the contract is checked where it can be', async () => {
  expect(thrown(() => make({ execute() {} }, at(0))).facts).toMatchObject({
    code: 'OPERATOR_CONTRACT',
    operatorUid: operatorUid('op'),
    missing: ['prepare', 'snapshotState', 'restoreState'],
  })
  const state = (answer: unknown): unknown =>
    thrown(() => make({ ...empty, snapshotState: () => answer }, at(0)).snapshot(barrier(1))).code
  const empty = { prepare() {}, execute() {}, restoreState() {} }
  expect([state('text'), state([() => {}]), state([undefined])]).toEqual(Array(3).fill('OPERATOR_STATE_INVALID'))
  const asynchronous = make({ ...empty, execute: async () => {}, snapshotState: () => [] }, at(0))
  expect(thrown(() => feed(asynchronous, 'a')).code).toBe('OPERATOR_RETURNED_PROMISE')
})

test('the context has the watermark, and the origin of the record where batches carry it', () => {
  const seen: unknown[] = []
  const operator = new Resumable(
    {
      kind: 'resumable',
      uid,
      create: () => ({
        prepare: () => {},
        execute: (value, { watermark, origin }) => void seen.push([value, watermark, origin?.id ?? null]),
        finish: ({ watermark, origin }) => void seen.push(['finish', watermark, origin]),
        snapshotState: () => [],
        restoreState: () => {},
      }),
    },
    { subtask: subtask(0), parallelism: 1, signal: new AbortController().signal, state: new Cells(), groups: [0] },
  )
  const names = () => ({ source: operatorUid('orders'), topic: 'orders', partition: 3 })
  operator.open(contextOf({ watermark: 4, origins: names }))
  const out = new Catch()
  operator.onBatch({ ...batchOf([null, 'a', 5]), origins: { places: [0], offsets: [42], ordinals: null } }, out)
  operator.onWatermark(6, out)
  operator.onBatch(batchOf([null, 'made by the job', 7]), out)
  operator.onWatermark(WATERMARK_MAX, out)
  expect(seen).toEqual([
    ['a', 4, 'orders/3/42'],
    ['made by the job', 6, null],
    ['finish', 6, null],
  ])
})
