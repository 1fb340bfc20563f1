import { describe, expect, test } from 'vitest'
import {
  freeWorker,
  stepLease,
  type Holder,
  type LeaseEffect,
  type LeaseEvent,
  type LeaseSettings,
  type LeaseState,
} from './worker-lease.ts'

const settings: LeaseSettings = { workers: 4, ttlMs: 10_000, marginMs: 1_000, markAheadMs: 10_000, retryMs: 500 }
const holder: Holder = { worker: 2, leaseId: '7', revision: '40', nonce: 'n' }
const other: Holder = { ...holder, nonce: 'of before' }

function run(...events: readonly LeaseEvent[]): { phase: LeaseState['phase']; last: readonly LeaseEffect[] } {
  let state: LeaseState = { phase: 'idle' }
  let last: readonly LeaseEffect[] = []
  for (const event of events) {
    const step = stepLease(state, event, settings)
    state = step.state
    last = step.effects
  }
  return { phase: state.phase, last }
}
const listed: LeaseEvent = {
  type: 'listed',
  taken: new Set([0, 1, 3]),
  marks: new Map([[2, 5_000]]),
  draw: 0,
  now: 100,
}
const claimed: LeaseEvent = { type: 'claimed', holder, mark: { value: 5_000, revision: '30' }, reach: 20_000 }
const extended: LeaseEvent = { type: 'extended', of: holder, mark: { value: 30_000, revision: '41' } }
const held = [{ type: 'open' } as const, listed, claimed, extended]

test('the worker id that has rested longest is claimed; of unused ones one is drawn', () => {
  const marks = new Map([
    [0, 9],
    [1, 3],
    [2, 7],
  ])
  expect(freeWorker(3, new Set(), marks, 0.9)).toBe(1)
  expect(freeWorker(3, new Set([1]), marks, 0.9)).toBe(2)
  expect(freeWorker(5, new Set(), marks, 0.9)).toBe(4)
  expect(freeWorker(1, new Set([0]), marks, 0)).toBeNull()
})

test('open, list, claim, first mark, granted: from the mark + TTL, until TTL - margin behind the question', () => {
  expect(run(...held.slice(0, 1)).last).toEqual([{ type: 'list' }])
  expect(run(...held.slice(0, 2)).last).toEqual([{ type: 'claim', worker: 2 }])
  expect(run(...held.slice(0, 3)).last).toEqual([{ type: 'extend', holder, value: 30_000, over: '30' }])
  expect(run(...held)).toEqual({
    phase: 'held',
    last: [{ type: 'grant', from: 15_000, mark: 30_000, end: 9_100, askedAt: 100 }],
  })
})

test('an id that nobody ever held begins at once', () => {
  const first: LeaseEvent = { ...claimed, mark: { value: 0, revision: null } }
  expect(run({ type: 'open' }, listed, first, extended).last).toMatchObject([{ type: 'grant', from: 0 }])
})

