/**
 * The life of one job under one leader, as a union of phases; each phase's moves are in `states/<phase>.ts`.
 *
 * ```
 * claiming ─▶ placing ─▶ deploying ─▶ recovering ─▶ running
 *    ▲                        │            │           │  failure, lost task-manager, drain, cancel, end of input
 *    │                        └────────────┴───────────┤
 *    │                                                 ▼
 *    └── backing-off ◀── stopping(leave) ◀────────  settling (the epoch in flight is closed first, PROTOCOL A4)
 *                                                      │ the job is to end and nothing published waits for its commit
 *                                                      ▼
 *                                             stopping(abort) ─▶ ended
 * ```
 *
 * A job that is to end (cancelled, failed) while a published epoch is not final goes round once more: claim → deploy →
 * recover commits what is published and fences every pool, and then stops instead of running. So ending is no special
 * case of recovery, and no published output is ever aborted.
 *
 * A failure in one of several pipeline regions stays in `running`: failover.ts has that picture.
 */
import type {
  CoordinatorEffect,
  CoordinatorState,
  LateInputs,
  Manifest,
  ManifestRef,
  PublishOutcome,
  SubtaskSnapshot,
  ToldTimes,
} from '@weir/checkpoint'
import type {
  ClaimCounts,
  ClaimsNews,
  LateCount,
  OffsetGap,
  PlanSummary,
  Poison,
  SliceMetrics,
  SliceProgress,
  SourceRate,
  SplitTime,
} from '@weir/dataflow'
import type {
  Attempt,
  AttemptId,
  CheckpointId,
  Digest,
  Epoch,
  ErrorKind,
  Generation,
  JobId,
  OperatorUid,
  Subtask,
  SubtaskMap,
  TaskManagerId,
} from '@weir/model'

import type { Failover } from './failover.ts'
import type { SinkOutcome } from './ledger.ts'
import type { RestartState } from './restart.ts'
import type { RescaleWish, Rescaling } from './rescale.ts'

