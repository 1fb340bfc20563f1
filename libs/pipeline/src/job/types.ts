/** Types as a pipeline writes them. */
import { instead } from '@weir/model'
import type { TypeSpec } from '../schema/pipeline.ts'
import { refuse, type Path } from './problem.ts'
import { ANY, BOOL, DOUBLE, INT, STRING, listOf, nullable, recordOf, type ValueType } from './value-type.ts'

const PLAIN: Readonly<Record<string, ValueType>> = { string: STRING, int: INT, double: DOUBLE, bool: BOOL, any: ANY }
/** Deeper, nobody can read it. */
const DEPTH_MAX = 16
/** A field by which a record cannot be asked in CEL, or that every object has. */
const FIELD = /^[A-Za-z_]\w*$/
const NO_FIELDS = ['constructor', '__proto__', 'prototype']
/** CEL's own words. */
const RESERVED = [
  'true',
  'false',
  'null',
  'in',
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
]

/** Types by name, each made once. */
export class DeclaredTypes {
  readonly #specs: Readonly<Record<string, TypeSpec>>
  readonly #made = new Map<string, ValueType>()

  constructor(specs: Readonly<Record<string, TypeSpec>>) {
    this.#specs = specs
  }

  get names(): string[] {
    return Object.keys(this.#specs)
  }

  named(name: string, path: Path, within: readonly string[] = []): ValueType {
    const made = this.#made.get(name)
    if (made !== undefined) return made
    if (!Object.hasOwn(this.#specs, name))
      return refuse(path, `there is no type "${name}"`, instead(name, [...Object.keys(PLAIN), ...this.names], 'type'))
    if (within.includes(name)) return refuse(path, `type ${name} is part of itself`, 'Write any where it comes again.')
    const type = this.#of(this.#specs[name]!, ['types', name], { name, within: [...within, name] })
    this.#made.set(name, type)
    return type
  }

  #of(spec: TypeSpec, path: Path, at: { readonly name: string; readonly within: readonly string[] }): ValueType {
    if (path.length > DEPTH_MAX)
      return refuse(path, 'the type is too deep', `At most ${DEPTH_MAX} levels; give the inner ones names.`)
    if (typeof spec === 'string') return this.#text(spec.trim(), path, at.within)
    if ('enum' in spec && Array.isArray(spec.enum)) return { kind: 'enum', values: spec.enum as readonly string[] }
    const fields: Record<string, ValueType> = {}
    for (const [field, of] of Object.entries(spec as Readonly<Record<string, TypeSpec>>)) {
      if (!FIELD.test(field) || NO_FIELDS.includes(field) || RESERVED.includes(field))
        refuse(
          [...path, field],
          `"${field}" cannot be a field in an expression`,
          'Leave it out of the type, or type the record as any and write value["…"].',
        )
      fields[field] = this.#of(of, [...path, field], { ...at, name: `${at.name}.${field}` })
    }
    return recordOf(at.name, fields)
  }

  #text(text: string, path: Path, within: readonly string[]): ValueType {
    if (text.endsWith('?')) return nullable(this.#text(text.slice(0, -1), path, within))
    const list = /^list<(.+)>$/.exec(text)
    if (list) return listOf(this.#text(list[1]!, path, within))
    return PLAIN[text] ?? this.named(text, path, within)
  }
}

/** Of generated payments. */
export const PAYMENT = recordOf('Payment', {
  id: STRING,
  user: STRING,
  amountMinor: INT,
  status: { kind: 'enum', values: ['PAID', 'FAILED'] },
  ts: INT,
})
/** Of changes of tables. */
export const CHANGE = recordOf('Change', {
  ...{ table: STRING, operation: { kind: 'enum', values: ['insert', 'update', 'delete'] } },
  ...{ before: ANY, after: ANY, transaction: STRING, committedAt: INT },
})
export const BOUNDS = recordOf('Window', { start: INT, end: INT })
export const windowResult = (value: ValueType): ValueType => recordOf('WindowResult', { start: INT, end: INT, value })
export const sessionOf = (record: ValueType): ValueType =>
  recordOf('Session', { start: INT, end: INT, records: listOf(record) })
export const conflictOf = (value: ValueType): ValueType =>
  recordOf('Conflict', { kind: STRING, value, bizKey: STRING, eventType: STRING, fingerprint: STRING, held: ANY })
