/**
 * Everything there is: two possible job-managers, the two registers of the arbiter, the object store, the attempts of
 * each sink subtask, Kafka, packets that are late. The job, arbiter and recovery states in it are those of the real
 * machines. Parts are values and are replaced; only the arrays of `copyWorld` are changed in place.
 */
import type { Head, Manifest, ManifestRef } from '@weir/checkpoint'
import type { SinkRecoveryStep, PreparedHandle } from '@weir/dataflow'
import type { EndState, Ending, JobEvent, JobSpec, JobState } from '@weir/job'
import { digest, jobId, operatorUid, type AttemptId, type CheckpointId, type Epoch, type Generation } from '@weir/model'
import { defaultSettings } from '../../libs/dataflow/src/settings.ts'
import type { ArbiterEffect, ArbiterKind, ArbiterState } from '../../libs/metadata/src/arbiter.ts'
import { freshKafka, type KafkaSubtask } from './kafka.ts'

export const SINK = operatorUid('out')
export const SOURCE = operatorUid('in')
/** Ids in a sink's pool: tolerated aborts + 1. */
export const POOL = 2
const TOLERATED_ABORTS = POOL - 1
/** Attempts of one subtask that are alive at once; on another deployment the oldest is gone. */
export const ATTEMPTS_ALIVE_MAX = 3
/** Time stands at 0; a tick at this moment is the epoch's time-out. */
export const ALIGN_TIMEOUT_MS = 1

export interface Bounds {
  readonly sinks: number
  /** Chunks of input per subtask: what it writes between two cuts. */
  readonly chunks: number
  readonly faults: number
  readonly arbiter: ArbiterKind
  /** `region`: each subtask restarts alone where it may. Absent: `full`. */
  readonly failover?: 'region' | 'full'
}

export type StoreCall =
  | { readonly type: 'claim' | 'reconcile' }
  | { readonly type: 'write-manifest'; readonly checkpoint: CheckpointId; readonly manifest: Manifest }
  | { readonly type: 'publish'; readonly checkpoint: CheckpointId; readonly ref: ManifestRef }

/** One JobMaster with its CheckpointStore. */
export interface JobManager {
  readonly generation: Generation
  readonly job: JobState
  readonly arbiter: ArbiterState
  /** The store takes one call at a time; the first is under way. */
  readonly calls: readonly StoreCall[]
  /** The request to a register that the first call waits for; null for a manifest. */
  readonly asking: ArbiterEffect | null
  readonly claims: number
  /** etcd does not answer it. */
  readonly away: boolean
  /** Degraded: will ask whether etcd is back. */
  readonly watching: boolean
  /** The end that is to be recorded. */
  readonly recording: Ending | null
}

/** One attempt of one slice: a source of chunks and a sink with its pool. */
export interface Task {
  readonly attempt: AttemptId
  readonly phase: 'deployed' | 'recovering' | 'recovered' | 'running' | 'failed'
  /** False: its job-manager takes it for lost and tells it nothing more. */
  readonly connected: boolean
  readonly recovery: SinkRecoveryStep | null
  /** The healing transaction is written and not ended. */
  readonly healing: boolean
  /** Chunks read from the source. */
  readonly position: number
  readonly pool: readonly { readonly epoch: number; readonly state: 'free' | 'open' | 'prepared' }[]
  readonly open: { readonly id: number; readonly offset: number; readonly chunk: number } | null
  readonly prepared: readonly PreparedHandle[]
  readonly sequence: number
  /** `givenUp`: the barrier may still be on its way through the slice. */
  readonly barrier: { readonly checkpoint: CheckpointId; readonly givenUp: boolean } | null
  readonly commit: { readonly epoch: Epoch; readonly upTo: number; readonly begun: boolean } | null
  /** Told to stop and to fence its pool. */
  readonly aborting: boolean
  readonly transactions: number
  /** Staged output whose transaction the latest commit command has ended, see dataflow's StagedRetention. */
  readonly ended: readonly string[]
  readonly swept: boolean
}

