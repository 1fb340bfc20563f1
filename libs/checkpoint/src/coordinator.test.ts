import fc from 'fast-check'
import { attempt, digest, epoch, generation, jobId, subtask, type CheckpointId } from '@weir/model'
import { expect, test } from 'vitest'
import { coordinatorDueMs, coordinatorFor, stepCoordinator } from './coordinator.ts'
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorOptions,
  type CoordinatorState,
} from './coordinator-state.ts'
import type { ManifestRef, SubtaskSnapshot } from './manifest.ts'
import type { PublishOutcome } from './ports.ts'

const options: CoordinatorOptions = {
  jobId: jobId('j'),
  generation: generation(2),
  parallelism: 2,
  maxParallelism: 128,
  graphHash: 'g',
  intervalMs: 1_000,
  everyRecords: 100,
  minPauseMs: 50,
  alignTimeoutMs: 5_000,
  toleratedAborts: 1,
  circuit: { failures: 2, pauseMsMax: 3_500 },
  cutBoundMs: null,
}
const cp = (n: number, a = 1): CheckpointId => ({ generation: generation(2), epoch: epoch(n), attempt: attempt(a) })
const ref = (n: number): ManifestRef => ({
  epoch: epoch(n),
  generation: generation(2),
  attempt: attempt(1),
  key: `m${n}`,
  digest: digest(`d${n}`),
  parentEpoch: epoch(n - 1),
})
const slice = (i: number, handles: number[] = [], recordsIn = 0): SubtaskSnapshot => ({
  subtask: subtask(i),
  sources: {},
  segments: [],
  sinks: { out: { sequence: handles.at(-1) ?? 0, handles: handles.map((sequence) => ({ sequence })) } },
  watermarks: {},
  recordsIn,
})
const started: CoordinatorEvent = { type: 'started', attempt: attempt(1), now: 0, wallClock: 0 }
const tick = (now: number): CoordinatorEvent => ({ type: 'tick', now, wallClock: now })
const progress = (recordsIn: number, now: number): CoordinatorEvent => ({
  type: 'progress',
  recordsIn,
  now,
  wallClock: now,
})
const ack = (n: number, i: number, handles: number[] = []): CoordinatorEvent => ({
  type: 'ack',
  checkpoint: cp(n),
  snapshot: slice(i, handles),
})
const stored = (n: number): CoordinatorEvent => ({ type: 'stored', checkpoint: cp(n), ref: ref(n) })
const answered = (n: number, outcome: PublishOutcome): CoordinatorEvent => ({
  type: 'publish-answered',
  checkpoint: cp(n),
  outcome,
  now: 1_500,
  wallClock: 1_500,
})
const published = (n: number): CoordinatorEvent =>
  answered(n, { kind: 'published', published: { manifest: ref(n), headRevision: '1', mirrorTag: 't' } })
const committed = (n: number, i: number): CoordinatorEvent => ({
  type: 'committed',
  attempt: cp(n),
  epoch: epoch(n),
  subtask: subtask(i),
  now: 1_600,
  wallClock: 1_600,
})

function run(events: CoordinatorEvent[], from: CoordinatorState = coordinatorFor(options, null)) {
  let state = from
  const effects: CoordinatorEffect[] = []
  for (const event of events) {
    const step = stepCoordinator(state, event)
    state = step.state
    effects.push(...step.effects)
  }
  return { state, effects, types: effects.map((e) => e.type) }
}
const toPublishing = [started, tick(1_000), ack(1, 0, [1]), ack(1, 1), stored(1)]

