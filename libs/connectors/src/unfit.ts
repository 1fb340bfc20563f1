/** A value that the column it is for does not take. */
import { isThenable } from '@weir/dataflow'
import { WeirError } from '@weir/model'

/** `ENCODE_FAILED` (invalid). Of the value only its kind is told: values are money and people, and errors end in logs. */
export function unfit(column: string, type: string, value: unknown, why: string): WeirError {
  const got = kindOf(value)
  return new WeirError(
    { code: 'ENCODE_FAILED', kind: 'invalid', column, type, got },
    `column "${column}" is ${type} and the value (${got}) does not fit: ${why}. Map it to one that does before the sink`,
  )
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number') return Number.isFinite(value) ? 'a number' : String(value)
  if (typeof value !== 'object') return value === undefined ? 'undefined' : `a ${typeof value}`
  if (isThenable(value)) return 'a promise'
  return Array.isArray(value) ? 'an array' : value instanceof Date ? 'a Date' : 'an object'
}
