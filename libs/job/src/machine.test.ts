import { epoch, generation, subtask, taskManagerId, type Subtask, type TaskManagerId } from '@weir/model'
import { defaultSettings } from '@weir/dataflow'
import type { Manifest } from '@weir/checkpoint'
import { expect, test } from 'vitest'
import { MachineRun, ackOf, cp, ref, slice, snapshot, specOf } from './machine.fixture.ts'
import { jobFor } from './machine.ts'
import { EMPTY_SLOTS, freeSlots, giveBack, joined, place, take, withdrawn } from './placement.ts'
import { jobStateName, type Failure, type JobSpec, type UntimedEvent } from './state.ts'

const settings = { ...defaultSettings, parallelism: 2, restart: { attempts: 2, delayMs: 100 } }
const spec = specOf(settings)
const [A, B] = [taskManagerId('tm-a'), taskManagerId('tm-b')]

class Run extends MachineRun {
  constructor(of = spec) {
    super(of)
  }
  /** Effects since the last call, as words. */
  said(): string[] {
    const words = this.effects.map((e) => ('slice' in e && e.type === 'stop' ? `stop-${e.mode}` : e.type))
    this.effects = []
    return words
  }
}
const placed: UntimedEvent = {
  type: 'placed',
  assignment: new Map<Subtask, TaskManagerId>([
    [subtask(0), A],
    [subtask(1), B],
  ]),
}
const up = (a = 1): UntimedEvent[] => [
  placed,
  { type: 'deployed', slice: slice(0, a), exchangeAddress: 'x:0' },
  { type: 'deployed', slice: slice(1, a), exchangeAddress: 'x:1' },
  { type: 'recovered', slice: slice(0, a), proofs: [] },
  { type: 'recovered', slice: slice(1, a), proofs: [] },
]
const running = (of = spec): Run =>
  new Run(of).do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }, ...up())
const toPublish = (r: Run): Run =>
  r
    .later(10_000)
    .do(ackOf(slice(0), cp(1), snapshot(0, [1])), ackOf(slice(1), cp(1), snapshot(1, [])))
    .do({ type: 'stored', checkpoint: cp(1), ref: ref(1) })
const published: UntimedEvent = {
  type: 'publish-answered',
  checkpoint: cp(1),
  outcome: { kind: 'published', published: { manifest: ref(1), headRevision: '1', mirrorTag: 't' } },
}
const manifest = { subtasks: [snapshot(0, [1]), snapshot(1, [])] } as unknown as Manifest
const broken: Failure = { code: 'OPERATOR_FAILED', kind: 'invalid', message: 'user code threw', facts: {} }
const lost: UntimedEvent = { type: 'task-manager-lost', taskManagerId: B, reason: 'stream reset' }

test('A6: nothing is done to a job before its head is claimed', () => {
  const r = new Run().do({ type: 'begin' }, placed)
  expect(r.said()).toEqual(['claim'])
})

test('the first epoch of an attempt is triggered when a slice tells that something is read; with an interval below 1 s it is waited for', () => {
  const triggeredAfter = (intervalMs: number): string[] => {
    const of = { ...spec.plan.settings, checkpoint: { ...settings.checkpoint, intervalMs, everyRecords: null } }
    const r = running({ ...spec, plan: { ...spec.plan, settings: of } }).later(50)
    r.said()
    r.do({ type: 'progress', slice: slice(1), recordsIn: 1, recordsOut: 0, watermark: 0 })
    return r.said()
  }
  expect(triggeredAfter(1_000)).toContain('trigger')
  expect(triggeredAfter(999)).not.toContain('trigger')
})

test('a healed transaction is told and counted; the other proofs are not', () => {
  const r = new Run().do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }, ...up().slice(0, 3))
  r.said()
  const proofs = [
    { sink: 'sums', subtask: 1, sequence: 4, by: 'end-txn' },
    { sink: 'sums', subtask: 1, sequence: 5, by: 'heal' },
    { sink: 'counts', subtask: 1, sequence: 5, by: 'healed-before' },
  ]
  r.do({ type: 'recovered', slice: slice(1), proofs })
  expect(r.said()).toEqual(['healed'])
  expect(r.state.healed).toBe(1)
})

