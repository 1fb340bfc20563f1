import type { Manifest, SubtaskSnapshot } from '@weir/checkpoint'
import { defaultSettings } from '@weir/dataflow'
import { epoch, generation, jobId, subtask, taskManagerId } from '@weir/model'
import { expect, test } from 'vitest'
import { MachineRun, ackOf, ref, specOf } from './machine.fixture.ts'
import { RESCALE_PLACEMENT_TIMEOUT_MS, checkRescale } from './rescale.ts'
import { FleetSlots } from './slots.ts'
import { jobStateName, type JobSpec, type SliceId, type UntimedEvent } from './state.ts'

const settings = { ...defaultSettings, parallelism: 2, restart: { attempts: 2, delayMs: 100 } }
const spec = specOf(settings)
const TM = taskManagerId('tm')

/** A job whose slices all answer. */
class Run extends MachineRun {
  constructor() {
    super(spec)
  }
  slice(i: number): SliceId {
    const { generation, attempt } = this.state
    return { jobId: spec.jobId, attempt: { generation, attempt }, subtask: subtask(i) }
  }
  all(event: (slice: SliceId, i: number) => UntimedEvent): this {
    return this.do(...[...this.state.slices.keys()].map((i) => event(this.slice(i), i)))
  }
  place(): this {
    const { count } = this.effects.findLast((e) => e.type === 'request-slots')!
    const assignment = new Map(Array.from({ length: count }, (_, i) => [subtask(i), TM]))
    return this.do({ type: 'placed', assignment })
  }
  /** claimed → running */
  up(): this {
    return this.place()
      .all((slice) => ({ type: 'deployed', slice, exchangeAddress: 'x:0' }))
      .all((slice) => ({ type: 'recovered', slice, proofs: [] }))
  }
  /** The epoch in flight becomes final; each slice has prepared `n` transactions so far. */
  epoch(n: number): this {
    const checkpoint = { generation: generation(1), epoch: epoch(n), attempt: this.state.attempt }
    return this.all((slice, i) => ackOf(slice, checkpoint, snapshot(i, n)))
      .do({ type: 'stored', checkpoint, ref: ref(n) })
      .do({
        ...{ type: 'publish-answered', checkpoint },
        outcome: { kind: 'published', published: { manifest: ref(n), headRevision: '1', mirrorTag: 't' } },
      })
      .all((slice) => ({ type: 'committed', slice, epoch: epoch(n) }))
  }
  said(): string[] {
    const words = this.effects.map((e) => (e.type === 'stop' ? `stop-${e.mode}` : e.type))
    this.effects = []
    return words
  }
}
const snapshot = (i: number, sequence: number): SubtaskSnapshot => ({
  ...{ subtask: subtask(i), sources: {}, segments: [], watermarks: {}, recordsIn: 5 },
  sinks: { out: { sequence, handles: [{ sequence }] } },
})
const manifest = (n: number, parallelism: number): Manifest =>
  ({
    ...{ epoch: epoch(n), parallelism, maxParallelism: 128 },
    subtasks: Array.from({ length: parallelism }, (_, i) => snapshot(i, n)),
  }) as unknown as Manifest
const running = (): Run => new Run().do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }).up()
const wish = (parallelism: number): UntimedEvent => ({ type: 'rescale', parallelism, highestParallelism: 4 })
const stopped = (r: Run): Run => r.all((slice) => ({ type: 'stopped', slice }))

test('a rescale drains, stops without a delay and comes up at the new parallelism', () => {
  const r = running()
  r.said()
  r.do(wish(4))
  const trigger = r.effects.find((e) => e.type === 'trigger')
  expect(trigger).toMatchObject({ last: true })
  stopped(r.epoch(1))
  expect(r.said()).toEqual([
    ...['trigger', 'write-manifest', 'publish', 'published', 'commit', 'final', 'stop-leave', 'stop-leave', 'claim'],
  ]) // its slots are not released
  r.now = 500
  r.do({ type: 'claimed', published: ref(1), manifest: manifest(1, 2) }).up()
  expect(r.effects.filter((e) => e.type === 'recover')).toHaveLength(4)
  expect(r.effects.find((e) => e.type === 'rescaled')).toEqual({ type: 'rescaled', from: 2, to: 4, durationMs: 500 })
  expect([jobStateName(r.state), r.state.restarts]).toEqual(['RUNNING', 0])
  // Its checkpoints wait for four acks.
  r.now = 60_000
  r.do({ type: 'tick' })
  r.epoch(2)
  expect(r.state.coordinator.final).toBe(2)
})