test('the first epoch of an attempt that is awaited comes as soon as something was read; those behind it by the interval', () => {
  const awaited: CoordinatorEvent = { ...started, awaited: true }
  const read = (recordsIn: number, now = 30): CoordinatorEvent => progress(recordsIn, now)
  const triggersOf = (...events: CoordinatorEvent[]): number[] => {
    let state = coordinatorFor(options, null)
    const found: number[] = []
    for (const event of events) {
      const step = stepCoordinator(state, event)
      state = step.state
      if (step.effects.some(({ type }) => type === 'trigger')) found.push('now' in event ? event.now : -1)
    }
    return found
  }
  expect(triggersOf(started, read(7), tick(40), tick(999), tick(1_000))).toEqual([1_000])
  expect(triggersOf(awaited, tick(20), read(0, 25), read(7, 30), tick(40))).toEqual([30])
  const declined: CoordinatorEvent = { type: 'declined', checkpoint: cp(1), subtask: subtask(0), reason: 'r', now: 60 }
  expect(triggersOf(awaited, read(7), declined, read(9, 70), tick(80), tick(1_060))).toEqual([30, 1_060])
})

test('an epoch goes trigger → manifest → publish → commit → final, in this order', () => {
  const { types, state } = run([...toPublishing, published(1), committed(1, 0)])
  expect(types).toEqual(['trigger', 'write-manifest', 'publish', 'published', 'commit', 'final'])
  expect(state).toMatchObject({ phase: 'idle', final: 1, published: { epoch: 1 } })
})

test('A20: what another epoch or another attempt has committed makes nothing final', () => {
  const late = committed(0, 0) // repeated by a slice that was slow
  const zombie: CoordinatorEvent = {
    ...(committed(1, 0) as object as Record<string, never>),
    attempt: cp(1, 7),
  } as never
  const { types, state } = run([...toPublishing, published(1), late, zombie])
  expect(types.at(-1)).toBe('commit')
  expect(state).toMatchObject({ phase: 'committing', final: 0 })
  expect(run([committed(1, 0)], state).types).toEqual(['final'])
})

test('the commit names only slices that prepared something, and their last sequence', () => {
  const { effects } = run([started, tick(1_000), ack(1, 0, [4, 5]), ack(1, 1), stored(1), published(1)])
  const commit = effects.find((e) => e.type === 'commit')!
  expect([...commit.upTo]).toEqual([[0, { out: 5 }]])
})

test('an epoch without output is final when it is published', () => {
  expect(run([started, tick(1_000), ack(1, 0), ack(1, 1), stored(1), published(1)]).types.slice(-2)).toEqual([
    'published',
    'final',
  ])
})

test('records trigger before the interval is over, but not before the pause', () => {
  expect(run([started, progress(100, 9), tick(49)]).types).toEqual([])
  expect(run([started, progress(100, 9), tick(50)]).types).toEqual(['trigger'])
})

test('the interval is from trigger to trigger, with the pause behind an epoch that took longer', () => {
  const final = (now: number): CoordinatorEvent[] => [
    ...[ack(1, 0, [1]), ack(1, 1), stored(1), published(1)],
    { ...(committed(1, 0) as Extract<CoordinatorEvent, { type: 'committed' }>), now },
  ]
  const triggers = (...events: CoordinatorEvent[]): number =>
    run([started, tick(1_000), ...events]).types.filter((type) => type === 'trigger').length
  expect(triggers(...final(1_600), tick(1_999))).toBe(1)
  expect(triggers(...final(1_600), tick(2_000))).toBe(2)
  expect(triggers(...final(2_500), tick(2_549))).toBe(1)
  expect(triggers(...final(2_500), tick(2_550))).toBe(2)
})

test('A2: an epoch that is given up aborts nothing; its number is not used again', () => {
  const { effects, state } = run([started, tick(1_000), ack(1, 0, [1]), tick(6_000), tick(7_000)])
  expect(effects).toMatchObject([
    { type: 'trigger', checkpoint: { epoch: 1 } },
    { type: 'give-up', reason: 'timeout', waitingFor: [1] },
    { type: 'trigger', checkpoint: { epoch: 2 } },
  ])
  expect(state.published).toBeNull()
})

test('A3: a publish without an answer is only ever repeated with the same manifest', () => {
  const unknown = answered(1, { kind: 'unknown', reason: 'timed out' })
  const { effects, state } = run([...toPublishing, unknown, tick(99_000), unknown])
  expect(effects.filter((e) => e.type === 'publish')).toEqual(
    [0, 1, 2].map((again) => expect.objectContaining({ ref: ref(1), again })),
  )
  expect(effects.some((e) => e.type === 'give-up' || e.type === 'commit')).toBe(false)
  expect(state.phase).toBe('publishing')
})