test('sources start only when every slice has recovered', () => {
  const r = new Run().do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }, ...up().slice(0, 4))
  expect(r.said()).toEqual(['claim', 'request-slots', 'deploy', 'deploy', 'recover', 'recover'])
  r.do({ type: 'recovered', slice: slice(1), proofs: [] })
  expect(r.said()).toEqual(['run', 'run'])
  expect(jobStateName(r.state)).toBe('RUNNING')
})

test('a lost task-manager restarts the job from the published epoch with a new attempt and a fresh claim', () => {
  const r = running()
  r.said()
  r.do(lost)
  expect(r.said()).toEqual(['stop-leave'])
  r.do({ type: 'stopped', slice: slice(0) })
  expect(jobStateName(r.state)).toBe('RESTARTING')
  r.later(100)
  expect(r.said()).toEqual(['release-slots', 'claim'])
  r.do({ type: 'claimed', published: null, manifest: null }, ...up(2))
  expect(r.said()).toContain('restarted')
  expect(r.state).toMatchObject({ phase: 'running', attempt: 2, restarts: 1 })
})

test('A4: a task-manager lost while a publish is on the wire waits for the answer', () => {
  const r = toPublish(running())
  r.said()
  r.do(lost).later(60_000)
  expect(r.said()).toEqual([])
  r.do(published)
  expect(r.said()).toEqual(['published', 'stop-leave'])
})

test('reports of an older attempt change nothing', () => {
  const r = running()
    .do(lost, { type: 'stopped', slice: slice(0) })
    .later(100)
    .do({ type: 'claimed', published: null, manifest: null }, ...up(2))
  r.said()
  r.do({ type: 'slice-failed', slice: slice(0, 1), failure: broken })
  expect(r.said()).toEqual([])
})

test('a cancelled job fences its pools, but not before what is published is committed', () => {
  const r = toPublish(running()).do(published, { type: 'cancel' })
  expect(r.said()).not.toContain('stop-abort')
  r.do({ type: 'committed', slice: slice(0), epoch: epoch(1) })
  expect(r.said()).toEqual(['final', 'stop-abort', 'stop-abort'])
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(r.said()).toEqual(['release-slots', 'ended'])
  expect(jobStateName(r.state)).toBe('CANCELLED')
})

test('a job that fails with a published epoch not final recovers it first, then stops without running', () => {
  const r = toPublish(running()).do(published, { type: 'slice-failed', slice: slice(1), failure: broken })
  r.said()
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) }).later(100)
  r.do({ type: 'claimed', published: ref(1), manifest }, ...up(2))
  const words = r.said()
  expect(words).not.toContain('run')
  expect(words.slice(-2)).toEqual(['stop-abort', 'stop-abort'])
  r.do({ type: 'stopped', slice: slice(0, 2) }, { type: 'stopped', slice: slice(1, 2) })
  expect(r.state).toMatchObject({ phase: 'ended', ending: { state: 'FAILED', error: { code: 'OPERATOR_FAILED' } } })
})

test('a recovery that proves a loss ends the job with the facts and touches nothing more', () => {
  const failure: Failure = { code: 'TRANSACTION_LOST', kind: 'invalid', message: 'gone', facts: { sequence: 1 } }
  const r = new Run().do({ type: 'begin' }, { type: 'claimed', published: ref(1), manifest }, ...up().slice(0, 3))
  r.said()
  r.do({ type: 'slice-failed', slice: slice(0), failure })
  expect(r.said()).toEqual(['stop-leave', 'stop-leave'])
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(r.state).toMatchObject({ phase: 'ended', ending: { state: 'FAILED', error: failure } })
})

