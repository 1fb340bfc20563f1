/** Three slices without an exchange: A has 0 and 1, B has 2. */
import type { Manifest, PublishOutcome } from '@weir/checkpoint'
import { defaultSettings } from '@weir/dataflow'
import { epoch, jobId, subtask, taskManagerId, type Subtask, type TaskManagerId } from '@weir/model'
import { expect, test } from 'vitest'
import { MachineRun, ackOf, cp, ref, slice, snapshot, specOf } from './machine.fixture.ts'
import { FleetSlots } from './slots.ts'
import { jobStateName, type Failure, type JobSpec, type UntimedEvent } from './state.ts'

const settings = {
  ...defaultSettings,
  parallelism: 3,
  checkpoint: { ...defaultSettings.checkpoint, toleratedAborts: 1 },
  recoveryBudgetMs: 60_000,
  restart: { attempts: 2, delayMs: 100 },
}
const specWith = (over: Partial<typeof settings & { failover: 'full' }>, stages = 1): JobSpec =>
  specOf({ ...settings, ...over }, stages)
const [A, B, C] = [taskManagerId('tm-a'), taskManagerId('tm-b'), taskManagerId('tm-c')]
class Run extends MachineRun {
  /** Effects since the last call: what, to which slice and attempt, or of which epoch. */
  said(): string[] {
    const words = this.effects.map((e) => {
      if ('slice' in e) return `${e.type} ${e.slice.subtask}/${e.slice.attempt.attempt}`
      if (e.type === 'commit') return `commit ${[...e.upTo.keys()].join(',')}`
      if (e.type === 'trigger' || e.type === 'give-up') return `${e.type} ${e.checkpoint.epoch}`
      return e.type
    })
    this.effects = []
    return words
  }
  /** Where it stands on its way back. */
  get at(): string {
    return this.state.phase === 'running' ? (this.state.failover?.step.at ?? 'undisturbed') : this.state.phase
  }
}
const manifestOf = (...handles: number[][]): Manifest =>
  ({ subtasks: handles.map((h, i) => snapshot(i, h)) }) as unknown as Manifest
const placed = (assignment: Record<number, TaskManagerId>): UntimedEvent => ({
  type: 'placed',
  assignment: new Map(Object.entries(assignment).map(([i, id]) => [Number(i) as Subtask, id])),
})
const deployed = (i: number, a = 1): UntimedEvent => ({
  type: 'deployed',
  slice: slice(i, a),
  exchangeAddress: `x:${i}`,
})
const recovered = (i: number, a = 1, by: string[] = []): UntimedEvent => ({
  ...{ type: 'recovered', slice: slice(i, a) },
  proofs: by.map((by, n) => ({ sink: 'out', subtask: i, sequence: n + 1, by })),
})
const ack = (n: number, i: number, a = 1, handles: number[] = []): UntimedEvent =>
  ackOf(slice(i, a), cp(n), snapshot(i, handles))
const answered = (n: number, outcome: PublishOutcome): UntimedEvent => ({
  ...{ type: 'publish-answered', checkpoint: cp(n), outcome },
})
const published = (n: number): UntimedEvent =>
  answered(n, { kind: 'published', published: { manifest: ref(n), headRevision: '1', mirrorTag: 't' } })
const unknown = (n: number): UntimedEvent => answered(n, { kind: 'unknown', reason: 'no answer' })
const stored = (n: number): UntimedEvent => ({ type: 'stored', checkpoint: cp(n), ref: ref(n) })
const committed = (n: number, i: number, a = 1): UntimedEvent => ({
  ...{ type: 'committed', slice: slice(i, a), epoch: epoch(n) },
})
const claimed = (n: number, manifest: Manifest | null = n === 0 ? null : manifestOf([], [], [])): UntimedEvent => ({
  ...{ type: 'claimed', published: n === 0 ? null : ref(n), manifest },
})
const lost = (id = B): UntimedEvent => ({ type: 'task-manager-lost', taskManagerId: id, reason: 'stream reset' })
const broken: Failure = { code: 'SLICE_FAILED', kind: 'restart', message: 'broken', facts: {} }
const failed = (i: number, a = 1, failure = broken): UntimedEvent => ({
  type: 'slice-failed',
  slice: slice(i, a),
  failure,
})

