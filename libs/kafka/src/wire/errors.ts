/** Error codes of the broker that Weir decides by. `wait`: the same request again later; it proves nothing (PROTOCOL C8). */
const NAMES: Record<number, readonly [name: string, wait?: true]> = {
  1: ['OFFSET_OUT_OF_RANGE'],
  3: ['UNKNOWN_TOPIC_OR_PARTITION'],
  5: ['LEADER_NOT_AVAILABLE', true],
  6: ['NOT_LEADER_OR_FOLLOWER', true],
  7: ['REQUEST_TIMED_OUT', true],
  10: ['MESSAGE_TOO_LARGE'],
  14: ['COORDINATOR_LOAD_IN_PROGRESS', true],
  15: ['COORDINATOR_NOT_AVAILABLE', true],
  16: ['NOT_COORDINATOR', true],
  32: ['INVALID_TIMESTAMP'],
  45: ['OUT_OF_ORDER_SEQUENCE_NUMBER'],
  47: ['INVALID_PRODUCER_EPOCH'],
  48: ['INVALID_TXN_STATE'],
  49: ['INVALID_PRODUCER_ID_MAPPING'],
  50: ['INVALID_TRANSACTION_TIMEOUT'],
  51: ['CONCURRENT_TRANSACTIONS', true],
  59: ['UNKNOWN_PRODUCER_ID'],
  87: ['INVALID_RECORD'],
  88: ['UNSTABLE_OFFSET_COMMIT', true],
  90: ['PRODUCER_FENCED'],
  120: ['TRANSACTION_ABORTABLE'],
}
export const errorName = (code: number): string => NAMES[code]?.[0] ?? `KAFKA_ERROR_${code}`
export const mustWait = (code: number): boolean => NAMES[code]?.[1] === true
/** The epoch in hand is not the current one any more, or the transaction is not open any more. */
export const isRefusal = (code: number): boolean => [47, 48, 49, 59, 90].includes(code)
