/** Folds: of all records of a key (and window) one value. */
import type { MergingAggregate } from '@weir/sdk'
import { refuse, StepRefused } from './problem.ts'
import {
  expression,
  projection,
  within,
  type Compiled,
  type ExpressionSpec,
  type Place,
  type ProjectionSpec,
} from './projection.ts'
import { DOUBLE, INT, mismatch, nullable, recordOf, typeOf, typeText, type ValueType } from './value-type.ts'

export interface ReduceSpec {
  readonly initial?: unknown
  readonly add: ProjectionSpec
  readonly merge?: ProjectionSpec | undefined
}
export interface Fold {
  readonly initial: unknown
  readonly add: (accumulator: unknown, value: unknown) => unknown
  readonly merge?: (earlier: unknown, later: unknown) => unknown
  readonly type: ValueType
}

/** A fold of the author's own, of `acc` and `value`. */
export function reduceFold(spec: ReduceSpec, place: Place): Fold {
  const initial = spec.initial ?? null
  const name = `${place.uid}.acc`
  const begun = typeOf(initial, name)
  const acc = (type: ValueType): Compiled =>
    projection(spec.add, within({ ...place, scope: { ...place.scope, acc: type } }, 'add'), name)
  let add: Compiled
  let type = begun
  try {
    add = acc(begun)
  } catch (thrown) {
    // With fractions it may be right: 0 is where a sum of doubles begins, too.
    type = widened(begun)
    if (!(thrown instanceof StepRefused) || type === begun) throw thrown
    try {
      add = acc(type)
    } catch {
      throw thrown
    }
  }
  if (type === begun && fits(add.type, widened(begun)) && !fits(add.type, begun)) {
    type = widened(begun)
    add = acc(type)
  }
  if (!fits(add.type, type))
    refuse(
      [...place.path, 'add'],
      `the fold begins as ${spelled(type)} and add makes ${spelled(add.type)} of it`,
      'Let both have the same fields and types; what may be missing at first begins as null.',
    )
  const { constants } = place
  const merge =
    spec.merge === undefined
      ? undefined
      : projection(
          spec.merge,
          within({ ...place, scope: { ...paramsOf(place), acc: type, other: type } }, 'merge'),
          name,
        )
  if (merge !== undefined && !fits(merge.type, type))
    refuse(
      [...place.path, 'merge'],
      `merge makes ${spelled(merge.type)}, and the accumulator is ${spelled(type)}`,
      'Let both be the same.',
    )
  return {
    initial,
    type,
    add: (accumulator, value) => add.of({ ...constants, acc: accumulator, value }),
    ...(merge && { merge: (earlier, later) => merge.of({ ...constants, acc: earlier, other: later }) }),
  }
}

const paramsOf = ({ scope }: Place): Place['scope'] => (scope['params'] ? { params: scope['params'] } : {})

/** Whole numbers as doubles. */
function widened(type: ValueType): ValueType {
  if (type.kind === 'int') return DOUBLE
  if (type.kind !== 'record') return type
  const fields = Object.entries(type.fields).map(([field, of]) => [field, widened(of)] as const)
  return fields.every(([field, of]) => of === type.fields[field])
    ? type
    : recordOf(type.name, Object.fromEntries(fields))
}

/** May a value of `given` stand where `wanted` is expected? An int is a double, too: both are numbers of a job. */
function fits(given: ValueType, wanted: ValueType): boolean {
  if (given.kind === 'any' || wanted.kind === 'any' || wanted.kind === 'nullable') return true
  if (given.kind === 'int' && wanted.kind === 'double') return true
  if (given.kind === 'enum' && wanted.kind === 'string') return true
  if (given.kind === 'list' && wanted.kind === 'list') return fits(given.of, wanted.of)
  if (given.kind !== 'record' || wanted.kind !== 'record') return given.kind === wanted.kind
  const names = Object.keys(wanted.fields)
  return (
    names.length === Object.keys(given.fields).length &&
    names.every((name) => Object.hasOwn(given.fields, name) && fits(given.fields[name]!, wanted.fields[name]!))
  )
}

const spelled = (type: ValueType): string =>
  type.kind === 'record'
    ? `{ ${Object.entries(type.fields)
        .map(([field, of]) => `${field}: ${typeText(of)}`)
        .join(', ')} }`
    : typeText(type)