function running(over: Parameters<typeof specWith>[0] = {}, stages = 1): Run {
  const r = new Run(specWith(over, stages))
  r.do({ type: 'begin' }, claimed(0), placed({ 0: A, 1: A, 2: B }), ...[0, 1, 2].map((i) => deployed(i)))
  r.do(...[0, 1, 2].map((i) => recovered(i)))
  r.said()
  return r
}
/** Epoch 1 with output of slices 0 and 2: its publish was sent. */
function publishing(): Run {
  const r = running().later(10_000)
  r.do(ack(1, 0, 1, [1]), ack(1, 1), ack(1, 2, 1, [1]), stored(1))
  r.said()
  return r
}
/** The slices of B come back on C. */
const back = (r: Run, n: number, a = 2): Run =>
  r.later(100).do(claimed(n), placed({ 2: C }), deployed(2, a), recovered(2, a))

test('only the slices of the lost task-manager restart, in the next attempt; the others are told nothing', () => {
  const r = running()
  r.do(lost())
  expect(r.said()).toEqual(['region-failed'])
  expect(jobStateName(r.state)).toBe('RUNNING')
  expect(r.later(99).said()).toEqual([])
  expect(r.later(1).said()).toEqual(['claim'])
  r.do(claimed(0))
  expect(r.effects).toEqual([{ type: 'replace-slots', subtasks: [2] }])
  r.said()
  r.do(placed({ 2: C }), deployed(2, 2), recovered(2, 2))
  expect(r.said()).toEqual(['deploy 2/2', 'recover 2/2', 'run 2/2', 'region-restarted'])
  expect(r.state).toMatchObject({ phase: 'running', attempt: 2, restarts: 0, regionRestarts: 1, failover: null })
  expect([...r.state.slices.values()].map((s) => [s.attempt, s.taskManagerId, s.status])).toEqual([
    [1, A, 'running'],
    [1, A, 'running'],
    [2, C, 'running'],
  ])
})

test('a slice that failed and still answers is stopped first; one that does not answer is not waited for for ever', () => {
  const r = running().do(failed(1))
  expect(r.said()).toEqual(['region-failed', 'stop 1/1'])
  expect(r.do({ type: 'stopped', slice: slice(1) }).at).toBe('backing-off')
  const silent = running().do(failed(1))
  expect(silent.later(9_999).at).toBe('stopping')
  expect(silent.later(1).at).toBe('backing-off')
})

test('A2: the epoch in flight is dropped, the others keep what they prepared, and nothing is triggered until all are there', () => {
  const r = running()
    .later(10_000)
    .do(ack(1, 0, 1, [1]))
  r.said()
  r.do(lost())
  expect(r.said()).toEqual(['region-failed', 'give-up 1'])
  expect(r.state.coordinator).toMatchObject({ phase: 'idle', abortsInARow: 1 })
  r.later(20_000).do(
    { type: 'ask' },
    { type: 'progress', slice: slice(0), recordsIn: 9_999, recordsOut: 0, watermark: 0 },
  )
  expect(r.said()).toEqual(['claim'])
  r.do(claimed(0), placed({ 2: C }), deployed(2, 2), recovered(2, 2))
  r.said()
  expect(r.later(50).said()).toEqual(['trigger 2'])
})