/** `settled` of the end, and `sink subtask epoch state` of each sink subtask. */
const atTheEnd = (r: Run): [boolean, string[]] => {
  const ended = r.effects.findLast((e) => e.type === 'ended')
  expect(ended).toBeDefined()
  return [ended!.settled, r.state.outcomes.map((o) => `${o.sink} ${o.subtask} ${o.epoch} ${o.state}`)]
}

test('what a recovery proves is known per sink subtask; what it left open waits for a verdict after the end', () => {
  const [transactionalId, message] = ['weir.j.out.0.1', 'gone']
  const failure: Failure = {
    code: 'TRANSACTION_LOST',
    kind: 'invalid',
    message,
    facts: { sequence: 1, transactionalId },
  }
  const r = new Run().do({ type: 'begin' }, { type: 'claimed', published: ref(1), manifest }, ...up().slice(0, 3))
  const proofs = [{ sink: 'out', subtask: 1, sequence: 1, by: 'heal' }]
  const before = r.state
  r.do({ type: 'slice-failed', slice: slice(0), failure })
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(atTheEnd(r)).toEqual([false, ['out 0 1 LOST', 'out 1 1 UNSETTLED']])
  expect(r.state.outcomes[0]!.facts).toEqual({ sequence: 1, transactionalId, message })
  r.state = before
  r.do({ type: 'recovered', slice: slice(1), proofs }, { type: 'slice-failed', slice: slice(0), failure })
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(atTheEnd(r)).toEqual([false, ['out 0 1 LOST', 'out 1 1 HEALED']])
})

test('a job that is cancelled while no task-manager is there ends, and its published output waits to be settled', () => {
  // It ran before: what was proven then says nothing of the epoch published since.
  const r = toPublish(running())
    .do(published, lost, { type: 'stopped', slice: slice(0) })
    .later(100)
  r.do({ type: 'claimed', published: ref(1), manifest }, { type: 'cancel' }).later(30_000)
  expect(jobStateName(r.state)).toBe('CANCELLED')
  expect(atTheEnd(r)).toEqual([false, ['out 0 1 UNSETTLED', 'out 1 1 UNSETTLED']])
})

test('B4: subtasks that a rescale removed are settled too', () => {
  const r = new Run()
  r.state = jobFor({ ...spec, highestParallelism: 3 }, generation(1))
  r.do({ type: 'begin' }, { type: 'cancel' }, { type: 'claimed', published: ref(1), manifest }).later(30_000)
  expect(atTheEnd(r)[1]).toEqual(['out 0 1 UNSETTLED', 'out 1 1 UNSETTLED', 'out 2 1 UNSETTLED'])
})

