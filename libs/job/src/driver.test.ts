import type {
  CheckpointStore,
  EpochObjects,
  Head,
  JobRecord,
  JobStore,
  Manifest,
  ManifestRef,
  PublishOutcome,
  SavepointDraft,
  SavepointStore,
} from '@weir/checkpoint'
import { defaultSettings, type RateLimits } from '@weir/dataflow'
import { WeirError, attempt, digest, epoch, generation, jobId, operatorUid, subtask, taskManagerId } from '@weir/model'
import { ManualClock, SeededRandom } from '@weir/model/testing'
import { expect, test } from 'vitest'
import { JobMaster } from './driver.ts'
import type { Beginning, SliceCommand } from './ports.ts'
import { FleetSlots } from './slots.ts'
import type { UsedNumbers } from './state.ts'

const id = jobId('j')
const A = taskManagerId('tm-a')
const settings = { ...defaultSettings, checkpoint: { ...defaultSettings.checkpoint, intervalMs: 1_000 } }
const source = { uid: 'in', kind: 'source' as const, config: { recordsPerSecond: null }, stage: 0 }
const spec = {
  jobId: id,
  name: 'j',
  bundleDigest: digest('b'),
  graphHash: 'g',
  plan: {
    version: 1 as const,
    name: 'j',
    settings,
    nodes: [source],
    edges: [],
    stages: 1,
    sources: ['in'],
    sinks: ['out'],
  },
}
const ref = (m: Manifest): ManifestRef => ({
  epoch: m.epoch,
  generation: m.generation,
  attempt: m.attempt,
  key: `m${m.epoch}`,
  digest: digest(`d${m.epoch}`),
  parentEpoch: m.parentEpoch,
  ...(m.parentKey && m.parentDigest && { parent: { key: m.parentKey, digest: m.parentDigest } }),
})

