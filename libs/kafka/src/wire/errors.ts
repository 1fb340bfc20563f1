/**
 * The broker's error codes that Weir decides by, as data: what each means for the request that got it. What is not
 * listed restarts the attempt. Exceptions of single requests stand in `transaction-answers.ts`.
 */
import { WeirError } from '@weir/model'

/**
 * - `wait`: the same request again, later; proves nothing about anything (PROTOCOL C8)
 * - `refused`: the epoch in hand is not the current one any more, or its transaction is not open any more; does not tell
 *   what became of it
 * - `restart`: the attempt cannot go on; the next one may
 * - `invalid`: no repetition mends it
 */
export type Verdict = 'wait' | 'refused' | 'restart' | 'invalid'

interface Code {
  readonly name: string
  readonly verdict: Verdict
  /** What a person can do about it. */
  readonly remedy?: string
}

const code = (name: string, verdict: Verdict, remedy?: string): Code => ({ name, verdict, ...(remedy && { remedy }) })
const GRANT = 'grant the right to the principal of the task-managers'

const CODES: Readonly<Record<number, Code>> = {
  1: code('OFFSET_OUT_OF_RANGE', 'restart'),
  3: code('UNKNOWN_TOPIC_OR_PARTITION', 'restart'),
  5: code('LEADER_NOT_AVAILABLE', 'wait'),
  6: code('NOT_LEADER_OR_FOLLOWER', 'wait'),
  7: code('REQUEST_TIMED_OUT', 'wait'),
  10: code(
    'MESSAGE_TOO_LARGE',
    'invalid',
    'a record is larger than the topic takes: raise max.message.bytes of the topic, or write smaller values',
  ),
  13: code('NETWORK_EXCEPTION', 'wait'),
  14: code('COORDINATOR_LOAD_IN_PROGRESS', 'wait'),
  15: code('COORDINATOR_NOT_AVAILABLE', 'wait'),
  16: code('NOT_COORDINATOR', 'wait'),
  // Partition verification (3.6 – 3.8) says this to older Produce versions while the coordinator is busy.
  19: code('NOT_ENOUGH_REPLICAS', 'wait'),
  20: code('NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'wait'),
  29: code('TOPIC_AUTHORIZATION_FAILED', 'invalid', GRANT),
  30: code('GROUP_AUTHORIZATION_FAILED', 'invalid', GRANT),
  32: code(
    'INVALID_TIMESTAMP',
    'invalid',
    "an event time is further in the future than the topic allows: mend it in the job, or raise the topic's message.timestamp.after.max.ms",
  ),
  45: code('OUT_OF_ORDER_SEQUENCE_NUMBER', 'restart'),
  46: code('DUPLICATE_SEQUENCE_NUMBER', 'restart'),
  47: code('INVALID_PRODUCER_EPOCH', 'refused'),
  48: code('INVALID_TXN_STATE', 'refused'),
  49: code('INVALID_PRODUCER_ID_MAPPING', 'refused'),
  50: code(
    'INVALID_TRANSACTION_TIMEOUT',
    'invalid',
    'raise transaction.max.timeout.ms at the broker or lower the transaction timeout (and the checkpoint timeouts) in the job',
  ),
  51: code('CONCURRENT_TRANSACTIONS', 'wait'),
  53: code('TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'invalid', GRANT),
  56: code('KAFKA_STORAGE_ERROR', 'wait'),
  59: code('UNKNOWN_PRODUCER_ID', 'refused'),
  78: code('OFFSET_NOT_AVAILABLE', 'wait'),
  87: code(
    'INVALID_RECORD',
    'invalid',
    'the topic refuses the record (a compacted topic takes no record without a key)',
  ),
  88: code('UNSTABLE_OFFSET_COMMIT', 'wait'),
  90: code('PRODUCER_FENCED', 'refused'),
  120: code('TRANSACTION_ABORTABLE', 'restart'),
}

export const errorName = (errorCode: number): string => CODES[errorCode]?.name ?? `KAFKA_ERROR_${errorCode}`
export const verdictOf = (errorCode: number): Verdict => CODES[errorCode]?.verdict ?? 'restart'
export const mustWait = (errorCode: number): boolean => verdictOf(errorCode) === 'wait'

/** What a final answer other than 0 is to the caller: `PRODUCER_FENCED` (fenced) or `KAFKA_REFUSED` (restart, invalid). */
export function refused(request: string, errorCode: number, what: string): WeirError {
  const error = errorName(errorCode)
  const verdict = verdictOf(errorCode)
  if (verdict === 'refused') {
    return new WeirError(
      { code: 'PRODUCER_FENCED', kind: 'fenced', request, error, what },
      `${request} of ${what}: ${error}; another attempt has taken over, or the transaction has expired`,
    )
  }
  const remedy = CODES[errorCode]?.remedy
  return new WeirError(
    { code: 'KAFKA_REFUSED', kind: verdict === 'invalid' ? 'invalid' : 'restart', request, error, what },
    `${request} of ${what}: ${error}${remedy === undefined ? '' : `: ${remedy}`}`,
  )
}
