import { keyGroupRange, subtask } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Manifest, SinkSnapshot, SubtaskSnapshot } from './manifest.ts'
import { redistribute, sinkStateOf, type RedistributionTarget } from './redistribute.ts'

const MAX = 128
const handle = (sequence: number): SinkSnapshot['handles'][number] => ({ sequence })
const sink = (sequence: number, ...handles: number[]): SinkSnapshot => ({ sequence, handles: handles.map(handle) })
const target = (parallelism: number, highestParallelism = parallelism): RedistributionTarget => ({
  ...{ parallelism, highestParallelism, maxParallelism: MAX, sinks: ['out'], sourceStages: [0] },
})
const segment = (key: string, i: number, of: number) => ({ key, keyGroups: keyGroupRange(i, of, MAX) })
/** Subtask i of `of` reads the splits i, i + of, … of 6 and has one segment in stage 1. */
const snapshot = (i: number, of: number): SubtaskSnapshot => {
  const mine = [0, 1, 2, 3, 4, 5].filter((split) => split % of === i)
  return {
    subtask: subtask(i),
    sources: { in: { partitions: Object.fromEntries(mine.map((s) => [s, { offset: `${s}0`, end: null }])) } },
    segments: [{ stage: 1, chain: [segment(`s${i}`, i, of)] }],
    sinks: { out: sink(i + 1, i + 1) },
    watermarks: { 'stage-0': 5 + i, 'stage-1': 5, ...Object.fromEntries(mine.map((s) => [`in/${s}`, s])) },
    recordsIn: 10,
  }
}
const manifestOf = (subtasks: readonly SubtaskSnapshot[]): Manifest =>
  ({ parallelism: subtasks.length, maxParallelism: MAX, subtasks }) as unknown as Manifest
const at = (n: number): Manifest => manifestOf(Array.from({ length: n }, (_, i) => snapshot(i, n)))
type Chain = readonly { readonly stage: number; readonly chain: readonly { key: string; only?: unknown }[] }[]
const chainOf = (s: SubtaskSnapshot | null | undefined, stage = 1) =>
  (s?.segments as Chain).find((of) => of.stage === stage)?.chain ?? []

test('at the same parallelism every subtask gets its own, unchanged', () => {
  expect(redistribute(at(2), target(2))).toEqual(at(2).subtasks)
  expect(redistribute(null, target(2))).toEqual([null, null])
})

test('2 → 4: a subtask reads only segments with its key groups, each narrowed to them', () => {
  const four = redistribute(at(2), target(4))
  expect(four.map((s) => chainOf(s).map(({ key, only }) => [key, only]))).toEqual([
    [['s0', { from: 0, to: 32 }]],
    [['s0', { from: 32, to: 64 }]],
    [['s1', { from: 64, to: 96 }]],
    [['s1', { from: 96, to: 128 }]],
  ])
  expect(four.map((s) => s!.sinks)).toEqual([{ out: sink(1, 1) }, { out: sink(2, 2) }, {}, {}])
  expect(four.reduce((sum, s) => sum + s!.recordsIn, 0)).toBe(20)
  // Every reader is given the position of every split and takes its own.
  expect(Object.keys((four[3]!.sources['in'] as { partitions: object }).partitions)).toHaveLength(6)
  expect(four[0]!.watermarks).toMatchObject({ 'stage-0': 5, 'stage-1': 5, 'in/3': 3 })
})

test('B4: 4 → 2: what subtasks 2 and 3 have prepared is in the care of those that are left', () => {
  const [first, second] = redistribute(at(4), target(2, 4))
  expect(first!.retired).toEqual({ 2: { out: sink(3, 3) } })
  expect(second!.retired).toEqual({ 3: { out: sink(4, 4) } })
  expect(chainOf(second).map(({ key }) => key)).toEqual(['s2', 's3'])
})

test('B4: subtasks that never got into a published epoch are fenced too: their transactions may be open', () => {
  const [one] = redistribute(null, target(1, 3))
  expect(one!.retired).toEqual({ 1: { out: sink(0) }, 2: { out: sink(0) } })
  expect(redistribute(at(2), target(2, 3))[0]!.retired).toEqual({ 2: { out: sink(0) } })
})

test('B4: 4 → 1 → 4: a subtask that comes back goes on from its sequence', () => {
  const [one] = redistribute(at(4), target(1, 4))
  const committed = { ...one!, retired: { 1: { out: sink(2) }, 2: { out: sink(3) }, 3: { out: sink(4) } } }
  const narrow = manifestOf([committed])
  expect(sinkStateOf(narrow, 3, 'out')).toEqual(sink(4))
  // Through an attempt that changed nothing.
  expect(redistribute(narrow, target(1, 4))).toEqual([committed])
  const four = redistribute(narrow, target(4, 4))
  expect(four.map((s) => [s!.sinks['out']!.sequence, s!.retired])).toEqual([
    [1, undefined],
    [2, undefined],
    [3, undefined],
    [4, undefined],
  ])
})

test('a stage keyed by its source: a split moves with its state, and no stale copy of it', () => {
  const of = (i: number, n: number): SubtaskSnapshot => ({
    ...snapshot(i, n),
    segments: [{ stage: 0, chain: [{ key: `s${i}`, keyGroups: { from: 0, to: 2 ** 31 } }] }],
  })
  const three = redistribute(manifestOf([of(0, 2), of(1, 2)]), target(3))
  expect(chainOf(three[1], 0).map(({ key, only }) => [key, (only as { every: unknown }).every])).toEqual([
    ['s0', [[2, 0], [3, 1]]],
    ['s1', [[2, 1], [3, 1]]],
  ]) // prettier-ignore
})

test('over any history of parallelisms each key group is restored from its last owner, once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 }), (history) => {
      let subtasks: (SubtaskSnapshot | null)[] = [snapshot(0, 1)]
      /** Key group → who wrote it last. */
      let last = new Map(Array.from({ length: MAX }, (_, group) => [group, 's0']))
      for (const [step, n] of history.entries()) {
        subtasks = [...redistribute(manifestOf(subtasks.map((s) => s!)), target(n, 7))]
        const owners = new Map<number, string>()
        for (const [i, s] of subtasks.entries()) {
          const { from, to } = keyGroupRange(i, n, MAX)
          for (let group = from; group < to; group++) {
            const holders = chainOf(s).filter(({ only, ...of }) => {
              const range = (only ?? (of as unknown as { keyGroups: unknown }).keyGroups) as {
                from: number
                to: number
              }
              return group >= range.from && group < range.to
            })
            expect(holders.at(-1)!.key).toBe(last.get(group))
            owners.set(group, `d${step}-${i}`)
          }
          // Everybody changes everything: one delta more.
          const chain = [...chainOf(s), { key: `d${step}-${i}`, keyGroups: { from, to } }]
          subtasks[i] = { ...s!, segments: [{ stage: 1, chain }] }
        }
        last = owners
      }
    }),
  )
})
