/** Expressions of a step, as the functions that operators call. */
import type { RecordContext } from '@weir/sdk'
import { compile, mustBe, type Expression, type Scope } from './expression.ts'
import { problemOf, refuse, StepRefused, type Path } from './problem.ts'
import { recordOf, type ValueType } from './value-type.ts'

export type ExpressionSpec = string | number | boolean
export type ProjectionSpec = ExpressionSpec | Readonly<Record<string, ExpressionSpec>>
export type Variables = Readonly<Record<string, unknown>>

/** What all expressions of a step have in common. */
export interface Place {
  readonly uid: string
  readonly path: Path
  readonly scope: Scope
  /** Values of what is the same for all records. */
  readonly constants: Variables
}

export interface Compiled {
  readonly type: ValueType
  readonly uses: ReadonlySet<string>
  readonly of: (variables: Variables) => unknown
}

export const within = (place: Place, ...keys: Path): Place => ({ ...place, path: [...place.path, ...keys] })

/** What an expression must be that makes a key. */
export const A_KEY = { kinds: ['string', 'int', 'double'], what: 'a key is a text or a number' } as const

/** Throws StepRefused. */
export function expression(
  spec: ExpressionSpec,
  place: Place,
  needed?: { readonly kinds: readonly ValueType['kind'][]; readonly what: string },
): Compiled {
  const text = String(spec)
  let compiled: Expression
  try {
    compiled = compile(text, place.scope, place.uid)
    if (needed !== undefined) mustBe(compiled, text, needed.kinds, needed.what)
  } catch (thrown) {
    throw new StepRefused(problemOf(thrown, place.path))
  }
  return { type: compiled.type, uses: compiled.uses, of: (variables) => compiled.evaluate(variables) }
}

/** One value, or an object of several. @param name of the type of that, in messages */
export function projection(spec: ProjectionSpec, place: Place, name: string): Compiled {
  if (typeof spec !== 'object') return expression(spec, place)
  if (Object.keys(spec).length === 0)
    refuse(place.path, 'no field is named', 'Name what the result is made of: { id: value.id }.')
  const fields = Object.entries(spec).map(([field, of]) => [field, expression(of, within(place, field))] as const)
  return {
    type: recordOf(name, Object.fromEntries(fields.map(([field, { type }]) => [field, type]))),
    uses: new Set(fields.flatMap(([, { uses }]) => [...uses])),
    of: (variables) => {
      const result: Record<string, unknown> = {}
      for (const [field, { of }] of fields) result[field] = of(variables)
      return result
    },
  }
}

/** Has a second parameter only if an expression asks for what is told in it: batches carry that then. */
export function ofRecord<R>(
  { uses, of }: Compiled,
  constants: Variables,
): (value: unknown, context: RecordContext) => R {
  if (!uses.has('key') && !uses.has('eventTime')) return ((value: unknown) => of({ ...constants, value })) as never
  return (value, { key, timestamp }) => of({ ...constants, value, key, eventTime: timestamp }) as R
}

/** Of the value alone. */
export const ofValue =
  <R>({ of }: Compiled, constants: Variables) =>
  (value: unknown): R =>
    of({ ...constants, value }) as R
