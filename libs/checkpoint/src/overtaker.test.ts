import { attempt, epoch, generation, type AttemptId, type CheckpointId } from '@weir/model'
import { expect, test } from 'vitest'
import {
  overtakerFor,
  stepOvertaker,
  type OvertakerEffect,
  type OvertakerEvent,
  type OvertakerState,
} from './overtaker.ts'

const current: AttemptId = { generation: generation(3), attempt: attempt(1) }
const cp = (n: number, of: AttemptId = current): CheckpointId => ({ ...of, epoch: epoch(n) })
const arrived = (channel: number, n: number): OvertakerEvent => ({ type: 'arrived', channel, checkpoint: cp(n) })
const reached = (channel: number, n: number): OvertakerEvent => ({ type: 'reached', channel, checkpoint: cp(n) })
const due = (n: number): OvertakerEvent => ({ type: 'due', checkpoint: cp(n) })
const giveUp = (n: number): OvertakerEvent => ({ type: 'give-up', checkpoint: cp(n) })

/** What each event made, in words. */
function run(channels: number, events: readonly OvertakerEvent[]): { said: string[][]; state: OvertakerState } {
  let state = overtakerFor(current, channels)
  const said = events.map((event) => {
    const step = stepOvertaker(state, event)
    state = step.state
    return step.effects.map(word)
  })
  return { said, state }
}
function word(effect: OvertakerEffect): string {
  switch (effect.type) {
    case 'capture':
      return `capture ${effect.channel} until ${effect.until}`
    case 'block':
    case 'complete':
      return `${effect.type} ${effect.channel}`
    case 'unblock':
      return 'unblock'
    default:
      return `${effect.type} ${effect.checkpoint.epoch}`
  }
}

test('an epoch that never becomes due is aligned', () => {
  expect(run(2, [arrived(0, 7), reached(0, 7), arrived(1, 7), reached(1, 7)]).said).toEqual([
    [],
    ['block 0'],
    [],
    ['snapshot 7', 'unblock'],
  ])
})

test('a due epoch overtakes as soon as one barrier is there, and has everything when the last one arrives', () => {
  const { said, state } = run(3, [due(7), arrived(1, 7), arrived(0, 7), arrived(2, 7)])
  expect(said).toEqual([
    [],
    ['capture 0 until arrival', 'capture 1 until barrier', 'capture 2 until arrival', 'snapshot 7'],
    ['complete 0'],
    ['complete 2', 'captured 7'],
  ])
  expect(state).toMatchObject({ capturing: null, due: null, aligner: { phase: 'TIMEOUT', settled: 7 } })
})

test('what becomes due in the middle of its alignment: blocked channels are complete and flow on', () => {
  expect(run(3, [arrived(0, 7), reached(0, 7), arrived(1, 7), due(7)]).said.at(-1)).toEqual([
    'unblock',
    'capture 1 until barrier',
    'capture 2 until arrival',
    'snapshot 7',
  ])
})

test('with every barrier there, nothing is waited for', () => {
  expect(run(2, [arrived(0, 7), arrived(1, 7), due(7)]).said.at(-1)).toEqual([
    'capture 0 until barrier',
    'capture 1 until barrier',
    'snapshot 7',
    'captured 7',
  ])
})

test('an epoch is snapshotted once: becoming due afterwards, or a late barrier in its turn, changes nothing', () => {
  const aligned = run(1, [arrived(0, 7), reached(0, 7), due(7)])
  expect(aligned.said).toEqual([[], ['snapshot 7'], []])
  const overtaken = run(2, [arrived(0, 7), due(7), due(7), arrived(1, 7), reached(1, 7)])
  expect(overtaken.said.slice(2)).toEqual([[], ['complete 1', 'captured 7'], []])
})

test('given up while capturing: what was captured is not needed', () => {
  const { said, state } = run(2, [arrived(0, 7), due(7), giveUp(7), arrived(1, 7)])
  expect(said.slice(2)).toEqual([['discard 7'], []])
  expect(state.capturing).toBeNull()
})

test('given up before it is due: it never overtakes', () => {
  expect(run(2, [arrived(0, 7), giveUp(7), due(7)]).said).toEqual([[], [], []])
  expect(run(2, [due(7), giveUp(7), arrived(0, 7)]).said).toEqual([[], [], []])
})

test('a newer barrier says that the epoch being captured was given up', () => {
  expect(run(2, [arrived(0, 7), due(7), arrived(0, 8), reached(0, 8), due(8)]).said.slice(2)).toEqual([
    ['discard 7'],
    ['block 0'],
    ['unblock', 'capture 1 until arrival', 'snapshot 8'],
  ])
})

test('A20: a barrier of another generation with the same epoch number is neither taken nor captured up to', () => {
  const old = { type: 'arrived' as const, channel: 1, checkpoint: cp(7, { ...current, generation: generation(2) }) }
  expect(run(2, [due(7), old, arrived(0, 7), old]).said).toEqual([
    [],
    [],
    ['capture 0 until barrier', 'capture 1 until arrival', 'snapshot 7'],
    [],
  ])
})
