/**
 * Types of values, as expressions are checked against them. JSON has one kind of number; `int` and `double` are what a pipeline says
 * of its fields: whole numbers are computed exactly, with 64 bits, and put out as JSON numbers only where those hold them.
 */
import { WeirError } from '@weir/model'

export type ValueType =
  | { readonly kind: 'string' | 'int' | 'double' | 'bool' | 'any' }
  | { readonly kind: 'enum'; readonly values: readonly string[] }
  | { readonly kind: 'list'; readonly of: ValueType }
  /** Missing or null: both are null in an expression. */
  | { readonly kind: 'nullable'; readonly of: ValueType }
  | RecordType

export interface RecordType {
  readonly kind: 'record'
  /** As it stands in messages. */
  readonly name: string
  readonly fields: Readonly<Record<string, ValueType>>
}

export const ANY: ValueType = { kind: 'any' }
export const STRING: ValueType = { kind: 'string' }
export const INT: ValueType = { kind: 'int' }
export const DOUBLE: ValueType = { kind: 'double' }
export const BOOL: ValueType = { kind: 'bool' }
export const listOf = (of: ValueType): ValueType => ({ kind: 'list', of })
export const nullable = (of: ValueType): ValueType =>
  of.kind === 'nullable' || of.kind === 'any' ? of : { kind: 'nullable', of }
export const recordOf = (name: string, fields: Readonly<Record<string, ValueType>>): RecordType => ({
  kind: 'record',
  name,
  fields,
})

/** As a pipeline's author writes it. */
export function typeText(type: ValueType): string {
  switch (type.kind) {
    case 'list':
      return `list<${typeText(type.of)}>`
    case 'nullable':
      return `${typeText(type.of)}?`
    case 'record':
      return type.name
    case 'enum':
      return type.values.map((value) => JSON.stringify(value)).join(' | ')
    default:
      return type.kind
  }
}

/** Of a value that stands in the pipeline itself, e.g. where a fold begins. */
export function typeOf(value: unknown, name: string): ValueType {
  if (typeof value === 'string') return STRING
  if (typeof value === 'boolean') return BOOL
  if (typeof value === 'number') return Number.isSafeInteger(value) ? INT : DOUBLE
  if (Array.isArray(value)) return value.length === 0 ? listOf(ANY) : listOf(typeOf(value[0], `${name}[]`))
  if (value === null || value === undefined) return ANY
  return recordOf(
    name,
    Object.fromEntries(Object.entries(value).map(([field, of]) => [field, typeOf(of, `${name}.${field}`)])),
  )
}

/** What is wrong with a value, and where in it; null: it is of the type. */
export function mismatch(type: ValueType, value: unknown, path: string): string | null {
  const wrong = (): string => `${path === '' ? 'it' : path} is ${shown(value)}, not ${typeText(type)}`
  switch (type.kind) {
    case 'any':
      return null
    case 'string':
      return typeof value === 'string' ? null : wrong()
    case 'bool':
      return typeof value === 'boolean' ? null : wrong()
    case 'double':
      return typeof value === 'number' ? null : wrong()
    case 'int':
      return Number.isSafeInteger(value) || typeof value === 'bigint' ? null : wrong()
    case 'enum':
      return typeof value === 'string' && type.values.includes(value) ? null : wrong()
    case 'nullable':
      return value === null || value === undefined ? null : mismatch(type.of, value, path)
    case 'list': {
      if (!Array.isArray(value)) return wrong()
      for (const [i, item] of value.entries()) {
        const found = mismatch(type.of, item, `${path}[${i}]`)
        if (found !== null) return found
      }
      return null
    }
    case 'record': {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong()
      for (const [field, of] of Object.entries(type.fields)) {
        const found = mismatch(
          of,
          (value as Readonly<Record<string, unknown>>)[field],
          path === '' ? field : `${path}.${field}`,
        )
        if (found !== null) return found
      }
      return null
    }
  }
}

export const shown = (value: unknown): string => {
  if (value === undefined) return 'missing'
  if (typeof value === 'bigint') return String(value)
  return JSON.stringify(value)?.slice(0, 80) ?? typeof value
}

/** What an expression may not be given: its result is no record. */
export const expressionFailed = (uid: string, text: string, why: string, cause?: unknown): WeirError =>
  new WeirError(
    { code: 'EXPRESSION_FAILED', kind: 'invalid', uid, expression: text },
    `"${uid}": ${JSON.stringify(text)}: ${why}`,
    { cause },
  )
