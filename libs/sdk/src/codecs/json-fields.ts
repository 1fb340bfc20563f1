/**
 * Some fields of JSON objects: what a job does not use is not made. Faster than `json` where a record has more than is needed,
 * or is small; records beyond ASCII cost what they cost there.
 */
import { WeirError } from '@weir/model'
import { decodeFailed, type Codec } from './codec.ts'
import { encodeJson, json } from './json.ts'
import { FieldScanner, SCANNED_FIELDS_MAX, type Primitive, type ScannedField } from './json-scan.ts'

/** With `?`: null where the field is absent or null. */
export type JsonField = Primitive | `${Primitive}?`
interface TypeOf {
  readonly string: string
  readonly number: number
  readonly boolean: boolean
}
type FieldOf<F extends JsonField> = F extends Primitive
  ? TypeOf[F]
  : F extends `${infer P extends Primitive}?`
    ? TypeOf[P] | null
    : never
export type JsonFields<F extends Readonly<Record<string, JsonField>>> = { readonly [K in keyof F]: FieldOf<F[K]> }

/** Records in a row for which scanning is not tried when it was in vain: doubled each time, up to this. */
const PAUSE_MAX = 1_024

/**
 * `jsonFields({ user: 'string', amountMinor: 'number', note: 'string?' })`: objects of exactly these fields, whatever else a record
 * has. Numbers are read as `JSON.parse` does, of a repeated field the last. Reading throws `DECODE_FAILED` (invalid) as `json`
 * does, and for a field that is absent or of another type, which it names. Throws `OPTION_INVALID` for no or more than 30 fields.
 */
export function jsonFields<const F extends Readonly<Record<string, JsonField>>>(fields: F): Codec<JsonFields<F>> {
  const declared = Object.entries(fields).map(([name, of]): ScannedField => {
    const nullable = of.endsWith('?')
    return { name, type: (nullable ? of.slice(0, -1) : of) as Primitive, nullable }
  })
  if (declared.length === 0 || declared.length > SCANNED_FIELDS_MAX) throw fieldsRefused(declared.length)
  const scanner = new FieldScanner(declared)
  const plain = json()
  let pause = 0
  let left = 0
  return {
    decode(buffer, start, end, headers) {
      if (left === 0) {
        const scanned = scanner.scan(buffer, start, end)
        if (scanned !== undefined) {
          pause = 0
          return scanned
        }
        left = pause = Math.min(PAUSE_MAX, pause * 2 + 1)
      } else left--
      return fieldsOf(plain.decode(buffer, start, end, headers), declared)
    },
    encode: encodeJson,
    contentType: 'application/json',
  }
}

function fieldsOf(value: unknown, declared: readonly ScannedField[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw decodeFailed(`it is ${kindOf(value)}, not an object`)
  const fields: Record<string, unknown> = {}
  for (const { name, type, nullable } of declared) {
    const of: unknown = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
    if (nullable && (of === undefined || of === null)) fields[name] = null
    else if (typeof of === type) fields[name] = of
    else throw decodeFailed(`${name}: it is ${kindOf(of)}, not a ${type}`)
  }
  return fields
}

const kindOf = (value: unknown): string =>
  value === undefined ? 'absent' : value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`

const fieldsRefused = (count: number): WeirError =>
  new WeirError(
    { code: 'OPTION_INVALID', kind: 'invalid', option: 'fields', count, bound: SCANNED_FIELDS_MAX },
    `jsonFields was given ${count} fields; give 1 to ${SCANNED_FIELDS_MAX}, or read the whole value with json()`,
  )