test('A4: a restart waits for the answer of a publish that was sent, and then restores it', () => {
  const waiting = run([...toPublishing, { type: 'suspend' }])
  expect(waiting.types.at(-1)).toBe('publish')
  const { effects } = run([published(1)], waiting.state)
  expect(effects).toMatchObject([{ type: 'published' }, { type: 'suspended', restore: { epoch: 1 } }])
})

test('A4: a restart drops an epoch that was not sent, and late answers change nothing', () => {
  const { effects, state } = run([started, tick(1_000), ack(1, 0), { type: 'suspend' }, ack(1, 1), stored(1)])
  expect(effects).toMatchObject([{ type: 'trigger' }, { type: 'give-up' }, { type: 'suspended', restore: null }])
  expect(state.phase).toBe('suspended')
})

test('A4: acks of another attempt are not counted', () => {
  const stale: CoordinatorEvent = { type: 'ack', checkpoint: cp(1, 9), snapshot: slice(1) }
  expect(run([started, tick(1_000), ack(1, 0), stale]).state).toMatchObject({ phase: 'collecting' })
})

test('superseded means step down and nothing else', () => {
  const { types } = run([...toPublishing, answered(1, { kind: 'superseded', reason: 'generation 3' })])
  expect(types.slice(3)).toEqual(['step-down'])
})

test('more epochs given up than tolerated end the attempt', () => {
  const { types } = run([started, tick(1_000), tick(6_000), tick(7_000), tick(12_000)])
  expect(types).toEqual(['trigger', 'give-up', 'trigger', 'give-up', 'circuit', 'attempt-failed'])
})

test('in watermark mode the trigger and the manifest name the event time, or the trigger says why there is none', () => {
  const fresh = coordinatorFor({ ...options, cutBoundMs: 500 }, null)
  const at = (i: number, low: number, now: number, high = low): CoordinatorEvent => ({
    ...{ type: 'progress', recordsIn: 0, source: { subtask: subtask(i), reach: { low, high } }, now, wallClock: now },
  })
  const cut = run([started, at(0, 100, 1), at(1, 300, 2), tick(1_000)], fresh)
  expect(cut.effects).toMatchObject([{ type: 'trigger', cut: { mode: 'watermark', time: 301 } }])
  expect(run([ack(1, 0), ack(1, 1)], cut.state).effects).toMatchObject([{ manifest: { cut: { time: 301 } } }])
  const spread = run([started, at(0, 100, 1), at(1, 900, 2), tick(1_000)], fresh)
  expect(spread.effects).toMatchObject([{ type: 'trigger', cut: { mode: 'barrier' } }])
  const [stored] = run([ack(1, 0), ack(1, 1)], spread.state).effects as unknown as [{ manifest: object }]
  expect(stored.manifest).not.toHaveProperty('cut')
  const idle = { subtask: subtask(1), reach: null }
  const without: CoordinatorEvent = { type: 'progress', recordsIn: 0, source: idle, now: 3, wallClock: 3 }
  expect(run([started, at(0, 100, 1), at(1, 900, 2), without, tick(1_000)], fresh).effects).toMatchObject([
    { cut: { mode: 'watermark', time: 101 } },
  ])
  // B2: whom nobody comes to in time is not asked for by the trial of an open circuit.
  const opened = coordinatorFor({ ...options, cutBoundMs: 500 }, null, {
    phase: 'open',
    untilMs: null,
    failures: 2,
    openings: 1,
  })
  const trial = run([started, at(0, 100, 1), tick(2_000)], opened)
  expect(trial.effects.at(-1)).toMatchObject({ type: 'trigger', cut: { mode: 'barrier' } })
  const drain: CoordinatorEvent = { type: 'drain', now: 5, wallClock: 5 }
  expect(run([started, at(0, 100, 1), drain], fresh).effects).toMatchObject([{ last: true, cut: { mode: 'barrier' } }])
})

