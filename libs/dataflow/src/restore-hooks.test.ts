import { epoch } from '@weir/model'
import { expect, test } from 'vitest'
import { ConnectionHook, OffsetValidationHook, RestoreHooks, type RestoreHook } from './restore-hooks.ts'
import { placeOffset, type OffsetGap, type OffsetPolicy } from './offset-range.ts'

const context = { epoch: epoch(7), checkpointTimestamp: 1_700 }

const noting = (name: string, seen: unknown[], own?: unknown): RestoreHook<unknown> => ({
  name,
  snapshotState: () => own,
  onRestore: async (state, of) => {
    await Promise.resolve() // the next one waits for it
    seen.push([name, state, of])
  },
})

test('hooks run last-in-first-out, one after the other, each with its own state and the context', async () => {
  const seen: unknown[] = []
  const hooks = new RestoreHooks()
  hooks
    .register(noting('a', seen, 'of a'))
    .register(noting('b', seen))
    .register(noting('c', seen, 'of c'))
  const states = hooks.snapshotStates()
  expect(states).toEqual(['of a', undefined, 'of c'])
  await hooks.restore(states, context)
  expect(seen).toEqual([
    ['c', 'of c', context],
    ['b', undefined, context],
    ['a', 'of a', context],
  ])
})

test('a hook that is appended in a new build gets no state, those before it get their own', async () => {
  const seen: unknown[] = []
  const hooks = new RestoreHooks().register(noting('a', seen)).register(noting('new', seen))
  await hooks.restore(['of a'], context)
  expect(seen).toEqual([
    ['new', undefined, context],
    ['a', 'of a', context],
  ])
})

test('a hook that fails ends the restore: those that rest on it are not run', async () => {
  const seen: unknown[] = []
  const hooks = new RestoreHooks().register(noting('offsets', seen)).register({
    name: 'broken',
    onRestore: () => Promise.reject(new Error('no route')),
  })
  await expect(hooks.restore([], context)).rejects.toMatchObject({
    facts: { code: 'RESTORE_HOOK_FAILED', kind: 'restart', hook: 'broken', epoch: 7 },
  })
  expect(seen).toEqual([])
})

test('a hook that is registered after construction is refused', () => {
  const hooks = new RestoreHooks()
  hooks.seal()
  expect(() => hooks.register(noting('late', []))).toThrow(expect.objectContaining({ code: 'RESTORE_HOOK_LATE' }))
})

// ---- the built-in ones ----------------------------------------------------------------------------------------------

const world = (policy: OffsetPolicy, offsets: Record<number, bigint>, end: bigint | null = null) => {
  const done: (string | OffsetGap)[] = []
  const port = {
    positions: () => new Map(Object.entries(offsets).map(([p, offset]) => [Number(p), { offset, end }])),
    ranges: async (partitions: readonly number[]) => {
      done.push(`ranges of ${partitions.join()}`)
      return new Map(partitions.map((p) => [p, { start: 100n, end: 200n }]))
    },
    move: (gap: OffsetGap) => void done.push(gap),
  }
  const hooks = new RestoreHooks()
    .register(new OffsetValidationHook({ topic: 't', policy }, port))
    .register(new ConnectionHook(async () => void done.push('connected')))
  return { done, restored: () => hooks.restore(hooks.snapshotStates(), context) }
}

test('connections are rebuilt first, offsets are looked at last', async () => {
  const { done, restored } = world('fail', { 0: 100n, 1: 200n })
  await restored()
  expect(done).toEqual(['connected', 'ranges of 0,1'])
})

test('fail: the refusal names the gap, and no other partition is moved', async () => {
  const { done, restored } = world('fail', { 0: 150n, 1: 40n })
  await expect(restored()).rejects.toMatchObject({
    facts: {
      code: 'OFFSET_OUT_OF_RANGE',
      kind: 'invalid',
      partition: 1,
      offset: '40',
      logStart: '100',
      gapRecords: 60,
    },
  })
  expect(done).toEqual(['connected', 'ranges of 0,1'])
})

test.each([
  ['earliest', 40n, { resumedAt: '100', gapRecords: 60, skippedRecords: 60 }],
  ['latest', 40n, { resumedAt: '200', gapRecords: 60, skippedRecords: 160 }],
  ['earliest', 205n, { resumedAt: '100', gapRecords: 5, skippedRecords: 0 }],
  ['latest', 205n, { resumedAt: '200', gapRecords: 5, skippedRecords: 0 }],
] as const)('%s at %s', async (policy, offset, cost) => {
  const { done, restored } = world(policy, { 0: 150n, 3: offset })
  await restored()
  const gap = { topic: 't', partition: 3, offset: String(offset), logStart: '100', logEnd: '200', policy, epoch: 7 }
  expect(done.slice(2)).toEqual([{ ...gap, ...cost }])
})

test('bounded input: what is behind its end is not missed, and nothing is where all of it was read', async () => {
  const { done, restored } = world('latest', { 0: 40n, 1: 55n }, 55n)
  await restored()
  expect(done.slice(2)).toMatchObject([{ partition: 0, resumedAt: '200', gapRecords: 15, skippedRecords: 15 }])
  await world('fail', { 1: 55n }, 55n).restored()
})

test.each([99n, 100n, 200n, 201n])('offset %s is in a log of 100 to 200, or not', (offset) => {
  const found = {
    topic: 't',
    partition: 0,
    offset,
    end: null,
    range: { start: 100n, end: 200n },
    policy: 'latest',
    epoch: null,
  } as const
  expect(placeOffset(found) === null).toBe(offset >= 100n && offset <= 200n)
})