/** A leader with one task-manager; arbiters answer as told. */
function leader(
  answers: (PublishOutcome | 'ok' | Error)[] = [],
  arbiter: { degraded: boolean } = { degraded: false },
  of: {
    readonly published?: readonly Manifest[]
    readonly beginning?: Beginning
    readonly used?: UsedNumbers
    readonly rates?: RateLimits
    readonly degraded?: boolean
    readonly retainedMin?: number
  } = {},
) {
  const clock = new ManualClock()
  const commands: SliceCommand[] = []
  const steppedDown: string[] = []
  const abort = new AbortController()
  const sent: ManifestRef[] = []
  const manifests = new Map((of.published ?? []).map((m) => [ref(m).key, m]))
  let head: Head | null = null
  /** What the arbiters have, whatever this leader has sent. */
  let elsewhere: ManifestRef | null = null
  let claims = 0
  let reconciles = 0
  let record = { jobId: id, ended: null } as unknown as JobRecord
  const checkpoints: CheckpointStore = {
    claim: async () => {
      if (claims++ === 0) throw new WeirError({ code: 'ETCD_UNAVAILABLE', kind: 'retry' }, 'away for a moment')
      const published = elsewhere ?? sent.at(-1) ?? (of.published?.at(-1) && ref(of.published.at(-1)!)) ?? null
      return { kind: 'claimed', published, headRevision: '1', mirrorTag: 't' }
    },
    writeManifest: async (manifest) => {
      manifests.set(ref(manifest).key, manifest)
      return ref(manifest)
    },
    readManifest: async ({ key }) => {
      if (damaged.has(key))
        throw new WeirError({ code: 'MANIFEST_CORRUPT', kind: 'invalid', key }, `${key} is damaged.`)
      return manifests.get(key) ?? Promise.reject(new Error('nothing is published'))
    },
    publish: async (manifest) => {
      sent.push(manifest)
      head = { generation: generation(3), manifest, nonce: '' }
      const answer = answers.shift() ?? 'ok'
      if (answer instanceof Error) throw answer
      return answer === 'ok'
        ? { kind: 'published', published: { manifest, headRevision: '2', mirrorTag: 'u' } }
        : answer
    },
    get degraded() {
      return arbiter.degraded
    },
    reconcile: async () => {
      reconciles++
      return arbiter.degraded ? { kind: 'degraded', reason: 'still away' } : { kind: 'reconciled' }
    },
  }
  const jobs = {
    update: async (_: unknown, change: (r: JobRecord) => JobRecord) => (record = change(record)),
  } as unknown as JobStore
  const deleted: string[] = []
  /** Keys that are not whole. */
  const damaged = new Map<string, 'missing' | 'corrupt'>()
  const epochs: EpochObjects = {
    head: async () => head,
    list: async () => [`jobs/j/epochs/1-g2-a9/state-0-1.seg`],
    delete: async (keys) => void deleted.push(...keys),
    verify: async ({ key }) => damaged.get(key) ?? 'whole',
  }
  const drafts: SavepointDraft[] = []
  let copying: Promise<void> = Promise.resolve()
  const savepoints: SavepointStore = {
    write: async (draft) => {
      drafts.push(draft)
      await copying
      return { savepoint: draft.savepoint, folder: `${draft.savepoint.name}/` }
    },
    list: async () => [],
    delete: async () => false,
  }
  const slots = new FleetSlots()
  let connected = true
  const master = new JobMaster(
    {
      spec,
      generation: generation(3),
      submittedAt: 0,
      tickMs: 50,
      leaseTtlMs: 5_000,
      ...(of.used && { used: of.used }),
      ...(of.rates && { rates: of.rates }),
      ...(of.degraded && { degraded: true }),
      ...(of.retainedMin !== undefined && { retainedMin: of.retainedMin }),
    },
    {
      beginning: of.beginning ?? null,
      checkpoints,
      epochs,
      savepoints,
      jobs,
      slots,
      clock,
      random: new SeededRandom(1),
      signal: abort.signal,
      control: { send: (_to, command) => connected && commands.push(command) > 0 },
      stepDown: (reason) => void steppedDown.push(reason),
      publish: () => {},
    },
  )
  const advance = async (ms: number): Promise<void> => {
    clock.advance(ms)
    for (let i = 0; i < 20; i++) await Promise.resolve()
  }
  const settle = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) await advance(50)
  }
  const slice = { jobId: id, attempt: { generation: generation(3), attempt: attempt(1) }, subtask: subtask(0) }
  const run = async (): Promise<void> => {
    slots.join(A, 1)
    master.start()
    await settle(500)
    master.dispatch({ type: 'deployed', slice, exchangeAddress: 'x:1' })
    master.dispatch({ type: 'recovered', slice, proofs: [] })
  }
  const ack = (n: number, chain: readonly string[] = [], of = slice): void => {
    const snapshot = {
      subtask: subtask(0),
      sources: {},
      segments: [{ stage: 1, chain: chain.map((key) => ({ key, bytes: 1, sha256: '' })) }],
      sinks: { out: { sequence: n, handles: [{ sequence: n }] } },
      watermarks: {},
      recordsIn: 1,
    }
    master.dispatch({ type: 'ack', slice: of, checkpoint: { ...of.attempt, epoch: epoch(n) }, snapshot })
  }
  return {
    master,
    commands,
    steppedDown,
    abort,
    sent,
    slots,
    advance,
    settle,
    slice,
    run,
    ack,
    deleted,
    damaged,
    drafts,
    /** Copies take until the answer is called. */
    holdCopies: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      copying = promise
      return resolve
    },
    publishedElsewhere: (m: Manifest) => {
      manifests.set(ref(m).key, m)
      elsewhere = ref(m)
    },
    record: () => record,
    reconciles: () => reconciles,
    published: () => manifests.get(sent.at(-1)!.key),
    claims: () => claims,
    now: () => clock.now(),
    disconnect: () => (connected = false),
  }
}
const words = (commands: readonly SliceCommand[]): string[] => commands.map((c) => c.type)