/** Two epochs were given up, the attempt has ended for it, the head is claimed anew and attempt 2 runs. */
function afterOpening(now: number) {
  const { state } = run([started, tick(1_000), tick(6_000), tick(7_000), tick(12_000), { type: 'suspend' }])
  return run(
    [{ type: 'started', attempt: attempt(2), now, wallClock: now }],
    coordinatorFor(options, null, state.breaker),
  )
}

test('with the circuit open the next attempt tries one epoch, later than usual', () => {
  const { state, effects } = afterOpening(20_000)
  expect(effects).toMatchObject([{ type: 'circuit', breaker: { phase: 'open', untilMs: 22_000 }, pauseMs: 2_000 }])
  expect(run([progress(1_000, 21_000), tick(21_999)], state).types).toEqual([])
  const trial = run([tick(22_000)], state)
  expect(trial.effects).toMatchObject([
    { type: 'circuit', breaker: { phase: 'half-open' } },
    { type: 'trigger', checkpoint: { attempt: 2 } },
  ])
  expect(run([tick(27_000)], trial.state).effects).toMatchObject([
    { type: 'give-up', afterMs: 5_000 },
    { type: 'circuit', breaker: { phase: 'open', failures: 3 }, pauseMs: 3_500 },
    {
      type: 'attempt-failed',
      reason: '3 checkpoints in a row were given up: the circuit is open; last: timeout, no ack within 5000 ms',
    },
  ])
})

test('the circuit closes when the trial is published', () => {
  const trial = run([tick(22_000)], afterOpening(20_000).state)
  const of = { checkpoint: cp(1, 2) }
  const acks = [0, 1].map((i): CoordinatorEvent => ({ type: 'ack', ...of, snapshot: slice(i) }))
  const { types, state } = run(
    [...acks, { type: 'stored', ...of, ref: ref(1) }, { ...published(1), ...of } as CoordinatorEvent],
    trial.state,
  )
  expect(types).toEqual(['write-manifest', 'publish', 'published', 'circuit', 'final'])
  expect(state.breaker).toEqual({ phase: 'closed', failures: 0, openings: 0 })
})

test('an open circuit holds up nobody who waits for an epoch', () => {
  const at = { now: 20_001, wallClock: 0 }
  expect(run([{ type: 'ask', ...at }], afterOpening(20_000).state).types).toEqual(['circuit', 'trigger'])
  expect(run([{ type: 'drain', ...at }], afterOpening(20_000).state).types).toEqual(['circuit', 'trigger'])
})

test('an epoch that is dropped since its attempt ends is no failure', () => {
  const { state } = run([started, tick(1_000), tick(6_000), tick(7_000), { type: 'suspend' }])
  expect(state.breaker).toMatchObject({ phase: 'closed', failures: 1 })
})

test('the job is drained only by an epoch that began after the input had ended', () => {
  const ended: CoordinatorEvent = { type: 'drain', now: 1_100, wallClock: 1_100 }
  const first = run([started, tick(1_000), ended, ack(1, 0), ack(1, 1), stored(1), published(1)])
  expect(first.types).not.toContain('drained')
  expect(run([tick(1_501), ack(2, 0), ack(2, 1), stored(2), published(2)], first.state).types.at(-1)).toBe('drained')
})

const left: CoordinatorEvent = { type: 'left', subtasks: [subtask(1)], now: 1_100 }
const returned: CoordinatorEvent = { type: 'returned', now: 1_700, wallClock: 1_700 }

test('A4: slices that leave drop the epoch that was not sent; its number is not used again, and no trigger is without them', () => {
  const { types, state } = run([started, tick(1_000), ack(1, 0, [1]), left, tick(9_000), ack(1, 1), stored(1)])
  expect(types).toEqual(['trigger', 'give-up'])
  expect(state).toMatchObject({ phase: 'idle', abortsInARow: 1, breaker: { failures: 0 } })
  expect(run([returned, tick(9_001)], state).effects).toMatchObject([{ type: 'trigger', checkpoint: { epoch: 2 } }])
})

