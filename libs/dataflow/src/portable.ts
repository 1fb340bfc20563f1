/**
 * Values that can be stored and sent as they are: null, undefined, booleans, numbers, bigints, strings, arrays, plain objects, Map,
 * Set, Date, RegExp, Error, bytes, typed arrays, and instances of classes without methods. Functions, symbols, promises and
 * instances of other classes would come back as something else, without a word (`{}`, or without their methods), and only where
 * they had to travel.
 */

import { WeirError, type OperatorUid, type RecordBatch } from '@weir/model'
import { positionOf, whereOf } from './user-code.ts'

/** Deeper than any data: an object that contains itself. */
export const DEPTH_MAX = 500

export interface Unportable {
  /** e.g. `$.customer.since`; names of fields, never contents. */
  readonly path: string
  readonly what: string
}

/** Null: it is portable. Looks at everything in it: for samples, and to name what an encoder has refused. */
export function unportableIn(value: unknown, path = '$', depth = 0): Unportable | null {
  if (typeof value === 'function' || typeof value === 'symbol') return { path, what: `a ${typeof value}` }
  if (typeof value !== 'object' || value === null) return null
  if (depth > DEPTH_MAX) return { path: shortened(path), what: `nested more than ${DEPTH_MAX} deep, or part of itself` }
  if (Array.isArray(value)) return firstOf(value.entries(), (i) => `${path}[${String(i)}]`, depth)
  if (isCollection(value) && value instanceof Map) {
    for (const [key, member] of value) {
      const found = unportableIn(key, `${path}.keys()`, depth + 1) ?? unportableIn(member, `${path}.get()`, depth + 1)
      if (found !== null) return found
    }
    return null
  }
  if (isCollection(value)) return firstOf([...value].entries(), () => `${path}.values()`, depth)
  if (isTypedValue(value)) return null
  if (!isPlain(value)) return { path, what: `an instance of ${nameOf(value)}` }
  return firstOf(Object.entries(value), (name) => `${path}.${String(name)}`, depth)
}

/** `VALUE_NOT_PORTABLE` (invalid) naming record and field; null: the value is portable. `uid` null: between two operators. */
export function notPortable(uid: OperatorUid | null, batch: RecordBatch, index: number): WeirError | null {
  const found = unportableIn(batch.values[index])
  if (found === null) return null
  const at = positionOf(uid ?? ('an exchange' as OperatorUid), batch, index)
  return new WeirError(
    { ...at, code: 'VALUE_NOT_PORTABLE', kind: 'invalid', ...found },
    `${whereOf(at)}: ${found.path} of the value is ${found.what}, which cannot be sent to another operator as it is. Map it before the ` +
      'keyBy: to plain objects, arrays, Map, Set, Date, bigint or bytes.',
  )
}

/** A class of which every object is an instance that would come back as something else. */
export class UnportableInstance {
  static [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && !isKnown(value)
  }
}

/** What an encoder (msgpackr) is given, so that it refuses such values instead of writing something else: plain ones cost nothing. */
export const unportableExtension = {
  Class: UnportableInstance,
  type: 100,
  write(value: object): never {
    throw new TypeError(`an instance of ${nameOf(value)} cannot be stored or sent`)
  },
}
export function refuseFunction(): never {
  throw new TypeError('a function cannot be stored or sent')
}

function firstOf(
  members: Iterable<readonly [unknown, unknown]>,
  pathOf: (name: unknown) => string,
  depth: number,
): Unportable | null {
  for (const [name, member] of members) {
    if (typeof member !== 'object' && typeof member !== 'function' && typeof member !== 'symbol') continue
    const found = unportableIn(member, pathOf(name), depth + 1)
    if (found !== null) return found
  }
  return null
}

const isKnown = (value: object): boolean =>
  isPlain(value) || Array.isArray(value) || isCollection(value) || isTypedValue(value)

/** Those of a class of their own would come back as plain ones. */
function isCollection(value: object): value is Map<unknown, unknown> | Set<unknown> {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Map.prototype || prototype === Set.prototype
}

const isTypedValue = (value: object): boolean =>
  value instanceof Date ||
  value instanceof RegExp ||
  value instanceof Error ||
  value instanceof ArrayBuffer ||
  ArrayBuffer.isView(value)

/** Objects, and instances of classes that have nothing but fields (records of Avro): only the name of the class is lost. */
export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === Object.prototype || prototype === null || hasOnlyFields(prototype)
}

const ONLY_FIELDS = new WeakMap<object, boolean>()
function hasOnlyFields(prototype: object): boolean {
  let known = ONLY_FIELDS.get(prototype)
  if (known === undefined) {
    const isItself = Reflect.ownKeys(prototype).every((name) => name === 'constructor')
    known = isItself && Object.getPrototypeOf(prototype) === Object.prototype
    ONLY_FIELDS.set(prototype, known)
  }
  return known
}

export function nameOf(value: object): string {
  const { constructor } = value as { constructor?: unknown }
  return typeof constructor === 'function' && constructor.name !== '' ? constructor.name : 'a class'
}

const shortened = (path: string): string => (path.length > 60 ? `${path.slice(0, 60)}…` : path)