test('a gap that a source went over is in the view and an alert, once, however often attempts tell it', async () => {
  const l = leader()
  await l.run()
  const gap = (partition: number, offset: string) => ({
    ...{ topic: 't', partition, offset, logStart: '100', logEnd: '200', policy: 'latest' as const },
    ...{ resumedAt: '200', gapRecords: 60, skippedRecords: 160, epoch: 7 },
  })
  const tell = (partition: number, offset: string, slice = l.slice): void =>
    l.master.dispatch({ type: 'source-gap', slice, source: 'in', gap: gap(partition, offset) })
  tell(2, '40')
  tell(0, '40')
  tell(2, '40')
  tell(1, '40', { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(9) } })
  expect(l.master.view().sourceGaps).toEqual([0, 2].map((p) => ({ source: 'in', ...gap(p, '40') })))
  expect(l.master.view().alerts).toMatchObject([
    {
      code: 'SOURCE_GAP',
      message:
        'source "in": t-0 holds 100 to 200, the job was at 40, 60 records apart: policy "latest" goes on at 200, 160 records are skipped',
    },
  ])
})

test('rates are told in front of run and when they change, and the view has what slices tell of them', async () => {
  const limit = { recordsPerSecond: 100, minRecordsPerSecond: 10 }
  const l = leader([], { degraded: false }, { rates: { in: limit } })
  await l.run()
  expect(words(l.commands)).toEqual(['deploy', 'recover', 'rates', 'run'])
  expect(l.commands[2]).toMatchObject({ limits: { in: limit } })
  const faster = { recordsPerSecond: 900, minRecordsPerSecond: null }
  l.master.adjustRates({ in: faster })
  expect(l.commands.at(-1)).toMatchObject({ type: 'rates', slice: l.slice, limits: { in: faster } })
  const rates = [{ source: operatorUid('in'), limit: faster, current: 850, reason: null }]
  l.master.dispatch({ type: 'progress', slice: l.slice, recordsIn: 1, recordsOut: 1, watermark: 0, rates })
  expect(l.master.view()).toMatchObject({
    rates: [{ source: 'in', ...faster, current: 850, reason: null }],
    slices: [{ rates }],
  })
})

test('the degrade switch goes with triggers: an epoch is asked for when it is turned, and each one says how it stands', async () => {
  const triggers = (l: ReturnType<typeof leader>): (boolean | undefined)[] =>
    l.commands.flatMap((command) => (command.type === 'trigger' ? [command.degraded] : []))
  const l = leader()
  await l.run()
  l.master.degrade(true)
  l.master.degrade(true) // as it stands
  expect(triggers(l)).toEqual([true])
  l.master.degrade(false) // asked for, behind the one in flight
  l.ack(1)
  await l.settle(500)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  await l.settle(2_000)
  expect(triggers(l)).toEqual([true, undefined])

  const next = leader([], { degraded: false }, { degraded: true })
  await next.run()
  next.master.dispatch({ type: 'ask' })
  expect(triggers(next)).toEqual([true])
})

test('a job whose rates nobody has changed is told nothing of them', async () => {
  const l = leader()
  await l.run()
  expect(words(l.commands)).not.toContain('rates')
})

test('while a restart waits, the view says which strategy counted what, and when it is over', async () => {
  const l = leader()
  await l.run()
  expect(l.master.view().restart).toEqual({ strategy: 'fixed', failures: 0, nextAt: null })
  const failure = { code: 'BROKEN', kind: 'restart', message: 'broken', facts: {} } as const
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  const { nextAt } = l.master.view().restart
  expect(l.master.view().restart).toEqual({ strategy: 'fixed', failures: 1, nextAt })
  await l.settle(nextAt! - l.now() - 50)
  expect(l.master.view().state).toBe('RESTARTING')
  expect(l.master.view().restart.nextAt).toBe(nextAt)
  await l.settle(100)
  expect(l.master.view().restart).toEqual({ strategy: 'fixed', failures: 1, nextAt: null })
})

test('claims again while an arbiter is away, then runs an epoch to the end', async () => {
  const l = leader()
  await l.run()
  expect(words(l.commands)).toEqual(['deploy', 'recover', 'run'])
  await l.settle(1_050)
  l.ack(1)
  await l.settle(100)
  expect(l.commands.at(-1)).toMatchObject({ type: 'commit', epoch: 1, manifestDigest: 'd1', upTo: { out: 1 } })
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  expect(l.master.view()).toMatchObject({ state: 'RUNNING', publishedEpoch: 1, finalEpoch: 1 })
  expect(l.master.checkpoints()[0]).toMatchObject({ epoch: 1, status: 'final' })
  expect(l.master.checkpointTasks(1)).toMatchObject([{ subtask: 0, status: 'acknowledged', uploadMs: null }])
})