describe('before it is held', () => {
  test.each<[string, LeaseEvent[]]>([
    ['all are taken', [{ type: 'open' }, { ...listed, taken: new Set([0, 1, 2, 3]) } as LeaseEvent]],
    ['another was first', [{ type: 'open' }, listed, { type: 'taken', now: 200 }]],
    ['etcd is silent', [{ type: 'open' }, { type: 'unanswered', what: 'list', of: null, now: 100 }]],
    ['a claim is not answered', [{ type: 'open' }, listed, { type: 'unanswered', what: 'claim', of: null, now: 200 }]],
  ])('%s: a pause, then again', (_, events) => {
    expect(run(...events)).toEqual({ phase: 'pausing', last: [] })
    expect(run(...events, { type: 'tick', now: 599, reach: 0 }).phase).toBe('pausing')
    expect(run(...events, { type: 'tick', now: 700, reach: 0 }).last).toEqual([{ type: 'list' }])
  })

  test('what a holder of before had asked, and nobody answered, ends neither the list nor the claim that are under way', () => {
    const late: LeaseEvent = { type: 'unanswered', what: 'renew', of: other, now: 150 }
    expect(run({ type: 'open' }, late)).toEqual({ phase: 'choosing', last: [] })
    expect(run({ type: 'open' }, listed, late)).toEqual({ phase: 'claiming', last: [] })
  })

  test('a claim that is answered when it was given back already is given back', () => {
    expect(run({ type: 'open' }, listed, { type: 'release' }, claimed).last).toEqual([{ type: 'give-back', holder }])
  })

  test('a first mark without an answer is written again over what is there', () => {
    const silent: LeaseEvent = { type: 'unanswered', what: 'extend', of: holder, now: 2_100 }
    expect(run(...held.slice(0, 3), silent, { type: 'tick', now: 2_200, reach: 22_000 }).last).toEqual([
      { type: 'extend', holder, value: 32_000, over: '30' },
    ])
    const moved: LeaseEvent = { type: 'moved', of: holder, mark: { value: 30_000, revision: '41' }, reach: 22_000 }
    expect(run(...held.slice(0, 3), silent, { type: 'tick', now: 2_200, reach: 22_000 }, moved).last).toEqual([
      { type: 'extend', holder, value: 32_000, over: '41' },
    ])
  })
})

describe('while it is held', () => {
  test('it is renewed and its mark raised before they are reached, one question of each kind at a time', () => {
    expect(run(...held, { type: 'tick', now: 2_000, reach: 22_000 }).last).toEqual([])
    const tick: LeaseEvent = { type: 'tick', now: 2_400, reach: 22_600 }
    expect(run(...held, tick).last).toEqual([
      { type: 'renew', holder },
      { type: 'extend', holder, value: 32_600, over: '41' },
    ])
    expect(run(...held, tick, { ...tick, now: 2_900 }).last).toEqual([])
    expect(run(...held, tick, { type: 'renewed', of: holder, askedAt: 2_400 }).last).toEqual([
      { type: 'renewed', end: 11_400, askedAt: 2_400 },
    ])
    expect(run(...held, tick, { ...extended, mark: { value: 32_600, revision: '42' } } as LeaseEvent).last).toEqual([
      { type: 'marked', mark: 32_600 },
    ])
  })

  test('a mark never falls, also when the fleet has gone back', () => {
    const moved: LeaseEvent = { type: 'moved', of: holder, mark: { value: 50_000, revision: '43' }, reach: 1_000 }
    expect(run(...held, moved).last).toEqual([{ type: 'extend', holder, value: 50_000, over: '43' }])
  })

  test('what comes about a holder of before changes nothing', () => {
    for (const event of [
      { type: 'gone', of: other, now: 200 },
      { type: 'renewed', of: other, askedAt: 9_000 },
      { type: 'extended', of: other, mark: { value: 90_000, revision: '99' } },
    ] satisfies LeaseEvent[]) {
      expect(run(...held, event)).toEqual({ phase: 'held', last: [] })
    }
  })

  test('over by our clock, or by etcd: nothing more is given out, and another id is asked for', () => {
    expect(run(...held, { type: 'tick', now: 9_100, reach: 29_000 })).toEqual({
      phase: 'pausing',
      last: [{ type: 'lose' }, { type: 'give-back', holder }],
    })
    expect(run(...held, { type: 'gone', of: holder, now: 200 })).toEqual({ phase: 'pausing', last: [{ type: 'lose' }] })
  })

  test('in doubt it is renewed at once, whatever is on its way', () => {
    const tick: LeaseEvent = { type: 'tick', now: 2_400, reach: 22_000 }
    expect(run(...held, tick, { type: 'doubt', now: 2_500 }).last).toEqual([{ type: 'renew', holder }])
  })

  test('given back', () => {
    expect(run(...held, { type: 'release' })).toEqual({
      phase: 'released',
      last: [{ type: 'lose' }, { type: 'give-back', holder }],
    })
  })
})
