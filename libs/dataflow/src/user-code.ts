/**
 * The border to user code: what it throws and what it must not return. An error names the operator and the record by
 * position and event time, never by content: values are money and people, and errors end in logs.
 */
import { NOWHERE, WeirError, originColumns, splitOf } from '@weir/model'
import type { Key, OperatorUid, RecordBatch } from '@weir/model'
import type { Refuse } from './ports.ts'

export interface RecordPosition {
  readonly operatorUid: OperatorUid
  /** Index in the batch. */
  readonly index: number
  /** Event time of the record, ms; null where it is not known yet. */
  readonly timestamp: number | null
  /** Where it was read: `placeOf(source, split)`, and its offset. Only where batches carry it. */
  readonly place?: number
  readonly offset?: number
}

export const whereOf = ({ operatorUid, index, timestamp, place, offset }: RecordPosition): string =>
  `operator "${operatorUid}", record ${index} of the batch` +
  (place === undefined ? '' : `, read from partition ${splitOf(place)} at offset ${offset}`) +
  (timestamp === null ? '' : `, event time ${timestamp}`)

export function positionOf(operatorUid: OperatorUid, batch: RecordBatch, index: number): RecordPosition {
  const { timestamps, origins } = batch
  return { operatorUid, index, timestamp: timestamps[index] ?? null, ...whereRead(origins, index) }
}

function whereRead(origins: RecordBatch['origins'], index: number): Pick<RecordPosition, 'place' | 'offset'> {
  const place = origins?.places[index]
  return place === undefined || place === NOWHERE ? {} : { place, offset: origins!.offsets[index]! }
}

/**
 * What a loop over user code refuses a record with: the error with its position. WeirErrors thrown by the border itself
 * pass, others without a place get one; everything else becomes `OPERATOR_FAILED`. Kind `invalid`: the same record fails
 * again after a restart.
 */
export function operatorFailed(error: unknown, operatorUid: OperatorUid, batch: RecordBatch, index: number): WeirError {
  // An error that a restart may mend is the engine's (state that cannot be read), not the record's.
  if (error instanceof WeirError && (error.facts.operatorUid === operatorUid || error.kind !== 'invalid')) return error
  const at = positionOf(operatorUid, batch, index)
  // Of a function of Weir's own around the user's: it has said what to do, and knows no place.
  if (error instanceof WeirError && error.facts['operatorUid'] === undefined)
    return new WeirError({ ...error.facts, ...at }, `${whereOf(at)}: ${error.message}`, { cause: error })
  const cause = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return new WeirError(
    { code: 'OPERATOR_FAILED', kind: 'invalid', ...at, cause },
    `${whereOf(at)}: your function threw ${cause}. Handle the case in the function, or filter such records before it.`,
    { cause: error },
  )
}

/** Outputs of one record: a function that puts out without an end is stopped here. */
export const OUTPUTS_OF_RECORD_MAX = 1_000_000

export const outputsTooMany = (operatorUid: OperatorUid, index: number): WeirError =>
  new WeirError(
    { code: 'OUTPUTS_TOO_MANY', kind: 'invalid', operatorUid, index, bound: OUTPUTS_OF_RECORD_MAX },
    `operator "${operatorUid}", record ${index} of the batch: more than ${OUTPUTS_OF_RECORD_MAX} outputs of one record. Does its loop end? ` +
      'Write what belongs to so many records into a topic, and read that.',
  )

/** In a job without dead letters. */
export const refuseNone: Refuse = (_batch, _index, error) => {
  throw error
}

/** Closes the gaps of refused records (ascending indices), in place. False: nothing is left. */
export function withoutRefused(batch: RecordBatch, refused: readonly number[]): boolean {
  const { keys, values, timestamps, origins } = batch
  const columns: unknown[][] = [values, timestamps]
  if (keys !== null) columns.push(keys)
  if (origins !== undefined) columns.push(...originColumns(origins))
  for (const column of columns) {
    let next = 0
    let kept = 0
    for (let i = 0; i < column.length; i++) {
      if (i === refused[next]) next++
      else column[kept++] = column[i]
    }
    column.length = kept
  }
  return values.length > 0
}

