import { WeirError } from '@weir/model'
import { describe, expect, test } from 'vitest'
import type { PreparedHandle, SinkState } from './ports.ts'
import { beginSinkRecovery, stepSinkRecovery, type OnLost, type SinkRecoveryEvent } from './sink-recovery.ts'

const handle = (sequence: number): PreparedHandle => ({
  sequence,
  transactionalId: `id-${sequence % 2}`,
  producerId: '7',
  producerEpoch: sequence,
  firstOffsets: { 'out-0': String(sequence * 10) },
  records: 1,
  staged: { parts: [{ key: `staged-${sequence}`, bytes: 1, sha256: '' }] },
})
const restored = (...sequences: number[]): SinkState => ({
  sequence: sequences.at(-1) ?? 0,
  handles: sequences.map(handle),
})

/** Plays the events; the effects as short words. */
const play = (state: SinkState | null, ...events: SinkRecoveryEvent[]): string[] => playWith('fail', state, events)
const heal = (state: SinkState | null, ...events: SinkRecoveryEvent[]): string[] => playWith('heal', state, events)
function playWith(onLost: OnLost, state: SinkState | null, events: SinkRecoveryEvent[]): string[] {
  let step = beginSinkRecovery({ topic: 'out', group: 'g', onLost }, state)
  const words: string[] = []
  for (let i = 0; ; i++) {
    const { effect } = step
    if ('handle' in effect) words.push(`${effect.type} ${effect.handle.sequence}`)
    else if (effect.type === 'initialise-marker') words.push(`${effect.type} ${effect.sequence}`)
    else if (effect.type === 'done') words.push(...effect.proofs.map((p) => `${p.sequence} by ${p.by}`), 'done')
    else if (effect.type === 'refused') words.push(effect.error.code)
    else words.push(effect.type)
    const event = events[i]
    if (event === undefined) return words
    step = stepSinkRecovery(step.state, event)
  }
}
const ended = (ok: boolean): SinkRecoveryEvent => ({ type: 'ended', ok })
const control = (found: 'commit' | 'abort' | 'none' | 'gone'): SinkRecoveryEvent => ({
  type: 'control',
  control: found,
})
const fenced: SinkRecoveryEvent = { type: 'fenced' }
const marker = (found: number | null): SinkRecoveryEvent => ({ type: 'marker', marker: found })
const healed: SinkRecoveryEvent = { type: 'healed' }
const initialised: SinkRecoveryEvent = { type: 'marker-initialised' }

describe('recovery of a sink', () => {
  test('a first start fences the pool and makes the marker (A14)', () => {
    expect(play(null, fenced, marker(null), initialised)).toEqual([
      'fence',
      'read-marker',
      'initialise-marker 0',
      'done',
    ])
  })

  test('handles are ended in order; the fence comes behind them, always (A11)', () => {
    expect(play(restored(1, 2), ended(true), ended(true), fenced, marker(2))).toEqual([
      'end 1',
      'end 2',
      'fence',
      'read-marker',
      '1 by end-txn',
      '2 by end-txn',
      'done',
    ])
  })

  test('a refused handle that the log proves committed lets the next be ended before the fence', () => {
    expect(play(restored(1, 2), ended(false), control('commit'), ended(true), fenced, marker(2))).toEqual([
      'end 1',
      'read-control 1',
      'end 2',
      'fence',
      'read-marker',
      '1 by control-record',
      '2 by end-txn',
      'done',
    ])
  })

  test('the first refusal without that proof stops the rest (A10); the log is asked again behind the fence', () => {
    expect(play(restored(1, 2), ended(false), control('none'), fenced, marker(0), control('abort'))).toEqual([
      'end 1',
      'read-control 1',
      'fence',
      'read-marker',
      'read-control 1',
      'TRANSACTION_LOST',
    ])
  })

  test('a deleted log: only the marker proves, and only where it stands right', () => {
    const until = (found: number | null): string[] =>
      play(restored(5), ended(false), control('gone'), fenced, marker(found), control('gone')).slice(5)
    expect(until(5)).toEqual(['5 by marker', 'done'])
    expect(until(4)).toEqual(['TRANSACTION_LOST'])
    expect(until(3)).toEqual(['TRANSACTION_UNKNOWN'])
    expect(until(null)).toEqual(['TRANSACTION_UNKNOWN'])
  })

  test('a marker above the metadata stops before anything is judged', () => {
    expect(play(restored(1), ended(false), control('abort'), fenced, marker(2)).at(-1)).toBe('EPOCH_REGRESSION')
  })

  test('what is lost is healed, and so is what the fence aborted behind it, in order', () => {
    const events = [
      ended(false),
      control('abort'),
      fenced,
      marker(4),
      control('abort'),
      healed,
      control('abort'),
      healed,
    ]
    expect(heal(restored(5, 6), ...events)).toEqual([
      'end 5',
      'read-control 5',
      'fence',
      'read-marker',
      'read-control 5',
      'heal 5',
      'read-control 6',
      'heal 6',
      '5 by heal',
      '6 by heal',
      'done',
    ])
  })

  test('a heal that was committed before is not done again: the marker proves it', () => {
    const events = [ended(false), control('abort'), fenced, marker(5), control('abort'), control('abort'), healed]
    expect(heal(restored(5, 6), ...events).slice(-4)).toEqual(['heal 6', '5 by healed-before', '6 by heal', 'done'])
  })

  test('a deleted log heals by the marker alone, and only where it stands right (A14)', () => {
    const until = (found: number | null): string | undefined =>
      heal(restored(5), ended(false), control('gone'), fenced, marker(found), control('gone')).at(-1)
    expect(until(4)).toBe('heal 5')
    expect(until(3)).toBe('TRANSACTION_UNKNOWN')
    expect(until(null)).toBe('TRANSACTION_UNKNOWN')
  })

  test('what was not staged cannot be healed', () => {
    const state = restored(1)
    const bare = { ...state, handles: state.handles.map((h) => ({ ...h, staged: undefined })) }
    expect(heal(bare, ended(false), control('abort'), fenced, marker(0), control('abort')).at(-1)).toBe(
      'TRANSACTION_LOST',
    )
  })

  test('an event that answers no effect is a bug and says so', () => {
    const { state } = beginSinkRecovery({ topic: 'out', group: 'g', onLost: 'heal' }, restored(1))
    expect(() => stepSinkRecovery(state, fenced)).toThrow('fenced while ending')
    expect(() => stepSinkRecovery(state, fenced)).not.toThrow(WeirError)
  })
})
