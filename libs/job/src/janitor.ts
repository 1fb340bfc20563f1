/**
 * What the job-manager, which holds no credentials of any server, asks a task-manager to do with transactions outside of
 * any attempt and with dead letters. Any live task-manager will do; a request that is lost with it is asked of another one.
 */
import type {
  ConnectorDescriptor,
  DeadLetter,
  HandleProof,
  JobNeeds,
  JobSettings,
  ListedTransaction,
  Observed,
  Replay,
  SinkState,
  TopicCursor,
  TransactionName,
} from '@weir/dataflow'
import type { JobId, OperatorUid, Subtask } from '@weir/model'

export type JanitorRequest =
  /** What has not ended, at every server the task-manager knows. */
  | { readonly type: 'list'; readonly prefix: string }
  | {
      readonly type: 'end'
      readonly connector: string
      readonly transaction: TransactionName
      readonly decision: 'commit' | 'abort'
    }
  /**
   * The whole recovery of one sink subtask of a job that has ended: what is published is committed or healed, the pool is
   * fenced. It takes over every id of the pool, so it needs a fresh compare-and-swap of the job's head (PROTOCOL B5).
   */
  | { readonly type: 'settle'; readonly sink: SinkToSettle }
  | ({ readonly type: 'dead-letters'; readonly from: TopicCursor | null; readonly limit: number } & DeadLetterTopic)
  /** An origin is replayed once, however often this is asked for. `origins` null: all that can be. */
  | ({
      readonly type: 'replay'
      readonly origins: readonly string[] | null
      readonly replayId: string
    } & DeadLetterTopic)
  /** The servers a job needs, as they are. */
  | { readonly type: 'examine'; readonly needs: JobNeeds }

export interface DeadLetterTopic {
  readonly connector: string
  readonly topic: string
  readonly jobId: JobId
}

export interface SinkToSettle {
  readonly jobId: JobId
  readonly sink: OperatorUid
  readonly subtask: Subtask
  readonly descriptor: ConnectorDescriptor
  readonly settings: JobSettings
  /** Null: no published epoch names anything of it. */
  readonly restored: SinkState | null
}

export type JanitorAnswer =
  | {
      readonly type: 'listed'
      /** Those that were asked: what runs at others is not in the list. */
      readonly connectors: readonly string[]
      readonly transactions: readonly ListedTransaction[]
    }
  | { readonly type: 'ended'; readonly outcome: 'done' | 'refused' }
  | { readonly type: 'settled'; readonly proofs: readonly HandleProof[] }
  | { readonly type: 'letters'; readonly letters: readonly DeadLetter[]; readonly next: TopicCursor | null }
  | { readonly type: 'replayed'; readonly replay: Replay }
  | { readonly type: 'examined'; readonly observed: Observed }

/** The answer that belongs to a request. */
export type AnswerTo<R extends JanitorRequest> = Extract<
  JanitorAnswer,
  {
    type: {
      list: 'listed'
      end: 'ended'
      settle: 'settled'
      'dead-letters': 'letters'
      replay: 'replayed'
      examine: 'examined'
    }[R['type']]
  }
>

export interface Janitor {
  /**
   * Asks one task-manager after the other until one answers. Throws what it answered; kind `retry`: `JANITOR_MISSING`
   * when none is there, `JANITOR_UNANSWERED` when none of them could.
   */
  ask<R extends JanitorRequest>(request: R): Promise<AnswerTo<R>>
}