export function isThenable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || typeof (value as { then?: unknown }).then !== 'function')
    return false
  // Whoever asks refuses it: nobody waits for it, and what it rejects with later must not end the process.
  if (value instanceof Promise) value.catch(() => {})
  return true
}

/** Operators are synchronous: a promise in a batch or in state would be stored as `{}` and lose the value. */
export function returnedPromise(operatorUid: OperatorUid, batch: RecordBatch, index: number): WeirError {
  const at = positionOf(operatorUid, batch, index)
  return new WeirError(
    { code: 'OPERATOR_RETURNED_PROMISE', kind: 'invalid', ...at },
    `${whereOf(at)}: your function returned a promise. This operator is synchronous: remove async/await from it, or make calls in an asyncMap.`,
  )
}

/** As what is returned: what it rejects with would be nobody's. */
export function emittedPromise(
  operatorUid: OperatorUid,
  batch: Pick<RecordBatch, 'origins'>,
  index: number,
  timestamp: number,
): WeirError {
  const at: RecordPosition = { operatorUid, index, timestamp, ...whereRead(batch.origins, index) }
  return new WeirError(
    { code: 'OPERATOR_RETURNED_PROMISE', kind: 'invalid', ...at },
    `${whereOf(at)}: your function put out a promise. This operator is synchronous: remove async/await from it, or make calls in an asyncMap.`,
  )
}

/**
 * Keys are found again by value on every machine: numbers that are equal to themselves, and strings that survive UTF-8
 * (half a surrogate pair would come back as U+FFFD, and with it another key's state).
 */
export const isKey = (key: unknown): key is Key =>
  typeof key === 'string' ? key.isWellFormed() : typeof key === 'number' && !Number.isNaN(key)

export function keyInvalid(key: unknown, operatorUid: OperatorUid, batch: RecordBatch, index: number): WeirError {
  if (isThenable(key)) return returnedPromise(operatorUid, batch, index)
  const at = positionOf(operatorUid, batch, index)
  const got =
    typeof key === 'number'
      ? String(key)
      : typeof key === 'string'
        ? 'a string with half a surrogate pair'
        : key === null
          ? 'null'
          : typeof key
  return new WeirError(
    { code: 'KEY_INVALID', kind: 'invalid', ...at, got },
    `${whereOf(at)}: the key is ${got}; a key is a well-formed string or a number other than NaN. ` +
      'Return one from keyBy, or filter records without a key before it.',
  )
}

/** Largest event time: that of `Date`. It leaves room up to WATERMARK_MAX for the end of the last window. */
export const TIMESTAMP_MAX = 8_640_000_000_000_000

/** Event times are whole milliseconds since 1970: sinks write them as integers, and −1 means "none" in a log. */
export const isTimestamp = (timestamp: unknown): timestamp is number =>
  Number.isInteger(timestamp) && (timestamp as number) >= 0 && (timestamp as number) <= TIMESTAMP_MAX

export function timestampInvalid(timestamp: unknown, operatorUid: OperatorUid, index: number): WeirError {
  const at: RecordPosition = { operatorUid, index, timestamp: null }
  const what = isThenable(timestamp) ? 'a promise' : timestamp === null ? 'null' : typeof timestamp
  const got = typeof timestamp === 'number' ? String(timestamp) : what
  return new WeirError(
    { code: 'TIMESTAMP_INVALID', kind: 'invalid', ...at, got },
    `${whereOf(at)}: the event time is ${got}; it must be whole milliseconds since 1970 (0 … ${TIMESTAMP_MAX}). ` +
      'Parse dates with Date.parse, multiply seconds by 1000, round fractions with Math.trunc.',
  )
}

/** Freezes plain objects and arrays all the way down; typed arrays, maps and class instances are left as they are. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value
  Object.freeze(value)
  for (const inner of Object.values(value)) deepFreeze(inner)
  return value
}