test('a late ack of an attempt that is over is no transaction of the one that runs', async () => {
  const l = leader()
  await l.run()
  l.ack(1)
  expect(l.master.ledger().facts.prepared).toMatchObject([{ sinks: { out: { sequence: 1 } } }])
  const failure = { code: 'BROKEN', kind: 'restart', message: 'broken', facts: {} } as const
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(2_000)
  expect(l.master.view()).toMatchObject({ state: 'DEPLOYING', attempt: 2 })
  l.ack(2)
  expect(l.master.ledger().facts.prepared).toEqual([])
  l.ack(3, [], { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(2) } })
  expect(l.master.ledger().facts.prepared).toHaveLength(1)
})

test('A3: an unanswered publish is sent again, with the same manifest, until the arbiters answer', async () => {
  const unknown: PublishOutcome = { kind: 'unknown', reason: 'timed out' }
  const l = leader([unknown, unknown, 'ok'])
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(1_000)
  expect(l.sent.map((m) => m.digest)).toEqual(['d1', 'd1', 'd1'])
  expect(words(l.commands).filter((w) => w === 'commit')).toHaveLength(1)
})

test('A3: a publish whose call fails is no refusal: it may have left, so it is sent again; one that is fenced ends the term', async () => {
  const l = leader([new Error('socket hang up'), 'ok'])
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(1_000)
  expect([l.sent.map((m) => m.digest), l.steppedDown]).toEqual([['d1', 'd1'], []])

  const other = leader([new WeirError({ code: 'LEADERSHIP_LOST', kind: 'fenced' }, 'another process leads')])
  await other.run()
  await other.settle(1_050)
  other.ack(1)
  await other.settle(1_000)
  expect([other.sent.length, other.steppedDown.length]).toEqual([1, 1])
  expect(words(other.commands)).not.toContain('commit')
})

test('A1: every attempt restores what its own claim finds, whatever this leader remembers', async () => {
  const l = leader([], { degraded: false }, { published: [stored(1, ['one'])] })
  await l.run()
  l.publishedElsewhere(stored(4, ['four']))
  const failure = { code: 'X', kind: 'restart' as const, message: 'x', facts: {} }
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(10_000)
  const slice = { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(2) } }
  l.master.dispatch({ type: 'deployed', slice, exchangeAddress: 'x:1' })
  const recovers = l.commands.filter((command) => command.type === 'recover')
  expect(recovers.map(({ snapshot }) => snapshot?.segments)).toMatchObject([
    [{ chain: [{ key: 'one' }] }],
    [{ chain: [{ key: 'four' }] }],
  ])
})

test('etcd silent: the alert is raised, and cleared when etcd has been raised to what is published', async () => {
  const arbiter = { degraded: true }
  const l = leader([], arbiter)
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(100)
  expect(words(l.commands)).toContain('commit')
  expect(l.master.view().alerts).toMatchObject([{ code: 'ARBITER_DEGRADED' }])
  await l.settle(3_000)
  expect(l.reconciles()).toBeGreaterThanOrEqual(2)
  arbiter.degraded = false
  await l.settle(1_050)
  expect(l.master.view().alerts).toEqual([])
  const asked = l.reconciles()
  await l.settle(3_000)
  expect(l.reconciles()).toBe(asked)
})

