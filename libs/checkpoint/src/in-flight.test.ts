import { subtask } from '@weir/model'
import { expect, test } from 'vitest'
import { inFlightFor } from './in-flight.ts'
import type { InFlightRef, Manifest, SubtaskSnapshot } from './manifest.ts'
import { redistribute } from './redistribute.ts'

const ref = (i: number, parallelism: number, hasUnsent = false): InFlightRef => ({
  ...{ key: `of-${i}`, bytes: 1, sha256: '', subtask: subtask(i), parallelism, records: 1, hasUnsent },
})
const snapshot = (i: number, inFlight?: readonly InFlightRef[]): SubtaskSnapshot => ({
  ...{ subtask: subtask(i), sources: {}, segments: [], sinks: {}, watermarks: {}, recordsIn: 0 },
  ...(inFlight && { inFlight }),
})
const of = (refs: readonly InFlightRef[]): Pick<Manifest, 'subtasks' | 'maxParallelism'> => ({
  maxParallelism: 128,
  subtasks: refs.map((r) => snapshot(r.subtask, [r])),
})
const keys = (refs: readonly InFlightRef[], i: number, parallelism: number): string[] =>
  inFlightFor(of(refs), subtask(i), parallelism).map(({ key }) => key)

test('what was received is of the keys of the slice that stored it; what was not sent is of any', () => {
  const received = [ref(0, 2), ref(1, 2)]
  expect([keys(received, 0, 2), keys(received, 1, 2)]).toEqual([['of-0'], ['of-1']])
  const unsent = [ref(0, 2), ref(1, 2, true)]
  expect([keys(unsent, 0, 2), keys(unsent, 1, 2)]).toEqual([['of-0', 'of-1'], ['of-1']])
})

test('in a job of another size each object is looked through by every owner of its keys', () => {
  // The second slice takes the asides of the second one too, if there are any.
  expect([0, 1, 2, 3].map((i) => keys([ref(0, 2), ref(1, 2)], i, 4))).toEqual([
    ['of-0'],
    ['of-0', 'of-1'],
    ['of-1'],
    ['of-1'],
  ])
  expect(keys([ref(3, 4), ref(0, 4), ref(1, 4), ref(2, 4)], 0, 1)).toEqual(['of-0', 'of-1', 'of-2', 'of-3'])
})

test('a restored slice is told of those objects instead of its own', () => {
  const manifest = { ...of([ref(0, 2), ref(1, 2, true)]), parallelism: 2 } as Manifest
  const target = { parallelism: 2, highestParallelism: 2, maxParallelism: 128, sinks: [], sourceStages: [] }
  const told = (of: Manifest) => redistribute(of, target)[0]!.inFlight?.map(({ key }) => key)
  expect(told(manifest)).toEqual(['of-0', 'of-1'])
  expect(told({ ...manifest, subtasks: [snapshot(0)] })).toBeUndefined()
})