test('A4, A15: of an epoch that was sent who is there commits; it is final when who has left has proven its part', () => {
  const sent = [started, tick(1_000), ack(1, 0, [1]), ack(1, 1, [1]), stored(1), left, published(1)]
  const { state, effects } = run(sent)
  expect(effects.flatMap((e) => (e.type === 'commit' ? [...e.upTo.keys()] : []))).toEqual([0])
  expect(run([committed(1, 0), returned], state).types).toEqual(['final'])
  expect(run([returned, committed(1, 0)], state).types).toEqual(['final'])
  expect(run([committed(1, 0), tick(9_000)], state).types).toEqual([])
})

test('it is told when the next tick does something: a trigger, the end of a pause, an epoch that is given up', () => {
  const dueBehind = (...events: CoordinatorEvent[]): number | null => coordinatorDueMs(run(events).state)
  expect(dueBehind()).toBeNull()
  expect(dueBehind(started)).toBe(1_000)
  expect(dueBehind(started, progress(100, 9))).toBe(50)
  expect(dueBehind(started, tick(1_007))).toBe(6_007)
  expect(dueBehind(...toPublishing)).toBeNull()
  expect(dueBehind(...toPublishing, published(1), committed(1, 0))).toBe(2_000)
  expect(dueBehind(started, left)).toBeNull()
  expect(coordinatorDueMs(afterOpening(20_000).state)).toBe(22_000)
})

test('whatever has happened: a tick in front of that time does nothing, and one at it something', () => {
  const later = fc.integer({ min: 0, max: 2_000 })
  const step = fc.record({ later, pick: fc.nat(7) })
  const eventOf = (pick: number, now: number, { lastEpoch: e }: CoordinatorState): CoordinatorEvent =>
    [
      tick(now),
      progress(now, now),
      ack(e, 0, [e]),
      ack(e, 1),
      stored(e),
      { ...published(e), now } as CoordinatorEvent,
      { ...committed(e, 0), now } as CoordinatorEvent,
      { type: 'ask', now, wallClock: now } as const,
    ][pick]!
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let { state } = run([started])
      let now = 0
      for (const { later, pick } of steps) {
        now += later
        state = run([eventOf(pick, now, state)], state).state
        const dueMs = coordinatorDueMs(state)
        expect(run([tick((dueMs ?? 1_000_000) - 1)], state).types).toEqual([])
        if (dueMs !== null) expect(run([tick(dueMs)], state).types).not.toEqual([])
      }
    }),
  )
})

test('whatever the order of events: no commit without a publish, epochs grow, n + 1 begins after n is settled', () => {
  const n = fc.integer({ min: 1, max: 4 })
  const i = fc.nat(1)
  const event: fc.Arbitrary<CoordinatorEvent> = fc.oneof(
    fc.integer({ min: 0, max: 30_000 }).map(tick),
    fc.tuple(n, i).map(([e, s]) => ack(e, s, [e])),
    n.map(stored),
    n.map(published),
    n.map((e) => answered(e, { kind: 'unknown', reason: '' })),
    fc.tuple(n, i).map(([e, s]) => committed(e, s)),
    n.map((e): CoordinatorEvent => ({ type: 'store-failed', checkpoint: cp(e), reason: '', now: 1 })),
    fc.constant<CoordinatorEvent>({ type: 'suspend' }),
    fc.constantFrom(left, returned),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const { effects } = run([started, ...events])
      events.reduce(
        (before, event) => {
          const { state, types } = run([event], before)
          if (before.away.size > 0) expect(types).not.toContain('trigger')
          return state
        },
        run([started]).state,
      )
      let open: number | null = null
      let last = 0
      const done = new Set<number>()
      for (const e of effects) {
        if (e.type === 'trigger') {
          expect(open).toBeNull()
          expect(e.checkpoint.epoch).toBeGreaterThan(last)
          open = last = e.checkpoint.epoch
        }
        if (e.type === 'published') done.add(e.ref.epoch)
        if (e.type === 'commit') expect(done.has(e.permit.manifest.epoch)).toBe(true)
        if (e.type === 'final' || e.type === 'give-up' || e.type === 'suspended') open = null
      }
    }),
    { numRuns: 500 },
  )
})