test('behind a rescale the first epoch comes as soon as something is read: there is no output until it is final', () => {
  const run = stopped(running().do(wish(4)).epoch(1))
  run
    .do({ type: 'claimed', published: ref(1), manifest: manifest(1, 2) })
    .up()
    .said()
  const progress = (recordsIn: number) => (slice: SliceId) =>
    ({ type: 'progress', slice, recordsIn, recordsOut: 0, watermark: 0 }) as const
  expect(run.all(progress(2)).do({ type: 'tick' }).said()).toEqual([]) // what was read before the rescale is 10
  expect(run.all(progress(3)).do({ type: 'tick' }).said()).toEqual(['trigger'])
})

test('B4: after 4 → 2 every recovery resolves and fences the pools of subtasks 2 and 3, before any source starts', () => {
  const r = running().do(wish(4))
  stopped(r.epoch(1))
  r.do({ type: 'claimed', published: ref(1), manifest: manifest(1, 2) }).up()
  r.do(wish(2))
  stopped(r.epoch(2))
  r.do({ type: 'claimed', published: ref(2), manifest: manifest(2, 4) })
  r.place()
  r.said()
  r.all((slice) => ({ type: 'deployed', slice, exchangeAddress: 'x:0' }))
  const cared = r.effects.flatMap((e) => (e.type === 'recover' ? [Object.keys(e.snapshot!.retired!)] : []))
  expect(cared).toEqual([['2'], ['3']])
  r.do({ type: 'recovered', slice: r.slice(0), proofs: [{ sink: 'out', subtask: 2, sequence: 2, by: 'heal' }] })
  expect(r.effects.filter((e) => e.type === 'run')).toEqual([])
  expect(r.effects.at(-1)).toEqual({ type: 'healed', subtask: 2, sink: 'out', sequence: 2 })
  r.do({ type: 'recovered', slice: r.slice(1), proofs: [] })
  expect(r.effects.filter((e) => e.type === 'run')).toHaveLength(2)
  expect(r.state.outcomes.map((o) => `${o.subtask} ${o.state}`)).toEqual(['0 CLEAN', '1 CLEAN', '2 HEALED', '3 CLEAN'])
})

test('an attempt that is lost in the middle comes back at the new parallelism', () => {
  const r = running().do(wish(4), { type: 'task-manager-lost', taskManagerId: TM, reason: 'killed' })
  r.now = 200
  r.do({ type: 'tick' }, { type: 'claimed', published: null, manifest: null }).up()
  expect([r.state.slices.size, r.state.wished, r.state.restarts]).toEqual([4, null, 1])
})

test('a job never stays down for want of slots: it goes back to what it ran at', () => {
  const r = running().do(wish(4))
  stopped(r.epoch(1))
  r.do({ type: 'claimed', published: ref(1), manifest: manifest(1, 2) })
  r.said()
  r.now += RESCALE_PLACEMENT_TIMEOUT_MS
  r.do({ type: 'tick' })
  expect(r.effects).toMatchObject([
    { type: 'rescale-reverted', parallelism: 2 },
    { type: 'request-slots', count: 2 },
  ])
  r.place()
  expect(r.state.phase).toBe('claiming') // too long ago: a fresh compare-and-swap first (A8)
  r.do({ type: 'claimed', published: ref(1), manifest: manifest(1, 2) }).up()
  expect([jobStateName(r.state), r.state.slices.size]).toEqual(['RUNNING', 2])
  expect(r.state.lastError?.code).toBe('RESCALE_REVERTED')
  // Two more may have been deployed before it turned back.
  expect(r.state.spec.highestParallelism).toBe(4)
})