test('a job whose published epoch is final ends settled; one whose manifest cannot be read does not', () => {
  const r = toPublish(running()).do(published, { type: 'committed', slice: slice(0), epoch: epoch(1) })
  r.do({ type: 'cancel' }, { type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(atTheEnd(r)[0]).toBe(true)
  // Cut short in its first recovery: nothing is published, nothing waits.
  const fresh = new Run().do(
    { type: 'begin' },
    { type: 'claimed', published: null, manifest: null },
    ...up().slice(0, 3),
  )
  fresh.do({ type: 'slice-failed', slice: slice(0), failure: broken })
  fresh.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(atTheEnd(fresh)).toEqual([true, []])
  const unreadable = new Run().do({ type: 'begin' }, { type: 'claim-failed', failure: broken })
  expect(atTheEnd(unreadable)).toEqual([false, ['out 0 0 UNSETTLED', 'out 1 0 UNSETTLED']])
})

test('restarts without a new final epoch are bounded', () => {
  const r = running()
  for (let a = 1; a <= 2; a++) {
    r.do(lost, { type: 'stopped', slice: slice(0, a) }).later(100)
    r.do({ type: 'claimed', published: null, manifest: null }, ...up(a + 1))
  }
  r.do(lost)
  expect(r.state.ending).toMatchObject({ state: 'FAILED', error: { code: 'RESTARTS_EXHAUSTED' } })
})

test('checkpoints that keep failing restart the job; its next attempts ask less often, until one is published', () => {
  const r = running({
    ...spec,
    plan: { ...spec.plan, settings: { ...settings, restart: { attempts: 9, delayMs: 100 } } },
  })
  const { alignTimeoutMs, intervalMs } = settings.checkpoint
  for (let epochs = 0; epochs < 4; epochs++) r.later(intervalMs).later(alignTimeoutMs)
  expect(r.state).toMatchObject({ phase: 'stopping', lastError: { code: 'CHECKPOINTS_EXHAUSTED' } })
  const again = (a: number): Run =>
    r
      .do({ type: 'stopped', slice: slice(0, a) }, { type: 'stopped', slice: slice(1, a) })
      .later(100)
      .do({ type: 'claimed', published: null, manifest: null }, ...up(a + 1))
  again(1).said()
  expect(r.later(2 * intervalMs - 1).said()).toEqual([])
  expect(r.later(1).said()).toEqual(['circuit', 'trigger'])
  expect(r.later(alignTimeoutMs).said()).toEqual(['give-up', 'circuit', 'stop-leave', 'stop-leave'])
  again(2).said()
  // A task-manager that is lost during the pause proves nothing: the pause begins again, as long.
  r.do(lost)
  again(3).said()
  expect(r.later(4 * intervalMs - 1).said()).toEqual([])
  expect(r.later(1).said()).toEqual(['circuit', 'trigger'])
})

test('a source whose topic has more partitions begins again without a delay, and no restart is used up for it', () => {
  const once = new Run({ ...spec, plan: { ...spec.plan, settings: { ...settings, restart: { strategy: 'none' } } } })
  once.do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }, ...up(1))
  const added = { ...broken, code: 'PARTITIONS_ADDED', kind: 'restart' } as const
  once.do({ type: 'slice-failed', slice: slice(0), failure: added })
  once.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(once.state).toMatchObject({ phase: 'backing-off', untilMs: once.now, ending: null, restarts: 1 })
  once.later(0).do({ type: 'claimed', published: null, manifest: null }, ...up(2))
  once.do(lost)
  expect(once.state.ending).toMatchObject({ state: 'FAILED', error: { code: 'RESTARTS_EXHAUSTED' } })
})

test('with the strategy none the first failure ends the job, and a drain still moves it', () => {
  const none = new Run({ ...spec, plan: { ...spec.plan, settings: { ...settings, restart: { strategy: 'none' } } } })
  none.do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }, ...up(1))
  none.do({ type: 'task-manager-draining', taskManagerId: A })
  none.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(none.state).toMatchObject({ phase: 'backing-off', untilMs: none.now, ending: null })
  none.later(0).do({ type: 'claimed', published: null, manifest: null }, ...up(2))
  none.do(lost)
  expect(none.state.ending).toMatchObject({ state: 'FAILED', error: { code: 'RESTARTS_EXHAUSTED' } })
})

test('a superseded publish steps down and stops nobody', () => {
  const r = toPublish(running())
  r.said()
  r.do({ type: 'publish-answered', checkpoint: cp(1), outcome: { kind: 'superseded', reason: 'generation 2' } })
  expect(r.said()).toEqual(['step-down'])
})

test('bounded input ends the job with a last epoch', () => {
  const r = running()
  r.do({ type: 'input-ended', slice: slice(0) })
  r.said()
  r.do({ type: 'input-ended', slice: slice(1) })
  expect(r.said()).toEqual(['trigger'])
  r.do(
    ackOf(slice(0), cp(1), snapshot(0, [])),
    ackOf(slice(1), cp(1), snapshot(1, [])),
    { type: 'stored', checkpoint: cp(1), ref: ref(1) },
    published,
  )
  expect(r.said().slice(-3)).toEqual(['final', 'stop-abort', 'stop-abort'])
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(jobStateName(r.state)).toBe('FINISHED')
})

const commit = { scope: 'continuous', intervalMs: 100 } as const
const continuous: JobSpec = { ...spec, plan: { ...spec.plan, settings: { ...settings, commit } } }
const acked = (): UntimedEvent[] => [
  ackOf(slice(0), cp(1), snapshot(0, [])),
  ackOf(slice(1), cp(1), snapshot(1, [])),
  { type: 'stored', checkpoint: cp(1), ref: ref(1) },
  published,
]

