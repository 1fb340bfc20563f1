/** The words of the checkpoint coordinator (`coordinator.ts`): what it is told, what it knows, what it asks for. */
import type {
  Attempt,
  AttemptId,
  CheckpointId,
  Epoch,
  Generation,
  JobId,
  SourceReach,
  Subtask,
  SubtaskMap,
} from '@weir/model'
import type { BreakerSettings, BreakerState } from './breaker.ts'
import type { Cut, SourceProgress } from './cut.ts'
import type { Manifest, ManifestRef, SubtaskSnapshot } from './manifest.ts'
import type { CommitPermit } from './permit.ts'
import type { PublishOutcome } from './ports.ts'

export interface CoordinatorOptions {
  readonly jobId: JobId
  readonly generation: Generation
  readonly parallelism: number
  readonly maxParallelism: number
  readonly graphHash: string
  readonly intervalMs: number
  /** Records over all sources since the last trigger; null = by time only. */
  readonly everyRecords: number | null
  readonly minPauseMs: number
  readonly alignTimeoutMs: number
  /** Epochs given up in a row before the attempt is restarted: the id pools are sized for exactly this (PROTOCOL B1). */
  readonly toleratedAborts: number
  /** After how many of them the circuit opens, and how long it pauses then. */
  readonly circuit: Omit<BreakerSettings, 'intervalMs'>
  /** Epochs are cut at an event time, at most so far ahead of the slowest source (cut.ts); null: wherever the barriers fall. */
  readonly cutBoundMs: number | null
}

export type CoordinatorPhase =
  /** No attempt is running; a restart may choose `published`. */
  | { readonly phase: 'suspended' }
  /** Waiting for the next trigger. The interval counts from `beganMs`: the trigger of the epoch before if it became final, else `sinceMs`. */
  | { readonly phase: 'idle'; readonly sinceMs: number; readonly beganMs: number; readonly recordsAtStart: number }
  /** Waiting for the ack of every slice in `missing`. */
  | {
      readonly phase: 'collecting'
      readonly checkpoint: CheckpointId
      readonly triggeredMs: number
      /** Wall clock of the trigger, for people. */
      readonly triggeredAt: number
      /** Triggered to drain: when it is final, nothing that was read is outside of it. */
      readonly last: boolean
      readonly cut: Cut
      readonly acks: SubtaskMap<SubtaskSnapshot>
      readonly missing: SubtaskMap<true>
    }
  /** Waiting for the manifest to be durable. Nothing has been sent to an arbiter yet: may still be given up. */
  | {
      readonly phase: 'storing'
      readonly checkpoint: CheckpointId
      readonly triggeredMs: number
      readonly last: boolean
      readonly manifest: Manifest
    }
  /** Waiting for the arbiters' answer. From here on only the same manifest may be sent again (PROTOCOL A3). */
  | {
      readonly phase: 'publishing'
      readonly checkpoint: CheckpointId
      readonly triggeredMs: number
      readonly last: boolean
      readonly manifest: Manifest
      readonly ref: ManifestRef
      /** Answers "unknown" so far; the driver spaces the repeats by it. */
      readonly unknowns: number
    }
  /** Waiting until every slice in `missing` has ended its transactions. */
  | {
      readonly phase: 'committing'
      readonly checkpoint: CheckpointId
      readonly triggeredMs: number
      readonly last: boolean
      readonly permit: CommitPermit
      readonly missing: SubtaskMap<true>
    }

export type CoordinatorState = CoordinatorPhase & {
  readonly options: CoordinatorOptions
  /** Attempt whose acks count; null while suspended. */
  readonly attempt: Attempt | null
  /** Highest published manifest: what a restart restores. */
  readonly published: ManifestRef | null
  /** Highest final epoch. */
  readonly final: Epoch
  /** Wall clock when `final` became so, ms since 1970; null = none in this generation. */
  readonly finalAt: number | null
  /** Highest number given to any epoch: never used again. */
  readonly lastEpoch: Epoch
  /** In this attempt: what its pools carry. */
  readonly abortsInARow: number
  /** Outlives attempts and claims. */
  readonly breaker: BreakerState
  /** Somebody waits to restart: no new epoch begins. */
  readonly closing: boolean
  /** Left, and not returned: what they had in an epoch is proven by their recovery, not by a commit. */
  readonly away: SubtaskMap<true>
  /** Sources are exhausted or to be stopped: trigger at once, without pauses, until an epoch that began after it is final. */
  readonly draining: boolean
  /** Somebody waits for an epoch: the next one is triggered without the interval. */
  readonly asked: boolean
  /** Readers have waited for the attempt: its first epoch is triggered as soon as something is read, without interval and pause. */
  readonly awaited: boolean
  readonly recordsIn: number
  /** How far subtasks with active sources are; kept only where epochs are cut at an event time. */
  readonly sources: SubtaskMap<SourceProgress>
}

