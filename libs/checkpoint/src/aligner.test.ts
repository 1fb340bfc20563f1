import fc from 'fast-check'
import { attempt, epoch, generation, type AttemptId, type CheckpointId } from '@weir/model'
import { expect, test } from 'vitest'
import {
  alignerFor,
  lateChannels,
  stepAligner,
  type AlignerEffect,
  type AlignerEvent,
  type AlignerState,
} from './aligner.ts'

const current: AttemptId = { generation: generation(3), attempt: attempt(1) }
const cp = (n: number, of: AttemptId = current): CheckpointId => ({ ...of, epoch: epoch(n) })
const at = (channel: number, checkpoint: CheckpointId): AlignerEvent => ({ type: 'barrier', channel, checkpoint })

function run(channels: number, events: AlignerEvent[]): { effects: AlignerEffect[]; state: AlignerState } {
  let state = alignerFor(current, channels)
  const effects: AlignerEffect[] = []
  for (const event of events) {
    const step = stepAligner(state, event)
    state = step.state
    effects.push(...step.effects)
  }
  return { effects, state }
}

test('blocks each channel that has delivered its barrier, then snapshots and unblocks', () => {
  expect(run(3, [at(1, cp(7)), at(0, cp(7)), at(2, cp(7))]).effects).toEqual([
    { type: 'block', channel: 1 },
    { type: 'block', channel: 0 },
    { type: 'snapshot', checkpoint: cp(7) },
    { type: 'unblock' },
  ])
})

test('one channel needs no alignment', () => {
  expect(run(1, [at(0, cp(1))]).effects).toEqual([{ type: 'snapshot', checkpoint: cp(1) }])
})

test('A20: a barrier of another generation with the same epoch number is dropped', () => {
  const old = cp(7, { generation: generation(2), attempt: attempt(1) })
  expect(run(2, [at(0, old), at(1, cp(7))]).effects).toEqual([{ type: 'block', channel: 1 }])
})

test('a late barrier of a given-up epoch changes nothing', () => {
  const { effects, state } = run(2, [at(0, cp(7)), { type: 'give-up', checkpoint: cp(7) }, at(1, cp(7))])
  expect(effects).toEqual([{ type: 'block', channel: 0 }, { type: 'unblock' }])
  expect(state).toMatchObject({ phase: 'TIMEOUT', late: [1], settled: 7 })
})

test('ALIGNING ends in TRIGGERED, or in TIMEOUT, which knows the channels that were late; the next barrier begins anew', () => {
  const giveUp: AlignerEvent = { type: 'give-up', checkpoint: cp(7) }
  const late = (events: AlignerEvent[]) => lateChannels(run(3, events).state, cp(7))
  expect(run(3, [at(1, cp(7))]).state.phase).toBe('ALIGNING')
  expect(run(3, [at(1, cp(7)), at(0, cp(7)), at(2, cp(7))]).state.phase).toBe('TRIGGERED')
  expect(late([at(1, cp(7)), giveUp])).toEqual([0, 2])
  expect(late([giveUp])).toEqual([0, 1, 2])
  // Already on its way to the next epoch, or done with this one.
  expect(late([at(1, cp(7)), giveUp, at(1, cp(8))])).toEqual([])
  expect(late([at(0, cp(8)), giveUp])).toEqual([])
  expect(late([at(0, cp(7)), at(1, cp(7)), at(2, cp(7)), giveUp])).toEqual([])
})

test('a barrier of a newer epoch ends the alignment of an older one', () => {
  expect(run(2, [at(0, cp(7)), at(1, cp(8)), at(0, cp(8))]).effects).toEqual([
    { type: 'block', channel: 0 },
    { type: 'unblock' },
    { type: 'block', channel: 1 },
    { type: 'snapshot', checkpoint: cp(8) },
    { type: 'unblock' },
  ])
})

test('a snapshot is taken once per epoch, and exactly when every channel has delivered it', () => {
  const event = fc.record({ channel: fc.nat(2), n: fc.integer({ min: 1, max: 4 }) })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      let state = alignerFor(current, 3)
      const seen = new Map<number, Set<number>>()
      const taken: number[] = []
      for (const { channel, n } of events) {
        seen.set(n, (seen.get(n) ?? new Set()).add(channel))
        const step = stepAligner(state, at(channel, cp(n)))
        state = step.state
        for (const e of step.effects) {
          if (e.type !== 'snapshot') continue
          expect(seen.get(e.checkpoint.epoch)!.size).toBe(3)
          taken.push(e.checkpoint.epoch)
        }
      }
      expect(taken).toEqual([...new Set(taken)].sort((a, b) => a - b))
    }),
  )
})