test('a cancelled job in the continuous scope ends when a last epoch holds all it has read', () => {
  const r = running(continuous)
  r.said()
  r.do({ type: 'cancel' })
  expect(r.effects).toMatchObject([{ type: 'trigger', checkpoint: cp(1), last: true }])
  expect(jobStateName(r.state)).toBe('CANCELLING')
  r.do(...acked())
  expect(r.said().slice(-3)).toEqual(['final', 'stop-abort', 'stop-abort'])
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(jobStateName(r.state)).toBe('CANCELLED')
})

test('an epoch in flight at the cancel is finished first; an asked-for end is waited for 30 s and not longer', () => {
  const r = running(continuous).later(10_000)
  r.said()
  r.do({ type: 'cancel' }, ...acked())
  expect(r.said().slice(-1)).toEqual(['final'])
  r.later(10_000)
  expect(r.effects).toMatchObject([{ type: 'trigger', checkpoint: cp(2), last: true }])
  r.said()
  expect(r.later(19_999).said()).toEqual([])
  expect(r.later(1).said()).toEqual(['give-up', 'stop-abort', 'stop-abort'])
  expect(jobStateName(r.state)).toBe('CANCELLING')
})

test('a slice that fails while the job is drained does not keep it', () => {
  const r = running(continuous).do({ type: 'cancel' })
  r.said()
  r.do({ type: 'slice-failed', slice: slice(0), failure: { ...broken, kind: 'restart' } })
  expect(r.said()).toEqual(['give-up', 'stop-abort', 'stop-abort'])
})

test('A8: a deploy follows a claim of this moment: slots that came late are given back, and the job is claimed again', () => {
  const late = new Run().do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null })
  expect(late.said()).toEqual(['claim', 'request-slots'])
  late.later(1_001).do(placed)
  expect(late.said()).toEqual(['release-slots', 'claim'])
  late.do({ type: 'claimed', published: null, manifest: null }, placed)
  expect(late.said()).toEqual(['request-slots', 'deploy', 'deploy'])
})

test('slices are spread evenly, a job that does not fit is not placed, and slots come back', () => {
  const table = joined(joined(EMPTY_SLOTS, A, 2), B, 2)
  const two = place(table, 2)!
  expect(new Set(two.values())).toEqual(new Set([A, B]))
  const used = take(table, two)
  expect(place(used, 3)).toBeNull()
  expect(freeSlots(giveBack(used, two))).toBe(4)
  expect(freeSlots(withdrawn(used, A))).toBe(1)
})

test('B7: what a broker refuses is learned from the failures, and every slice of the next attempt is told', () => {
  const r = running()
  const again = (n: number, ...offsets: number[]): void => {
    const suspects = offsets.map((offset) => ({ sink: 'out', place: 0, offset, ordinal: null }))
    const failure: Failure = { code: 'RECORDS_REFUSED', kind: 'restart', message: 'too large', facts: { suspects } }
    r.do({ type: 'slice-failed', slice: slice(0, n), failure })
    expect(r.state.lastError!.facts).toEqual({ suspects: offsets.length })
    r.do({ type: 'stopped', slice: slice(0, n) }, { type: 'stopped', slice: slice(1, n) }).later(100)
    r.effects = []
    r.do({ type: 'claimed', published: null, manifest: null }, ...up(n + 1))
  }
  const told = (): unknown[] => r.effects.flatMap((e) => (e.type === 'recover' ? [e.poison] : []))
  const origin = (offset: number) => ({ sink: 'out', place: 0, offset, ordinal: null })
  again(1, 7, 8)
  expect(told()).toEqual(Array.from({ length: 2 }, () => ({ suspects: [origin(7), origin(8)], poisoned: [] })))
  again(2, 8)
  expect(told()).toMatchObject([{ poisoned: [origin(8)] }, { poisoned: [origin(8)] }])
})