test('of an epoch that timed out the history and the alert say what each slice had waited for', async () => {
  const l = leader()
  await l.run()
  await l.settle(1_050 + 120_000)
  expect(l.commands.at(-1)).toMatchObject({ type: 'give-up', timedOut: true })
  const checkpoint = { ...l.slice.attempt, epoch: epoch(1) }
  const inputs = [{ cause: 'barrier', stage: 'by-key', from: 'in', fromSubtask: subtask(1) }] as const
  const tell = (of = l.slice) =>
    l.master.dispatch({ type: 'gave-up', slice: of, checkpoint, late: { inputs, more: 2 } })
  tell()
  tell({ ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(9) } })
  expect(l.master.checkpoints().find((c) => c.epoch === 1)).toMatchObject({
    status: 'given-up',
    durationMs: 120_000,
    reason: 'timeout: no ack within 120000 ms from subtasks 0',
    late: [{ subtask: 0, inputs, more: 2 }],
  })
  expect(l.master.checkpointTasks(1)).toMatchObject([
    { subtask: 0, status: 'late', reason: 'subtask 0 waited for barriers from in[1] into by-key, and 2 more' },
  ])
  const message =
    'epoch 1: timeout: no ack within 120000 ms from subtasks 0; subtask 0 waited for barriers from in[1] into by-key, and 2 more'
  expect(l.master.view().alerts).toMatchObject([{ code: 'CHECKPOINTS_GIVEN_UP', message }])
  for (let n = 0; n < 40; n++) tell()
  expect(l.master.checkpoints().find((c) => c.epoch === 1)!.late).toHaveLength(16)
})

test('checkpoints that keep failing: the job is degraded, and its circuit says how and until when', async () => {
  const l = leader()
  await l.run()
  expect(l.master.view()).toMatchObject({ degraded: false, circuit: { state: 'closed', failures: 0, until: null } })
  const failure = { code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry', message: 'away', facts: {} } as const
  for (let n = 1; n <= 4; n++) {
    await l.settle(1_050)
    l.master.dispatch({
      type: 'declined',
      slice: l.slice,
      checkpoint: { ...l.slice.attempt, epoch: epoch(n) },
      failure,
    })
  }
  expect(l.master.view()).toMatchObject({ degraded: true, circuit: { state: 'open', failures: 4, until: null } })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(1_500)
  const slice = { ...l.slice, attempt: { ...l.slice.attempt, attempt: attempt(2) } }
  l.master.dispatch({ type: 'deployed', slice, exchangeAddress: 'x:1' })
  l.master.dispatch({ type: 'recovered', slice, proofs: [] })
  expect(l.master.view()).toMatchObject({ state: 'RUNNING', circuit: { state: 'open', until: l.now() + 2_000 } })
  expect(l.master.view().alerts).toMatchObject([
    { code: 'CHECKPOINTS_GIVEN_UP' },
    {
      code: 'CHECKPOINTS_FAILING',
      message: '4 checkpoints in a row were given up; the next one comes 2000 ms after the job runs again',
    },
  ])
  await l.settle(2_050)
  expect(l.master.view().circuit).toEqual({ state: 'half-open', failures: 4, until: null })
  l.ack(5, [], slice)
  await l.settle(100)
  expect(l.master.view()).toMatchObject({ degraded: false, circuit: { state: 'closed', failures: 0 }, alerts: [] })
})

test('A8: a deploy comes right behind a won claim, also after a long wait for slots', async () => {
  const l = leader()
  l.master.start()
  await l.settle(10_000)
  const claims = l.claims()
  l.slots.join(A, 1)
  await l.settle(50)
  expect(l.claims()).toBe(claims + 1)
  expect(words(l.commands)).toEqual(['deploy'])
})

test('superseded: steps down, commits nothing', async () => {
  const l = leader([{ kind: 'superseded', reason: 'generation 4 leads' }])
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(100)
  expect(l.steppedDown).toEqual(['j: generation 4 leads'])
  expect(words(l.commands)).not.toContain('commit')
})

test('at the end of the lease nothing more is sent and the slots are free', async () => {
  const l = leader()
  await l.run()
  const before = l.commands.length
  l.abort.abort(new Error('lease is over'))
  await l.settle(20_000)
  expect(l.commands).toHaveLength(before)
  expect(l.slots.free()).toBe(1)
})

test('a job without slots says what it waits for', async () => {
  const l = leader()
  l.master.start()
  await l.settle(500)
  expect(l.master.view()).toMatchObject({
    state: 'CREATED',
    error: { code: 'WAITING_FOR_SLOTS', facts: { needed: 1, free: 0 } },
  })
})

test('the end of a job is recorded once', async () => {
  const l = leader()
  await l.run()
  l.master.dispatch({ type: 'cancel' })
  expect(l.commands.at(-1)).toMatchObject({ type: 'stop', mode: 'abort' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.record().ended).toMatchObject({ state: 'CANCELLED', error: null })
})

test('a task-manager that cannot be reached is a lost one', async () => {
  const l = leader()
  await l.run()
  l.disconnect()
  await l.settle(1_050)
  expect(l.master.view().state).toBe('RESTARTING')
})

/** An epoch from its trigger to final. */
async function whole(l: ReturnType<typeof leader>, n: number, chain: readonly string[]): Promise<void> {
  await l.settle(1_050)
  l.ack(n, chain)
  await l.settle(100)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(n) })
}

