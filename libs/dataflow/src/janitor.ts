/**
 * Transactions seen from outside of any attempt: what a server lists, and ending one by name. A janitor acts for jobs
 * that no slice works for any more; whoever calls it has the right to (PROTOCOL A8, B5).
 */
import type { JobId, OperatorUid, Subtask } from '@weir/model'

/** One transaction, exactly: an id alone may by now be another one. */
export interface TransactionName {
  readonly transactionalId: string
  /** Decimal int64. */
  readonly producerId: string
  readonly producerEpoch: number
}

/** A transaction that has not ended at its server. */
export interface ListedTransaction extends TransactionName {
  /** `committing`, `aborting`: decided, the markers are being written; nobody need do anything. */
  readonly state: 'open' | 'committing' | 'aborting'
  /** ms since 1970; null where the server does not tell. */
  readonly startedAt: number | null
  readonly timeoutMs: number
  /** `topic-partition`: where readers with `read_committed` wait for it. */
  readonly partitions: readonly string[]
}

export interface TransactionJanitor {
  /** Everything that has not ended, of ids beginning with `prefix`. Throws kind `retry` when a server is away. */
  list(prefix: string): Promise<readonly ListedTransaction[]>
  /**
   * Ends exactly this transaction; its producer cannot write in it any more. `refused`: it is not open, or the id has gone
   * on to another one; nothing was done. A repeated commit is `done` again.
   */
  end(transaction: TransactionName, decision: 'commit' | 'abort'): Promise<'done' | 'refused'>
  close(): Promise<void>
}

/** Ids of one sink subtask's pool are `weir.<job>.<sink>.<subtask>.<slot>`; the marker's group is the same without slot. */
export interface PoolId {
  readonly jobId: JobId
  readonly sink: OperatorUid
  readonly subtask: Subtask
  readonly slot: number
}

export const poolGroup = (jobId: string, sink: string, subtask: number): string => `weir.${jobId}.${sink}.${subtask}`
export const poolPrefix = (jobId: string): string => `weir.${jobId}.`

// A job id has no dot; a sink's uid may have some, so the two numbers are found from behind.
const POOL_ID = /^weir\.([a-z0-9][a-z0-9-]{0,62})\.(.+)\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})$/

/** Null: not a name Weir gives. */
export function parsePoolId(transactionalId: string): PoolId | null {
  const [, jobId, sink, subtask, slot] = POOL_ID.exec(transactionalId) ?? []
  if (slot === undefined) return null
  return { jobId: jobId as JobId, sink: sink as OperatorUid, subtask: Number(subtask) as Subtask, slot: Number(slot) }
}

/** One more than may be given up in a row, so that output can always go on (PROTOCOL B3). */
export const poolSize = (toleratedAborts: number): number => Math.max(2, toleratedAborts + 1)