test('A4: a region whose epoch is on the wire waits for the answer; the others commit their part, its own is proven', () => {
  const r = publishing().do(lost()).later(5_000).do(unknown(1))
  expect(r.said()).toEqual(['region-failed', 'publish'])
  expect(r.at).toBe('settling')
  r.do(published(1))
  expect(r.said()).toEqual(['published', 'commit 0'])
  expect(r.at).toBe('backing-off')
  r.do(committed(1, 0)).later(100)
  expect(r.said()).toEqual(['claim'])
  r.do(claimed(1, manifestOf([1], [], [1])), placed({ 2: C }), deployed(2, 2))
  expect(r.effects.at(-1)).toMatchObject({
    type: 'recover',
    snapshot: { sinks: { out: { handles: [{ sequence: 1 }] } } },
  })
  expect(r.state.coordinator.final).toBe(0)
  r.said()
  r.do(recovered(2, 2, ['heal']))
  expect(r.said()).toEqual(['healed', 'final', 'run 2/2', 'region-restarted'])
  expect(r.state).toMatchObject({ healed: 1, coordinator: { phase: 'idle', final: 1 } })
})

test('A15: a slice whose commit was refused comes back healed before the epoch is final', () => {
  const r = publishing().do(published(1), committed(1, 0))
  r.said()
  r.do(failed(2, 1, { ...broken, code: 'COMMIT_REFUSED' }), { type: 'stopped', slice: slice(2) })
  r.later(100).do(claimed(1, manifestOf([1], [], [1])), placed({ 2: B }), deployed(2, 2))
  expect(r.said()).toEqual(['region-failed', 'stop 2/1', 'claim', 'replace-slots', 'deploy 2/2', 'recover 2/2'])
  r.do(recovered(2, 2, ['heal']))
  expect(r.said()).toEqual(['healed', 'final', 'run 2/2', 'region-restarted'])
  expect(r.state.outcomes.map((o) => o.state)).toEqual(['CLEAN', 'CLEAN', 'HEALED'])
})

test('the region is back before the others have committed: the epoch waits for them', () => {
  const r = back(publishing().do(lost(), published(1)), 1)
  expect(r.state.coordinator).toMatchObject({ phase: 'committing', final: 0 })
  r.do(committed(1, 0))
  expect(r.state.coordinator).toMatchObject({ phase: 'idle', final: 1 })
})

test('the next epoch takes acks of every slice of the attempt it is of now, and of no other', () => {
  const r = back(running().do(lost()), 0).later(20_000)
  r.said()
  r.do(ack(1, 0, 1, [1]), ack(1, 1), ack(1, 2, 1))
  expect(r.said()).toEqual([])
  r.do(ack(1, 2, 2, [1]), stored(1), published(1))
  expect(r.said()).toEqual(['write-manifest', 'publish', 'published', 'commit 0,2'])
  r.do(committed(1, 0), committed(1, 2, 1))
  expect(r.said()).toEqual([])
  expect(r.do(committed(1, 2, 2)).said()).toEqual(['final'])
})

test('records that a region reads again are counted once', () => {
  const progress = (i: number, recordsIn: number, a = 1): UntimedEvent => ({
    ...{ type: 'progress', slice: slice(i, a), recordsIn, recordsOut: 0, watermark: 0 },
  })
  const r = back(running().do(progress(0, 100), progress(2, 50), lost(), progress(0, 110)), 0)
  expect(r.state).toMatchObject({ recordsIn: 160, reportedIn: 110 })
  r.do(progress(2, 40, 2))
  expect(r.state).toMatchObject({ recordsIn: 160, reportedIn: 150 })
  expect(r.do(progress(2, 60, 2)).state.recordsIn).toBe(170)
})

test('a slice that had come to the end of its input comes to it again before the job ends', () => {
  const ended = (i: number, a = 1): UntimedEvent => ({ type: 'input-ended', slice: slice(i, a) })
  const r = running().do(ended(2), lost(), ended(0), ended(1))
  expect(r.said()).toEqual(['region-failed'])
  back(r, 0)
  r.said()
  expect(r.do(ended(2, 2)).effects).toMatchObject([{ type: 'trigger', last: true }])
})