/** A WeirError as it travels: JSON. */
export interface Failure {
  readonly code: string
  readonly kind: ErrorKind
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

/** What never changes in a job's life. */
export interface JobSpec {
  readonly jobId: JobId
  readonly name: string
  readonly bundleDigest: Digest
  readonly graphHash: string
  readonly plan: PlanSummary
  /** The highest parallelism it ever had; absent: the plan's (PROTOCOL B4). */
  readonly highestParallelism?: number | undefined
}

export interface UsedNumbers {
  readonly attempt: Attempt
  readonly epoch: Epoch
}

export interface SliceId {
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly subtask: Subtask
}

export type EndState = 'FINISHED' | 'FAILED' | 'CANCELLED' | 'STOPPED'
export interface Ending {
  readonly state: EndState
  readonly error: Failure | null
}

/** Where a slice of the current attempt is and how far it has come. */
export interface Slice {
  readonly subtask: Subtask
  /** In which it was deployed: of a region that has failed over a later one than of the others. */
  readonly attempt: Attempt
  readonly taskManagerId: TaskManagerId
  /** `gone`: its task-manager is lost or it has stopped; nothing can reach it. `failed`: stopped working, but still answers. */
  readonly status: 'assigned' | 'deployed' | 'recovered' | 'running' | 'failed' | 'gone'
  readonly exchangeAddress: string | null
  readonly inputEnded: boolean
  readonly recordsIn: number
  readonly recordsOut: number
  readonly watermark: number
  /** As they were told last. */
  readonly splits: readonly SplitTime[]
  readonly claims: readonly ClaimCounts[]
  readonly late: readonly LateCount[]
  readonly rates: readonly SourceRate[]
  /** Null: nothing was told yet. */
  readonly metrics: SliceMetrics | null
}

export type JobPhase =
  /** Waiting for the won compare-and-swap on head.json: before it, nothing is done to the job (PROTOCOL A6). */
  | { readonly phase: 'claiming' }
  /** Waiting for enough free slots. */
  | {
      readonly phase: 'placing'
      /** When the head was claimed. */
      readonly claimedMs: number
      /** When the wait began, or the wish to end came. */
      readonly sinceMs: number
      readonly manifest: Manifest | null
    }
  /** Waiting until every slice has loaded the bundle and opened its data endpoint. */
  | { readonly phase: 'deploying'; readonly deadlineMs: number; readonly manifest: Manifest | null }
  /** Waiting until every sink has resolved its handles and fenced its pool, and all state is restored. */
  | { readonly phase: 'recovering'; readonly deadlineMs: number }
  /** `drainUntilMs`: a job that is to end stays until it is drained, at most until then; 0 = it does not. */
  /** `reportedIn`: sum of the slices' `recordsIn`, kept so that a report costs the same in a job of any size. */
  /** `failover`: regions on their way back. `rejoinedAt`: the epoch the last of them came back from; null: none of the attempt has. */
  | {
      readonly phase: 'running'
      readonly reportedIn: number
      readonly drainUntilMs: number
      readonly failover: Failover | null
      readonly rejoinedAt: number | null
    }
  /** Waiting for the coordinator to close the epoch in flight. */
  | { readonly phase: 'settling'; readonly from: 'deploying' | 'recovering' | 'running' | 'failing-over' }
  /** Waiting for every reachable slice to say Stopped. */
  | {
      readonly phase: 'stopping'
      readonly mode: 'leave' | 'abort'
      readonly deadlineMs: number
      readonly then: 'restart' | 'end'
    }
  /** Waiting for the restart delay. */
  | { readonly phase: 'backing-off'; readonly untilMs: number }
  | { readonly phase: 'ended' }

export type JobState = JobPhase & {
  readonly spec: JobSpec
  readonly generation: Generation
  /** Last attempt number used; 0 = none yet. */
  readonly attempt: Attempt
  readonly coordinator: CoordinatorState
  readonly slices: SubtaskMap<Slice>
  readonly ending: Ending | null
  /** It is to stop with everything it has read in a final epoch, which becomes this savepoint (PROTOCOL B6). */
  readonly stop: { readonly savepoint: string } | null
  /** Why the last restart happened, or what the job waits for. */
  readonly lastError: Failure | null
  readonly restarts: number
  /** Of regions, while the others went on. */
  readonly regionRestarts: number
  readonly restart: RestartState
  /** Monotonic ms of the failure being recovered from; null when running undisturbed. */
  readonly failedAtMs: number | null
  readonly lastRecoveryMs: number | null
  /** Lost transactions written again from staged output, in this term. */
  readonly healed: number
  /** How each sink subtask came out of the last recovery. */
  readonly outcomes: readonly SinkOutcome[]
  /** Records the brokers have refused, in this term. */
  readonly poison: Poison
  readonly recordsIn: number
  /** Another parallelism, from the next attempt on (rescale.ts). */
  readonly wished: RescaleWish | null
  readonly rescaling: Rescaling | null
}

/** Every event carries the time it was observed: monotonic `now`, and `wallClock` for people; and a draw, 0 ≤ x < 1. */
export interface Times {
  readonly now: number
  readonly wallClock: number
  readonly random: number
}

export type JobEvent = Times &
  (
    | { readonly type: 'begin' }
    | { readonly type: 'tick' }
    | { readonly type: 'cancel' }
    /** Checked and recorded. */
    | { readonly type: 'rescale'; readonly parallelism: number; readonly highestParallelism: number }
    | { readonly type: 'stop'; readonly savepoint: string }
    /** Somebody waits for an epoch. */
    | { readonly type: 'ask' }
    /** `attempt`: its number was used for the first epoch of a job that is started from somewhere. */
    | {
        readonly type: 'claimed'
        readonly published: ManifestRef | null
        readonly manifest: Manifest | null
        readonly attempt?: Attempt
      }
    | { readonly type: 'claim-refused'; readonly reason: string }
    /** The published manifest cannot be read: retrying cannot help. */
    | { readonly type: 'claim-failed'; readonly failure: Failure; readonly attempt?: Attempt }
    | { readonly type: 'placed'; readonly assignment: ReadonlyMap<Subtask, TaskManagerId> }
    | { readonly type: 'deployed'; readonly slice: SliceId; readonly exchangeAddress: string }
    | {
        readonly type: 'recovered'
        readonly slice: SliceId
        /** What became of the restored transactions of its sinks: `by` as in dataflow's HandleProof. */
        readonly proofs: readonly {
          readonly sink: string
          readonly subtask: number
          readonly sequence: number
          readonly by: string
        }[]
      }
    | ({ readonly type: 'progress'; readonly slice: SliceId } & SliceProgress)
    | { readonly type: 'input-ended'; readonly slice: SliceId }
    /** The next three change nothing about the job: they are for people. */
    | { readonly type: 'source-gap'; readonly slice: SliceId; readonly source: string; readonly gap: OffsetGap }
    | { readonly type: 'claims'; readonly slice: SliceId; readonly operator: OperatorUid; readonly news: ClaimsNews }
    | {
        readonly type: 'finalized'
        readonly slice: SliceId
        readonly committed: Epoch | null
        readonly ahead: readonly OperatorUid[]
      }
    | { readonly type: 'slice-failed'; readonly slice: SliceId; readonly failure: Failure }
    | { readonly type: 'stopped'; readonly slice: SliceId }
    | { readonly type: 'task-manager-lost'; readonly taskManagerId: TaskManagerId; readonly reason: string }
    | { readonly type: 'task-manager-draining'; readonly taskManagerId: TaskManagerId }
    | ({
        readonly type: 'ack'
        readonly slice: SliceId
        readonly checkpoint: CheckpointId
        readonly snapshot: SubtaskSnapshot
      } & ToldTimes)
    | {
        readonly type: 'declined'
        readonly slice: SliceId
        readonly checkpoint: CheckpointId
        readonly failure: Failure
      }
    /** For people, too. */
    | {
        readonly type: 'gave-up'
        readonly slice: SliceId
        readonly checkpoint: CheckpointId
        readonly late: LateInputs
      }
    | { readonly type: 'committed'; readonly slice: SliceId; readonly epoch: Epoch }
    | { readonly type: 'stored'; readonly checkpoint: CheckpointId; readonly ref: ManifestRef }
    | { readonly type: 'store-failed'; readonly checkpoint: CheckpointId; readonly reason: string }
    | { readonly type: 'publish-answered'; readonly checkpoint: CheckpointId; readonly outcome: PublishOutcome }
  )

/** As it comes to the JobMaster, which looks at its clocks and draws. */
export type UntimedEvent = JobEvent extends infer E ? (E extends unknown ? Omit<E, keyof Times> : never) : never

export type JobEffect =
  | { readonly type: 'claim' }
  | { readonly type: 'request-slots'; readonly count: number }
  /** New ones for these; the others keep theirs. */
  | { readonly type: 'replace-slots'; readonly subtasks: readonly Subtask[] }
  | { readonly type: 'release-slots' }
  | { readonly type: 'deploy'; readonly to: TaskManagerId; readonly slice: SliceId }
  | {
      readonly type: 'recover'
      readonly to: TaskManagerId
      readonly slice: SliceId
      readonly snapshot: SubtaskSnapshot | null
      readonly poison: Poison
    }
  | { readonly type: 'run'; readonly to: TaskManagerId; readonly slice: SliceId; readonly peers: readonly Peer[] }
  | { readonly type: 'stop'; readonly to: TaskManagerId; readonly slice: SliceId; readonly mode: 'leave' | 'abort' }
  | { readonly type: 'restarted'; readonly attempt: Attempt; readonly reason: string; readonly recoveryMs: number }
  | { readonly type: 'region-failed'; readonly subtasks: readonly Subtask[]; readonly reason: string }
  | {
      readonly type: 'region-restarted'
      readonly subtasks: readonly Subtask[]
      readonly attempt: Attempt
      readonly reason: string
      readonly recoveryMs: number
    }
  | { readonly type: 'rescaled'; readonly from: number; readonly to: number; readonly durationMs: number }
  | { readonly type: 'rescale-reverted'; readonly parallelism: number; readonly failure: Failure }
  /** LOST is never silent: one per healed transaction. */
  | { readonly type: 'healed'; readonly subtask: Subtask; readonly sink: string; readonly sequence: number }
  /** `settled`: every published transaction is proven committed. Else somebody has to go on after the end: reaper.ts. */
  | { readonly type: 'ended'; readonly ending: Ending; readonly settled: boolean }
  | Exclude<CoordinatorEffect, { type: 'suspended' } | { type: 'attempt-failed' } | { type: 'drained' }>

export interface Peer {
  readonly subtask: Subtask
  readonly taskManagerId: TaskManagerId
  readonly exchangeAddress: string
}

export interface JobStep {
  readonly state: JobState
  readonly effects: readonly JobEffect[]
}

/** Bounds of the job machine's waits, ms. */
export const DRAIN_TIMEOUT_MS = 30_000
export const DEPLOY_TIMEOUT_MS = 60_000
export const RECOVER_TIMEOUT_MS = 180_000
export const STOP_TIMEOUT_MS = 10_000
/** A deploy comes this soon after the won claim, or after another one (PROTOCOL A8: a caretaker's clock proves nothing). */
export const CLAIM_FRESH_MS = 1_000
/** How long an ending job waits for slots to settle what is published; after it, the reaper does without slots. */
export const ENDING_PLACEMENT_TIMEOUT_MS = 5_000

/** The word users see. */
export type JobStateName =
  'CREATED' | 'DEPLOYING' | 'RECOVERING' | 'RUNNING' | 'RESTARTING' | 'CANCELLING' | 'FAILING' | 'STOPPING' | EndState

export function jobStateName(state: JobState): JobStateName {
  if (state.phase === 'ended') return state.ending?.state ?? 'FAILED'
  if (state.ending?.state === 'CANCELLED') return 'CANCELLING'
  if (state.ending?.state === 'FAILED') return 'FAILING'
  if (state.stop !== null && (state.ending === null || state.ending.state === 'STOPPED')) return 'STOPPING'
  switch (state.phase) {
    case 'claiming':
    case 'placing':
      return state.attempt === 0 ? 'CREATED' : 'RESTARTING'
    case 'deploying':
      return 'DEPLOYING'
    case 'recovering':
      return 'RECOVERING'
    case 'running':
      return 'RUNNING'
    case 'settling':
    case 'stopping':
    case 'backing-off':
      return state.ending === null ? 'RESTARTING' : 'RUNNING'
  }
}