test('a wish that comes while an attempt is on its way is fulfilled right after; one in placing at once', () => {
  const r = new Run().do({ type: 'begin' }, { type: 'claimed', published: null, manifest: null }, wish(3))
  expect(r.effects.at(-1)).toEqual({ type: 'request-slots', count: 3 })
  r.place().do(wish(1))
  r.all((slice) => ({ type: 'deployed', slice, exchangeAddress: 'x:0' }))
  r.said()
  r.all((slice) => ({ type: 'recovered', slice, proofs: [] }))
  expect(r.said()).toEqual(['run', 'run', 'run', 'rescaled', 'trigger'])
})

test('a job whose input has ended finishes; one that is cancelled does not rescale', () => {
  const r = running().all((slice) => ({ type: 'input-ended', slice }))
  stopped(r.do(wish(4)).epoch(1))
  expect(jobStateName(r.state)).toBe('FINISHED')
  const cancelled = running().do({ type: 'cancel' }, wish(4))
  expect(cancelled.state.wished).toBeNull()
})

test('refusals say what to do', () => {
  const refusal = (of: { spec?: JobSpec; ending?: boolean; room?: number }, parallelism: unknown): string => {
    try {
      checkRescale({ spec, ending: false, room: 8, ...of }, parallelism)
      return 'ok'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  const continuous = { ...settings, commit: { scope: 'continuous' as const, intervalMs: 100 } }
  expect([0, 1.5, '2', undefined].map((n) => refusal({}, n))).toEqual(Array(4).fill('RESCALE_INVALID'))
  expect(refusal({}, 129)).toBe('RESCALE_TOO_WIDE')
  expect(refusal({ room: 3 }, 4)).toBe('RESCALE_NO_SLOTS')
  expect(refusal({ ending: true }, 2)).toBe('RESCALE_JOB_ENDING')
  expect(refusal({ spec: { ...spec, plan: { ...spec.plan, settings: continuous } } }, 4)).toBe(
    'RESCALE_CONTINUOUS_SCOPE',
  )
  expect([1, 8].map((n) => refusal({}, n))).toEqual(['ok', 'ok'])
})

test('a job that asks anew keeps its slots until it is placed: nobody comes between', async () => {
  const slots = new FleetSlots()
  const placed: string[] = []
  slots.join(TM, 4)
  slots.request(jobId('a'), 2, () => placed.push('a at 2'))
  await Promise.resolve()
  expect(slots.roomFor(jobId('a'))).toBe(4)
  slots.request(jobId('b'), 3, () => placed.push('b'))
  slots.request(jobId('a'), 4, () => placed.push('a at 4'))
  await Promise.resolve()
  expect([placed, slots.free()]).toEqual([['a at 2', 'a at 4'], 0])
})

test('a subtask goes to the pod that has its state, under whatever name that has joined, and the spread stays even', async () => {
  const slots = new FleetSlots()
  const [a, b] = [taskManagerId('a'), taskManagerId('b')]
  let placed: ReadonlyMap<number, string> = new Map()
  const ask = async (count: number): Promise<string[]> => {
    slots.request(jobId('j'), count, (assignment) => (placed = assignment))
    await Promise.resolve()
    return Array.from({ length: count }, (_, i) => placed.get(i)!)
  }
  slots.join(a, 4, 'pod-a')
  slots.join(b, 4, 'pod-b')
  expect(await ask(4)).toEqual(['a', 'b', 'a', 'b'])
  slots.withdraw(a)
  slots.join(taskManagerId('a-again'), 4, 'pod-a')
  expect(await ask(4)).toEqual(['a-again', 'b', 'a-again', 'b'])
  // The first of each pair of key group ranges stays where it was.
  expect(await ask(2)).toEqual(['a-again', 'b'])
  expect(await ask(4)).toEqual(['a-again', 'a-again', 'b', 'b'])
})