export type AggregationSpec =
  'count' | { readonly [kind in 'sum' | 'min' | 'max' | 'avg' | 'first' | 'last']?: ExpressionSpec }

/** Of one field of an aggregate: plain JSON, so that it can be stored. */
interface Part {
  readonly initial: unknown
  readonly add: (part: unknown, value: unknown) => unknown
  readonly merge: (earlier: unknown, later: unknown) => unknown
  readonly result: (part: unknown) => unknown
  readonly type: ValueType
}

const same = (part: unknown): unknown => part

/** `{ total: { sum: value.amount }, n: count }` */
export function aggregateFold(
  spec: Readonly<Record<string, AggregationSpec>>,
  place: Place,
): { readonly aggregate: MergingAggregate<unknown, unknown, unknown>; readonly type: ValueType } {
  const parts = Object.entries(spec).map(([field, of]) => [field, partOf(of, within(place, field))] as const)
  if (parts.length === 0)
    refuse(place.path, 'aggregates nothing', 'Name fields: { total: { sum: value.amount }, n: count }.')
  const each = (make: (field: string, part: Part) => unknown): Record<string, unknown> => {
    const made: Record<string, unknown> = {}
    for (const [field, part] of parts) made[field] = make(field, part)
    return made
  }
  type Parts = Readonly<Record<string, unknown>>
  return {
    type: recordOf(place.uid, Object.fromEntries(parts.map(([field, { type }]) => [field, type]))),
    aggregate: {
      initial: each((_, { initial }) => initial),
      add: (all, value) => each((field, { add }) => add((all as Parts)[field], value)),
      merge: (earlier, later) => each((field, { merge }) => merge((earlier as Parts)[field], (later as Parts)[field])),
      result: (all) => each((field, { result }) => result((all as Parts)[field])),
    },
  }
}

function partOf(spec: AggregationSpec, place: Place): Part {
  if (spec === 'count')
    return {
      initial: 0,
      add: (n) => (n as number) + 1,
      merge: (a, b) => (a as number) + (b as number),
      result: same,
      type: INT,
    }
  const [[kind, text] = []] = Object.entries(spec)
  const at = within(place, kind!)
  if (kind === 'first' || kind === 'last') {
    const { of, type } = expression(text!, at)
    // A list, since null is a value: of none, or of one.
    const one = (value: unknown): unknown => [of({ ...place.constants, value })]
    const none = (list: unknown): boolean => (list as readonly unknown[]).length === 0
    return {
      initial: [],
      add: kind === 'last' ? (_, value) => one(value) : (part, value) => (none(part) ? one(value) : part),
      merge: kind === 'last' ? (a, b) => (none(b) ? a : b) : (a, b) => (none(a) ? b : a),
      result: (part) => (part as readonly unknown[])[0] ?? null,
      type: nullable(type),
    }
  }
  const { of, type } = expression(text!, at, { kinds: ['int', 'double'], what: `${kind} is of numbers` })
  const number = numberOf(of, place, String(text))
  if (kind === 'avg')
    return {
      initial: [0, 0],
      add: (part, value) => [(part as number[])[0]! + number(value), (part as number[])[1]! + 1],
      merge: (a, b) => [(a as number[])[0]! + (b as number[])[0]!, (a as number[])[1]! + (b as number[])[1]!],
      result: (part) => (part as number[])[0]! / (part as number[])[1]!,
      type: DOUBLE,
    }
  if (kind === 'sum')
    return {
      initial: 0,
      add: (sum, value) => (sum as number) + number(value),
      merge: (a, b) => (a as number) + (b as number),
      result: same,
      type,
    }
  const choose = kind === 'min' ? Math.min : Math.max
  const merge = (a: unknown, b: unknown): unknown =>
    a === null ? b : b === null ? a : choose(a as number, b as number)
  return { initial: null, add: (part, value) => merge(part, number(value)), merge, result: same, type }
}

/** A field that is no number must not become part of a sum. */
export function numberOf(of: Compiled['of'], { uid, constants }: Place, text: string): (value: unknown) => number {
  return (value) => {
    const number = of({ ...constants, value })
    if (typeof number === 'number' && !Number.isNaN(number)) return number
    throw new TypeError(`"${uid}": ${text} is ${mismatch(DOUBLE, number, 'it')?.slice(6) ?? 'NaN'}`)
  }
}