test('a stop, or a rescale, that is asked for meanwhile waits for who is away', () => {
  for (const wish of [
    { type: 'stop', savepoint: 's' },
    { type: 'rescale', parallelism: 4, highestParallelism: 4 },
  ] as const) {
    const r = running().do(lost(), wish).later(50)
    expect(r.said()).toEqual(['region-failed'])
    back(r, 0)
    expect(r.said()).not.toContain('trigger 1')
    expect(r.later(50).effects).toMatchObject([{ type: 'trigger', last: true }])
  }
})

const all = ['stop 0/1', 'stop 1/1']
test.each<[string, Run, UntimedEvent]>([
  ['a graph with an exchange is one region', running({}, 2), lost()],
  ['the job wants it so', running({ failover: 'full' }), lost()],
  ['the others are lost as well', running().do(failed(2)), lost(A)],
  ['the last epoch is on its way', running().do({ type: 'stop', savepoint: 's' }).later(50), lost()],
  ['the job is to stop', running().do({ type: 'stop', savepoint: 's' }), lost()],
  ['B1: the delay is longer than the others can wait', running({ restart: { attempts: 2, delayMs: 30_000 } }), lost()],
  ['the failure cannot be mended', running(), failed(2, 1, { ...broken, kind: 'invalid' })],
  ['a slice that works on fails too', running().do(lost()), failed(0)],
  [
    'the slice fails on its way back',
    running()
      .do(lost())
      .later(100)
      .do(claimed(0), placed({ 2: C })),
    failed(2, 2),
  ],
  [
    'its new task-manager is lost',
    running()
      .do(lost())
      .later(100)
      .do(claimed(0), placed({ 2: C })),
    lost(C),
  ],
  ['another epoch is published than was known', running().do(lost()).later(100), claimed(7)],
  ['B1: it came back from this epoch before', back(running().do(lost()), 0), lost(C)],
])('all slices restart: %s', (_, r, event) => {
  r.said()
  r.do(event)
  const stops = r.said().filter((word) => word.startsWith('stop'))
  if (event.type !== 'task-manager-lost' || event.taskManagerId !== A)
    expect(stops).toEqual(expect.arrayContaining(all))
  expect(['stopping', 'backing-off']).toContain(r.state.phase)
})

test('B3: the others cannot carry another given-up epoch: all slices restart', () => {
  const r = running().later(10_000)
  r.do({ type: 'declined', slice: slice(0), checkpoint: cp(1), failure: broken }).later(10_000)
  expect(r.said()).toEqual(['trigger 1', 'give-up 1', 'trigger 2'])
  r.do(lost())
  expect(r.said()).toEqual(['give-up 2', 'stop 0/1', 'stop 1/1'])
})

test('B1: who is not back within half of the recovery budget is not waited for', () => {
  const r = running().do(lost()).later(100).do(claimed(0))
  r.said()
  expect(r.later(29_899).said()).toEqual([])
  expect(r.later(1).said()).toEqual(all)
  expect(r.state.lastError).toMatchObject({ code: 'REGION_FAILOVER_TIMED_OUT', facts: { at: 'placing' } })
})

test('a failover that grows into a restart of all is one failure to the strategy, and one recovery to people', () => {
  const r = running().do(lost()).later(50).do(failed(0))
  expect(r.state.restart.failures).toBe(1)
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) }).later(100)
  r.do(claimed(0), placed({ 0: A, 1: A, 2: C }), ...[0, 1, 2].map((i) => deployed(i, 2)))
  r.do(...[0, 1, 2].map((i) => recovered(i, 2)))
  expect(r.state).toMatchObject({ restarts: 1, regionRestarts: 0, lastRecoveryMs: 150, failover: null })
})

