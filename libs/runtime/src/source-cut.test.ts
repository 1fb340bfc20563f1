import { attempt, epoch, generation, type CheckpointId } from '@weir/model'
import { expect, test } from 'vitest'
import { noCut, stepSourceCut, type SourceCutEvent, type SourceCutState } from './source-cut.ts'

const cp = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
const ask = (n: number, time: number, ...watermarks: number[]): SourceCutEvent => ({
  type: 'ask',
  asked: { checkpoint: cp(n), time },
  splits: watermarks.map((watermark, split) => ({ split, watermark })),
})
const reached = (split: number): SourceCutEvent => ({ type: 'reached', split })
const run = (events: readonly SourceCutEvent[]): SourceCutState => events.reduce(stepSourceCut, noCut)

test('the cut is due when every split has come to the time; the first ones are held', () => {
  expect(run([ask(1, 100, 10, 20), reached(1)])).toMatchObject({ phase: 'waiting', held: new Set([1]) })
  expect(run([ask(1, 100, 10, 20), reached(1), reached(0)])).toMatchObject({ phase: 'cut', idle: [], passed: [] })
  expect(run([ask(1, 100, 10, 20), reached(1), reached(0), { type: 'injected' }])).toBe(noCut)
})

test('a split that is past the time is held where it stands, and named', () => {
  expect(run([ask(1, 100, 10, 100), reached(0)])).toMatchObject({ phase: 'cut', passed: [1] })
})

test('idle splits are not waited for, and named; ended ones are just not waited for', () => {
  const state = run([ask(1, 100, 10, 20, 30), reached(1), { type: 'ended', split: 2 }, { type: 'idle' }])
  expect(state).toMatchObject({ phase: 'cut', idle: [0], passed: [], held: new Set([1]) })
})

test('without a split that runs the cut is due at once', () => {
  expect(run([ask(1, 100)])).toMatchObject({ phase: 'cut' })
})

test('given up, it holds nobody any more; another epoch takes its place', () => {
  expect(run([ask(1, 100, 10), { type: 'give-up', checkpoint: cp(1) }])).toBe(noCut)
  expect(run([ask(2, 100, 10), { type: 'give-up', checkpoint: cp(1) }])).toMatchObject({ checkpoint: cp(2) })
  expect(run([ask(1, 100, 10, 20), reached(0), ask(2, 200, 99, 20)])).toMatchObject({
    ...{ checkpoint: cp(2), phase: 'waiting', held: new Set(), pending: new Set([0, 1]) },
  })
})