test('epochs and restarts come when they are due, between two ticks', async () => {
  const l = leader()
  l.slots.join(A, 1)
  l.master.start()
  await l.settle(500)
  await l.advance(7)
  l.master.dispatch({ type: 'deployed', slice: l.slice, exchangeAddress: 'x:1' })
  l.master.dispatch({ type: 'recovered', slice: l.slice, proofs: [] })
  await whole(l, 1, ['a'])
  const finalAt = l.now()
  await l.settle(1_050)
  const triggered = l.master.checkpoints().map(({ triggeredAt }) => triggeredAt)
  expect(triggered).toEqual([finalAt + settings.checkpoint.minPauseMs, 507 + settings.checkpoint.intervalMs])
  const claims = l.claims()
  const stoppedAt = l.now()
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  const { delayMs } = settings.restart as { readonly delayMs: number }
  await l.advance(delayMs - 1)
  expect(l.claims()).toBe(claims)
  await l.advance(1)
  expect([l.now(), l.claims()]).toEqual([stoppedAt + delayMs, claims + 1])
})

test('A22: an orphan is listed by a published manifest, and deleted an epoch and two leases later', async () => {
  const l = leader()
  await l.run()
  for (let n = 1; n <= 9; n++) await whole(l, n, ['base'])
  expect(l.deleted).toEqual([])
  for (let n = 10; n <= 14; n++) await whole(l, n, ['base'])
  expect(l.deleted).toContain('jobs/j/epochs/1-g2-a9/state-0-1.seg')
  expect(l.deleted).not.toContain('base')
})

test('damaged state ends the job; the newest kept epoch that is whole is offered, not taken', async () => {
  const l = leader()
  await l.run()
  await whole(l, 1, ['a'])
  await whole(l, 2, ['a', 'b'])
  await whole(l, 3, ['a', 'b', 'c'])
  l.damaged.set('b', 'missing').set('c', 'corrupt')
  const facts = { objectKey: 'c' }
  const failure = { code: 'SEGMENT_CORRUPT', kind: 'invalid', message: 'segment c is damaged.', facts } as const
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.record().ended).toMatchObject({
    state: 'FAILED',
    error: { code: 'SEGMENT_CORRUPT', facts: { objectKey: 'c', epoch: 3, offered: { epoch: 1, digest: 'd1' } } },
  })
  expect(l.master.view().error?.message).toMatch(/^epoch 3 cannot be restored: segment c .* Epoch 1 .* is whole/)
  expect(words(l.commands).filter((w) => w === 'recover')).toHaveLength(1)
})

test('A23: a savepoint is of the first final epoch triggered after the wish, and holds no handles', async () => {
  const l = leader()
  await l.run()
  await l.settle(1_050) // epoch 1 is on its way
  expect(l.master.savepoint('before-upgrade')).toMatchObject({ state: 'IN_PROGRESS', epoch: null })
  l.ack(1, ['a'])
  await l.settle(100)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  expect(l.drafts).toEqual([])
  await l.settle(50) // without the interval
  l.ack(2, ['a', 'b'])
  await l.settle(100)
  expect(l.master.view()).toMatchObject({ publishedEpoch: 2, finalEpoch: 1 })
  expect(l.drafts).toEqual([]) // published, and not final yet
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(2) })
  const [draft] = l.drafts
  expect(draft!.savepoint).toMatchObject({
    ...{ name: 'before-upgrade', epoch: 2, stopped: false },
    subtasks: [{ sinks: { out: { sequence: 2, handles: [] } } }],
  })
  expect(draft!.copies.map(({ from, to }) => [from.key, to])).toEqual([
    ['a', 'state-000001.seg'],
    ['b', 'state-000002.seg'],
  ])
  expect(draft!.savepoint.subtasks[0]!.segments).toMatchObject([
    { chain: [{ key: 'state-000001.seg' }, { key: 'state-000002.seg' }] },
  ])
  expect(() => l.master.savepoint('No')).toThrow('cannot name a savepoint')
})

