import { attempt, epoch, generation, type CheckpointId } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  continuousCommit,
  laneOf,
  stepContinuousCommit,
  type ContinuousCommitEffect,
  type ContinuousCommitEvent,
  type ContinuousCommitState,
} from './continuous-commit.ts'

const cp = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
const wrote: ContinuousCommitEvent = { type: 'wrote' }
const failed: ContinuousCommitEvent = { type: 'failed' }
const advanced = (now: number): ContinuousCommitEvent => ({ type: 'advanced', now })
const woken = (now: number): ContinuousCommitEvent => ({ type: 'woken', now })
const ended = (now: number): ContinuousCommitEvent => ({ type: 'ended', now })
const drain = (now: number): ContinuousCommitEvent => ({ type: 'drain', now })
const barrier = (n: number, now: number): ContinuousCommitEvent => ({ type: 'barrier', checkpoint: cp(n), now })

const shown = (effect: ContinuousCommitEffect): string => {
  switch (effect.type) {
    case 'wake':
      return `wake in ${effect.afterMs}`
    case 'seal':
      return `seal ${effect.sequence}`
    case 'covered':
      return `covered ${effect.checkpoint.epoch}`
    case 'drained':
      return effect.whole ? 'drained' : 'drained, torn'
  }
}

/** Event by event, what each leads to. */
function tell(events: readonly ContinuousCommitEvent[], from = continuousCommit(100, 0)): string[][] {
  let state = from
  return events.map((event) => {
    const step = stepContinuousCommit(state, event)
    state = step.state
    return step.effects.map(shown)
  })
}

test('the first record is committed at once, the next ones an interval after it', () => {
  expect(
    tell([wrote, advanced(1_000), ended(1_005), wrote, advanced(1_010), wrote, advanced(1_020), woken(1_100)]),
  ).toEqual([
    [],
    ['seal 1'],
    [],
    [],
    ['wake in 90'],
    [],
    [], // one wake-up is enough
    ['seal 2'],
  ])
})

test('a late seal does not make the later ones late; one an interval behind begins anew', () => {
  const late = [advanced(0), ended(5), advanced(30), woken(112), ended(115), advanced(120), woken(200)]
  expect(tell(late).flat()).toEqual(['seal 1', 'wake in 70', 'seal 2', 'wake in 80', 'seal 3'])
  const stalled = [advanced(0), ended(5), advanced(30), woken(205), ended(210), advanced(220)]
  expect(tell(stalled).flat()).toEqual(['seal 1', 'wake in 70', 'seal 2', 'wake in 85'])
})

test('input without output is committed too: the offsets move', () => {
  expect(tell([advanced(0), ended(5)])).toEqual([['seal 1'], []])
})

test('n + 1 is written while n ends, and ends only behind it', () => {
  expect(tell([advanced(0), wrote, advanced(50), advanced(150), woken(160), ended(300), ended(310)])).toEqual([
    ['seal 1'],
    [],
    [],
    [], // due since 100, but 1 has not ended
    [],
    ['seal 2'],
    [],
  ])
  expect([1, 2, 3].map(laneOf)).toEqual([1, 0, 1])
})

test('a torn transaction is not sealed, whoever asks', () => {
  // An operator threw in the middle of a batch: outputs are there whose offset never comes.
  expect(tell([advanced(0), ended(1), advanced(2), wrote, woken(500), barrier(1, 501), drain(502)])).toEqual([
    ['seal 1'],
    [],
    ['wake in 98'],
    [],
    [],
    [],
    ['drained, torn'],
  ])
})

test('a barrier is covered by the end of the transaction that holds its input', () => {
  expect(tell([advanced(0), ended(5), wrote, advanced(10), barrier(1, 11), ended(15)])).toEqual([
    ['seal 1'],
    [],
    [],
    ['wake in 90'],
    ['seal 2'], // a checkpoint does not wait for the interval
    ['covered 1'],
  ])
})

test('a barrier behind a transaction on its way waits for the next one; without new input it needs only that one', () => {
  expect(tell([advanced(0), advanced(3), barrier(1, 4), ended(5), ended(9)])).toEqual([
    ['seal 1'],
    [],
    [],
    ['seal 2'],
    ['covered 1'],
  ])
  expect(tell([advanced(0), barrier(1, 4), ended(5)])).toEqual([['seal 1'], [], ['covered 1']])
  expect(tell([barrier(1, 4)])).toEqual([['covered 1']])
})

test('draining commits what is whole at once and is over when nothing is on its way', () => {
  expect(tell([advanced(0), advanced(3), drain(4), ended(5), ended(9)])).toEqual([
    ['seal 1'],
    [],
    [],
    ['seal 2'],
    ['drained'],
  ])
  expect(tell([drain(4)])).toEqual([['drained']])
})

test('refused or unknown: nothing is sealed, covered or drained whole any more', () => {
  expect(tell([advanced(0), advanced(3), barrier(1, 4), failed, advanced(500), woken(600), drain(700)])).toEqual([
    ['seal 1'],
    [],
    [],
    [],
    [],
    [],
    ['drained, torn'],
  ])
})

test('after a recovery the numbers go on', () => {
  expect(tell([advanced(0), ended(1)], continuousCommit(20, 41))).toEqual([['seal 42'], []])
})

test('any history: in order, one at a time, only whole, and a barrier is never covered early', () => {
  const event = fc.constantFrom('wrote', 'advanced', 'woken', 'barrier', 'ended', 'failed')
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 60 }),
      fc.array(fc.nat(60), { minLength: 60, maxLength: 60 }),
      (names, steps) => {
        let state: ContinuousCommitState = continuousCommit(100, 0)
        let now = 0
        // The model: positions read so far, and what each transaction reaches.
        let read = 0
        let known = 0
        let broken = false
        const reach = new Map<number, number>()
        const at = new Map<number, number>()
        let committed = 0
        let last = 0
        let epochs = 0
        for (const [i, name] of names.entries()) {
          now += steps[i]!
          if (name === 'ended' && state.ending === null) continue
          if (name === 'barrier' && state.open === 'torn') continue // barriers come between batches
          if (name === 'ended' && !broken) committed = reach.get(state.ending!)!
          if (name === 'wrote') read++
          if (name === 'advanced') known = ++read
          if (name === 'barrier') at.set(++epochs, known)
          if (name === 'failed') broken = true
          const step = stepContinuousCommit(state, { type: name, now, checkpoint: cp(epochs) } as ContinuousCommitEvent)
          for (const effect of step.effects) {
            expect(broken).toBe(false)
            if (effect.type === 'seal') {
              expect(effect.sequence).toBe(++last)
              expect([...reach.keys()].filter((n) => reach.get(n)! > committed)).toEqual([])
              expect(read).toBe(known)
              reach.set(effect.sequence, known)
            } else if (effect.type === 'covered') {
              expect(at.get(effect.checkpoint.epoch)).toBeLessThanOrEqual(committed)
            }
          }
          state = step.state
        }
      },
    ),
  )
})