export type CoordinatorEvent =
  /** Every slice of the attempt runs; what was published before is final (recovery has ended its transactions). */
  | {
      readonly type: 'started'
      readonly attempt: Attempt
      /** Default false. */
      readonly awaited?: boolean
      readonly now: number
      readonly wallClock: number
    }
  | { readonly type: 'tick'; readonly now: number; readonly wallClock: number }
  /** Total records read by all sources since the job began. */
  | {
      readonly type: 'progress'
      readonly recordsIn: number
      /** Of one subtask; `reach` null: no source of it is active. */
      readonly source?: { readonly subtask: Subtask; readonly reach: SourceReach | null }
      readonly now: number
      readonly wallClock: number
    }
  | { readonly type: 'ack'; readonly checkpoint: CheckpointId; readonly snapshot: SubtaskSnapshot }
  | {
      readonly type: 'declined'
      readonly checkpoint: CheckpointId
      readonly subtask: Subtask
      readonly reason: string
      readonly now: number
    }
  | { readonly type: 'stored'; readonly checkpoint: CheckpointId; readonly ref: ManifestRef }
  | { readonly type: 'store-failed'; readonly checkpoint: CheckpointId; readonly reason: string; readonly now: number }
  | {
      readonly type: 'publish-answered'
      readonly checkpoint: CheckpointId
      readonly outcome: PublishOutcome
      readonly now: number
      readonly wallClock: number
    }
  | {
      readonly type: 'committed'
      readonly attempt: AttemptId
      readonly epoch: Epoch
      readonly subtask: Subtask
      readonly now: number
      readonly wallClock: number
    }
  /** The attempt is over or about to be: close the epoch in flight (PROTOCOL A4). Answered by `suspended`, perhaps later. */
  | { readonly type: 'suspend' }
  /** Slices are gone while the others work on: close the epoch in flight. Once no publish waits for its answer, they may restore `published`. */
  | { readonly type: 'left'; readonly subtasks: readonly Subtask[]; readonly now: number }
  /** All of them are back from `published`, with their part of its transactions proven. */
  | { readonly type: 'returned'; readonly now: number; readonly wallClock: number }
  /** Every source is exhausted, or the job is to stop with everything it has read in a final epoch. */
  | { readonly type: 'drain'; readonly now: number; readonly wallClock: number }
  /** Somebody wants an epoch that is triggered from now on. */
  | { readonly type: 'ask'; readonly now: number; readonly wallClock: number }

export type GiveUpReason = 'timeout' | 'declined' | 'store-failed' | 'suspended'

export type CoordinatorEffect =
  /** `last`: sources stop behind this barrier, so the epoch holds everything that was ever read. */
  | { readonly type: 'trigger'; readonly checkpoint: CheckpointId; readonly last: boolean; readonly cut: Cut }
  /** Aligners drop the barrier; *no transaction is aborted* (PROTOCOL A2). */
  | {
      readonly type: 'give-up'
      readonly checkpoint: CheckpointId
      readonly reason: GiveUpReason
      readonly detail: string
      readonly waitingFor: readonly Subtask[]
      /** Of the epoch; 0 = it was dropped, not given up. */
      readonly afterMs: number
    }
  /** The circuit has changed. `pauseMs`: from the start of the next attempt to its first trigger; 0 = no longer than usual. */
  | { readonly type: 'circuit'; readonly breaker: BreakerState; readonly pauseMs: number }
  | { readonly type: 'write-manifest'; readonly checkpoint: CheckpointId; readonly manifest: Manifest }
  /** `again` counts earlier sends of the same manifest. */
  | { readonly type: 'publish'; readonly checkpoint: CheckpointId; readonly ref: ManifestRef; readonly again: number }
  /** Per slice: sink uid → last sequence to end. Needs the permit: only an acknowledged publish has one. */
  | {
      readonly type: 'commit'
      readonly permit: CommitPermit
      readonly attempt: Attempt
      readonly upTo: ReadonlyMap<Subtask, Readonly<Record<string, number>>>
    }
  | { readonly type: 'published'; readonly ref: ManifestRef; readonly durationMs: number }
  | { readonly type: 'final'; readonly epoch: Epoch; readonly durationMs: number }
  /** All input is in a final epoch: the job is finished. */
  | { readonly type: 'drained' }
  /** No epoch is in flight: `published` may be restored. */
  | { readonly type: 'suspended'; readonly restore: ManifestRef | null }
  /** More epochs given up in a row than the pools can carry. */
  | { readonly type: 'attempt-failed'; readonly reason: string }
  /** An arbiter proves that another leader owns the job: abort nothing, touch nothing. */
  | { readonly type: 'step-down'; readonly reason: string }

export interface CoordinatorStep {
  readonly state: CoordinatorState
  readonly effects: readonly CoordinatorEffect[]
}