test('of a job that asks for fewer epochs than its job-manager keeps, so many are kept', async () => {
  const l = leader([], { degraded: false }, { retainedMin: 5 })
  await l.run()
  for (let n = 1; n <= 7; n++) await whole(l, n, ['a'])
  expect(l.published()?.retention?.epochs.map((of) => of.epoch)).toEqual([6, 5, 4, 3])
})

test('an epoch that is being copied into a savepoint is kept, however many follow', async () => {
  const l = leader()
  await l.run()
  const copied = l.holdCopies()
  l.master.savepoint('s')
  await l.settle(50)
  l.ack(1, ['a'])
  await l.settle(100)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  const kept = (): number[] | undefined => l.published()?.retention?.epochs.map((of) => of.epoch)
  for (let n = 2; n <= 6; n++) await whole(l, n, ['b'])
  expect(kept()).toEqual([5, 4, 1])
  expect(l.master.savepoints()).toMatchObject([{ name: 's', state: 'IN_PROGRESS', epoch: 1 }])
  copied()
  await whole(l, 7, ['b'])
  expect(kept()).toEqual([6, 5])
  expect(l.master.savepoints()).toEqual([])
})

test('a savepoint that the job did not live to take has failed, and says so', async () => {
  const l = leader()
  await l.run()
  l.master.savepoint('s')
  l.master.dispatch({ type: 'cancel' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.master.savepoints()).toMatchObject([{ state: 'FAILED', error: { code: 'SAVEPOINT_NOT_TAKEN' } }])
  expect(() => l.master.savepoint('t')).toThrow('about to end')
})

test('B6: STOPPED is recorded when the last epoch is final and its savepoint complete', async () => {
  const l = leader()
  await l.run()
  const copied = l.holdCopies()
  l.master.dispatch({ type: 'stop', savepoint: 'last' })
  expect(l.master.view().state).toBe('STOPPING')
  await l.settle(50)
  expect(l.commands.at(-1)).toMatchObject({ type: 'trigger', last: true })
  l.ack(1, ['a'])
  await l.settle(100)
  expect(l.commands.at(-1)).toMatchObject({ type: 'commit' })
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  expect(l.commands.at(-1)).toMatchObject({ type: 'stop' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.settle(100)
  expect(l.master.view().state).toBe('STOPPING')
  expect(l.record().ended).toBeNull()
  copied()
  await l.master.ended
  expect(l.record().ended).toMatchObject({ state: 'STOPPED', error: null })
  expect(l.master.view().state).toBe('STOPPED')
  expect(l.drafts[0]!.savepoint).toMatchObject({ name: 'last', epoch: 1, stopped: true })
})

/** As an earlier leader has published it. */
const stored = (n: number, chain: readonly string[] = []): Manifest => ({
  ...{ formatVersion: 1, jobId: id, epoch: epoch(n), generation: generation(2), attempt: attempt(1), graphHash: 'g' },
  ...{ parallelism: 1, maxParallelism: 128, triggeredAt: 0, lastCommittedAt: null, parentEpoch: epoch(n - 1) },
  ...{ parentDigest: n === 1 ? null : digest(`d${n - 1}`), parentKey: n === 1 ? null : `m${n - 1}` },
  subtasks: [
    {
      ...{ subtask: subtask(0), sources: {}, sinks: {}, watermarks: {}, recordsIn: 5 },
      segments: [{ stage: 1, chain: chain.map((key) => ({ key, bytes: 1, sha256: '' })) }],
    },
  ],
})

test('a job that is started from somewhere publishes its first epoch, with names no earlier run has used, and goes on', async () => {
  const made: { epoch: number; attempt: number; published: number | undefined }[] = []
  const beginning: Beginning = {
    after: epoch(4),
    make: async (checkpoint, published) => {
      made.push({ ...checkpoint, published: published?.ref.epoch })
      if (made.length === 1) throw new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' }, 'away')
      return { ...stored(checkpoint.epoch, ['copied']), ...checkpoint }
    },
  }
  const unknown: PublishOutcome = { kind: 'unknown', reason: 'timed out' }
  const used = { attempt: attempt(2), epoch: epoch(6) }
  const l = leader([unknown, 'ok'], { degraded: false }, { published: [stored(3), stored(4)], beginning, used })
  l.slots.join(A, 1)
  l.master.start()
  await l.settle(2_000)
  const first = { epoch: 7, attempt: 3, published: 4 }
  expect(made).toMatchObject([first, first])
  expect(l.sent.map(({ digest: of, parentEpoch }) => [of, parentEpoch])).toEqual([
    ['d7', 4],
    ['d7', 4],
  ])
  expect(l.published()?.retention?.epochs.map((of) => of.epoch)).toEqual([4])
  expect(l.commands).toMatchObject([{ type: 'deploy', slice: { attempt: { attempt: 4 } } }])
  expect(l.master.view()).toMatchObject({ publishedEpoch: 7, attempt: 4 })
})

test('what is published behind it is the job’s own: after a takeover it is not begun again', async () => {
  const beginning: Beginning = { after: epoch(3), make: () => expect.unreachable() }
  const l = leader([], { degraded: false }, { published: [stored(3), stored(4)], beginning })
  l.slots.join(A, 1)
  l.master.start()
  await l.settle(1_000)
  expect(words(l.commands)).toEqual(['deploy'])
})

test('a start that cannot be made ends the job, and its numbers stay used', async () => {
  const refused = new WeirError({ code: 'SEGMENT_CORRUPT', kind: 'invalid' }, 'damaged.')
  const beginning: Beginning = { after: epoch(0), make: () => Promise.reject(refused) }
  const l = leader([], { degraded: false }, { beginning: { ...beginning, after: epoch(4) }, published: [stored(4)] })
  l.master.start()
  await l.settle(1_000)
  await l.master.ended
  const kept = [{ epoch: 4 }] // of the run before
  expect(l.record().ended).toMatchObject({ state: 'FAILED', error: { code: 'SEGMENT_CORRUPT' }, kept })
  expect(l.master.used()).toEqual({ attempt: 1, epoch: 0 })
})

test('of a damaged newest manifest the one before is found, offered, and kept to be started from', async () => {
  const l = leader([], { degraded: false }, { published: [stored(1), stored(2), stored(3)] })
  l.damaged.set('m3', 'corrupt')
  l.master.start()
  await l.settle(1_000)
  await l.master.ended
  const { ended } = l.record()
  expect(ended).toMatchObject({
    state: 'FAILED',
    error: { code: 'MANIFEST_CORRUPT', facts: { offered: { epoch: 2 } } },
  })
  expect(ended!.kept!.map((of) => of.epoch)).toEqual([3, 2])
  expect(l.master.view().error!.message).toContain('--from 2')
})

test('kept of a job that has ended is its newest epoch; of one that has failed everything it could go back to', async () => {
  const l = leader()
  await l.run()
  for (const n of [1, 2]) await whole(l, n, ['a'])
  l.master.dispatch({ type: 'cancel' })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  await l.master.ended
  expect(l.record().ended!.kept!.map((of) => of.epoch)).toEqual([2])
})

test('a restart that is asked for is one behind a failure of that slice: from the last epoch, counted, with its reason', async () => {
  const l = leader()
  await l.run()
  expect(() => l.master.restartSlices(7, 'alert Stuck')).toThrow(
    expect.objectContaining({ code: 'SUBTASK_UNKNOWN' }) as Error,
  )
  l.master.restartSlices(null, 'alert Stuck')
  expect(l.commands.at(-1)).toMatchObject({ type: 'stop', mode: 'leave' })
  expect(l.master.view()).toMatchObject({
    state: 'RESTARTING',
    error: { code: 'RESTART_ASKED', message: 'a restart was asked for: alert Stuck' },
  })
  expect(() => l.master.restartSlices(null, 'alert Stuck')).toThrow(
    expect.objectContaining({ code: 'JOB_NOT_RUNNING', kind: 'retry' }) as Error,
  )
})