const stopping = (): Run => running().do({ type: 'stop', savepoint: 's' })
const ackBoth = (n: number, a = 1): UntimedEvent[] => [
  ackOf(slice(0, a), cp(n, a), snapshot(0, [n])),
  ackOf(slice(1, a), cp(n, a), snapshot(1, [])),
  { type: 'stored', checkpoint: cp(n, a), ref: ref(n) },
]
const publishedAs = (n: number, a = 1): UntimedEvent => ({
  type: 'publish-answered',
  checkpoint: cp(n, a),
  outcome: { kind: 'published', published: { manifest: ref(n), headRevision: '1', mirrorTag: null } },
})

test('B6: a job that is to stop ends with the epoch whose barrier stopped its sources, when that epoch is final', () => {
  const r = stopping()
  expect(jobStateName(r.state)).toBe('STOPPING')
  r.later(50)
  expect(r.effects.at(-1)).toMatchObject({ type: 'trigger', last: true })
  r.do(...ackBoth(1), publishedAs(1))
  expect(r.said().at(-1)).toBe('commit')
  expect(r.state.phase).toBe('running')
  r.do({ type: 'committed', slice: slice(0), epoch: epoch(1) })
  expect(r.said()).toEqual(['final', 'stop-abort', 'stop-abort'])
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(r.effects.at(-1)).toMatchObject({ type: 'ended', ending: { state: 'STOPPED', error: null }, settled: true })
})

test('a stopped job has read what its last epoch holds, also if its slices have not told it before', () => {
  const r = stopping().later(50)
  r.do({ type: 'progress', slice: slice(1), recordsIn: 12, recordsOut: 0, watermark: 0 })
  r.do(...ackBoth(1), publishedAs(1), { type: 'committed', slice: slice(0), epoch: epoch(1) })
  expect(r.state).toMatchObject({ phase: 'stopping', recordsIn: 10 + 12 })
})

test('B6: an epoch given up on the way is tried again, with a pause in which the sources go on', () => {
  const r = stopping().later(50)
  r.said()
  const failure = { ...broken, kind: 'retry' as const }
  r.do({ type: 'declined', slice: slice(0), checkpoint: cp(1), failure })
  expect(r.said()).toEqual(['give-up'])
  expect(r.later(settings.checkpoint.minPauseMs - 1).said()).toEqual([])
  r.later(1)
  expect(r.effects).toMatchObject([{ type: 'trigger', checkpoint: { epoch: 2 }, last: true }])
})

test('B6: an epoch that is lost on the way is healed before the job is STOPPED', () => {
  const r = stopping().later(50)
  r.do(...ackBoth(1), publishedAs(1))
  const refused = { ...broken, code: 'COMMIT_REFUSED', kind: 'restart' as const }
  r.do({ type: 'slice-failed', slice: slice(0), failure: refused })
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) })
  expect(jobStateName(r.state)).toBe('STOPPING')
  r.later(100).do({ type: 'claimed', published: ref(1), manifest }, ...up(2).slice(0, 3))
  const proofs = [{ sink: 'out', subtask: 0, sequence: 1, by: 'heal' }]
  r.do({ type: 'recovered', slice: slice(0, 2), proofs }, { type: 'recovered', slice: slice(1, 2), proofs: [] })
  expect(r.said()).toContain('healed')
  r.later(50)
  expect(r.effects).toMatchObject([{ type: 'trigger', checkpoint: { epoch: 2 }, last: true }])
  r.do(...ackBoth(2, 2), publishedAs(2, 2), { type: 'committed', slice: slice(0, 2), epoch: epoch(2) })
  expect(r.state).toMatchObject({ phase: 'stopping', ending: { state: 'STOPPED' } })
})

test('a job that is to stop can still be cancelled', () => {
  const r = stopping().later(50).do({ type: 'cancel' })
  expect(jobStateName(r.state)).toBe('CANCELLING')
  r.do({ type: 'stop', savepoint: 's' })
  expect(r.state.ending?.state).toBe('CANCELLED')
})