test('a drained task-manager moves its slices without a delay, and is no failure to the strategy', () => {
  const r = running({ restart: { attempts: 2, delayMs: 100 } })
  r.do({ type: 'task-manager-draining', taskManagerId: B })
  expect(r.said()).toEqual(['region-failed', 'stop 2/1'])
  r.do({ type: 'stopped', slice: slice(2) }).later(0)
  expect(r.said()).toEqual(['claim'])
  expect(r.state.restart.failures).toBe(0)
})

test('A8: slots that come later than a second after the claim are deployed to after another one', () => {
  const r = running().do(lost()).later(100).do(claimed(0))
  r.said()
  r.later(1_001).do(placed({ 2: C }))
  expect(r.said()).toEqual(['claim'])
  r.do(claimed(0), placed({ 2: C }))
  expect(r.said()).toEqual(['replace-slots', 'deploy 2/2'])
})

test('a job that is cancelled while slices are away recovers once more, so that their pools are fenced', () => {
  const r = running().do(lost(), { type: 'cancel' })
  expect(r.said()).toEqual(['region-failed', 'stop 0/1', 'stop 1/1'])
  expect(jobStateName(r.state)).toBe('CANCELLING')
  r.do({ type: 'stopped', slice: slice(0) }, { type: 'stopped', slice: slice(1) }).later(100)
  r.do(claimed(0), placed({ 0: A, 1: A, 2: C }), ...[0, 1, 2].map((i) => deployed(i, 2)))
  r.said()
  r.do(...[0, 1, 2].map((i) => recovered(i, 2)))
  expect(r.said()).toEqual(['stop 0/2', 'stop 1/2', 'stop 2/2'])
})

test('a loss that a region may not heal ends the job when the recovery of all has found it again', () => {
  const verdict: Failure = { ...broken, code: 'TRANSACTION_LOST', kind: 'invalid' }
  const r = publishing().do(lost(), published(1), committed(1, 0)).later(100)
  r.do(claimed(1, manifestOf([1], [], [1])), placed({ 2: C }), deployed(2, 2), failed(2, 2, verdict))
  r.do(...[0, 1].map((i): UntimedEvent => ({ type: 'stopped', slice: slice(i) })), {
    type: 'stopped',
    slice: slice(2, 2),
  })
  r.later(100).do(claimed(1, manifestOf([1], [], [1])), placed({ 0: A, 1: A, 2: C }))
  r.do(...[0, 1, 2].map((i) => deployed(i, 3)), failed(2, 3, verdict))
  r.do(...[0, 1, 2].map((i): UntimedEvent => ({ type: 'stopped', slice: slice(i, 3) })))
  expect(r.effects.at(-1)).toMatchObject({ type: 'ended', ending: { state: 'FAILED', error: verdict }, settled: false })
})

test('another leader at the claim, or at the publish: step down, stop nobody', () => {
  const r = running().do(lost()).later(100)
  r.said()
  expect(r.do({ type: 'claim-refused', reason: 'generation 2' }).said()).toEqual(['step-down'])
  const sent = publishing().do(lost())
  sent.said()
  expect(sent.do(answered(1, { kind: 'superseded', reason: 'generation 2' })).said()).toEqual(['step-down'])
})

test('new slots are asked for the slices that are away; the others keep theirs', async () => {
  const slots = new FleetSlots()
  const granted: [number, string][][] = []
  const take = (assignment: ReadonlyMap<Subtask, TaskManagerId>): void => void granted.push([...assignment])
  slots.join(A, 2)
  slots.join(B, 1)
  slots.request(jobId('j'), 3, take)
  await Promise.resolve()
  const [first] = granted
  const onB = first!.find(([, id]) => id === B)![0]
  slots.withdraw(B)
  slots.replace(jobId('j'), [subtask(onB)], take)
  await Promise.resolve()
  expect(granted.length).toBe(1)
  slots.join(C, 1)
  await Promise.resolve()
  expect(granted[1]).toEqual([[onB, C]])
  expect(slots.free()).toBe(0)
  slots.release(jobId('j'))
  expect(slots.free()).toBe(3)
})