/** A request that its sender has given up waiting for. */
export type LatePacket =
  | { readonly to: 'register'; readonly generation: Generation; readonly ref: ManifestRef; readonly expected: string }
  | { readonly to: 'mirror'; readonly head: Head; readonly expected: string | null }

export interface World {
  readonly chunks: number
  readonly arbiter: ArbiterKind
  faults: number
  /** etcd: the leader key (its create revision is the generation) and the head. */
  leader: Generation | null
  generations: number
  register: { readonly manifest: ManifestRef | null; readonly revision: number }
  revisions: number
  /** head.json; tag 0: there is none. */
  mirror: { readonly head: Head | null; readonly tag: number }
  /** Manifests by key. */
  objects: ReadonlyMap<string, { readonly digest: string; readonly manifest: Manifest }>
  managers: (JobManager | null)[]
  tasks: Task[][]
  kafka: KafkaSubtask[]
  /** Per subtask, key → chunks. */
  staged: ReadonlyMap<string, readonly number[]>[]
  late: LatePacket[]
  cancelled: boolean
  ended: EndState | null
  /** Reports on their way; empty between two actions. */
  inbox: { readonly to: Generation; readonly event: Event; readonly now: number }[]
  /** For the checks only: the highest epoch that any register has held, and the first property that did not hold. */
  published: ManifestRef | null
  broken: string | null
}

export type Event = JobEvent extends infer E
  ? E extends unknown
    ? Omit<E, 'now' | 'wallClock' | 'random'>
    : never
  : never

export const specFor = ({ sinks, failover = 'full' }: Bounds): JobSpec => ({
  jobId: jobId('j'),
  name: 'j',
  bundleDigest: digest('b'),
  graphHash: 'g',
  plan: {
    version: 1,
    name: 'j',
    settings: {
      ...defaultSettings,
      parallelism: sinks,
      checkpoint: {
        ...defaultSettings.checkpoint,
        intervalMs: 0,
        everyRecords: null,
        minPauseMs: 0,
        alignTimeoutMs: ALIGN_TIMEOUT_MS,
        toleratedAborts: TOLERATED_ABORTS,
      },
      restart: { attempts: Number.MAX_SAFE_INTEGER, delayMs: 0 },
      failover,
    },
    nodes: [],
    edges: [],
    stages: 1,
    sources: [SOURCE],
    sinks: [SINK],
  },
})

export function firstWorld({ sinks, chunks, faults, arbiter }: Bounds): World {
  const each = <T>(make: () => T): T[] => Array.from({ length: sinks }, make)
  return {
    chunks,
    arbiter,
    faults,
    leader: null,
    generations: 0,
    register: { manifest: null, revision: 0 },
    revisions: 0,
    mirror: { head: null, tag: 0 },
    objects: new Map(),
    managers: [null, null],
    tasks: each(() => []),
    kafka: each(() => freshKafka(POOL)),
    staged: each(() => new Map()),
    late: [],
    cancelled: false,
    ended: null,
    inbox: [],
    published: null,
    broken: null,
  }
}

export const copyWorld = (world: World): World => ({
  ...world,
  managers: [...world.managers],
  tasks: world.tasks.map((attempts) => [...attempts]),
  kafka: [...world.kafka],
  staged: [...world.staged],
  late: [...world.late],
  inbox: [],
})

/** Something for the job-manager of a generation, where it still is. */
export const send = (world: World, to: Generation, event: Event, now = 0): void => {
  world.inbox.push({ to, event, now })
}

/** The first thing found is kept. */
export const breakWorld = (world: World, what: string): void => {
  world.broken ??= what
}

export const manifestOf = (world: World, ref: ManifestRef): Manifest | null => {
  const object = world.objects.get(ref.key)
  return object?.digest === ref.digest ? object.manifest : null
}

/** Chunks of a subtask that a manifest covers. */
export const positionIn = (manifest: Manifest | null, subtask: number): number =>
  (manifest?.subtasks.find((s) => s.subtask === subtask)?.sources[SOURCE] as { position: number } | undefined)
    ?.position ?? 0
