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
import { attempt, digest, epoch, generation, jobId, subtask, taskManagerId, WeirError } from '@weir/model'
import { ManualClock, SeededRandom } from '@weir/model/testing'
import { JobMaster } from './driver.ts'
import type { Beginning, SliceCommand } from './ports.ts'
import { ackOf } from './machine.fixture.ts'
import { FleetSlots } from './slots.ts'
import type { UsedNumbers } from './state.ts'

const id = jobId('j')
export const A = taskManagerId('tm-a')
export const settings = { ...defaultSettings, checkpoint: { ...defaultSettings.checkpoint, intervalMs: 1_000 } }
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
export function leader(
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
    master.dispatch(ackOf(of, { ...of.attempt, epoch: epoch(n) }, snapshot))
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
export const words = (commands: readonly SliceCommand[]): string[] => commands.map((c) => c.type)

/** An epoch from its trigger to final. */
export async function whole(l: ReturnType<typeof leader>, n: number, chain: readonly string[]): Promise<void> {
  await l.settle(1_050)
  l.ack(n, chain)
  await l.settle(100)
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(n) })
}

/** As an earlier leader has published it. */
export const stored = (n: number, chain: readonly string[] = []): Manifest => ({
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
