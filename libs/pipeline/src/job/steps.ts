/** One step after the other becomes a call of the TypeScript API: so a pipeline has the graph that the same calls would make. */
import { instead } from '@weir/model'
import {
  fields,
  fieldsAndSecond,
  sliding,
  tumbling,
  type Duration,
  type Flow,
  type KeyedStream,
  type RecordContext,
  type SidedStream,
  type Sink,
  type Stream,
} from '@weir/sdk'
import type { ClaimStoreSpec } from '../schema/claims.ts'
import type { Step, StepKind } from '../schema/steps.ts'
import { claimsOf } from './claims.ts'
import { sinkOf, sourceOf } from './connectors.ts'
import type { BinaryFormats } from './formats.ts'
import { aggregateFold, reduceFold, type AggregationSpec, type ReduceSpec } from './folds.ts'
import { refuse, refuseKey, type Path } from './problem.ts'
import {
  A_KEY,
  expression,
  ofRecord,
  ofValue,
  projection,
  within,
  type Compiled,
  type ExpressionSpec,
  type Place,
  type ProjectionSpec,
  type Variables,
} from './projection.ts'
import { BOUNDS, conflictOf, sessionOf, type DeclaredTypes } from './types.ts'
import { ANY, INT, nullable, type RecordType, type ValueType } from './value-type.ts'
import { windowStep } from './windows.ts'

type Sides = Readonly<Record<string, ValueType>>
/** What a step puts out. `null` stream: it is a sink. */
export interface Output {
  readonly stream: Stream<unknown> | KeyedStream<unknown> | null
  readonly isKeyed: boolean
  readonly type: ValueType
  readonly sides: Sides
}

export interface Steps {
  readonly flow: Flow
  readonly types: DeclaredTypes
  readonly formats: BinaryFormats
  readonly params: { readonly type: RecordType; readonly values: Variables }
  /** By uid: of the steps above. */
  readonly outputs: ReadonlyMap<string, Output | 'refused'>
  /** uid of the step above; null: this one is the first. */
  readonly above: string | null
}

/** A step that reads one which was refused: nothing can be said of it. */
export class InputRefused extends Error {}

const REMEDY_KEY = 'Put a keyBy step in front of it.'
/** With state of their own. */
const NAMED: readonly StepKind[] = [
  'reduce',
  'aggregate',
  'deduplicate',
  'sessionize',
  'idempotent',
  'join',
  'intervalJoin',
]

export const kindOf = (step: Step): StepKind =>
  Object.keys(step).find((key) => key !== 'uid' && key !== 'input') as StepKind

/** Throws StepRefused, InputRefused, and what the SDK refuses. */
export function build(step: Step, path: Path, steps: Steps): Output {
  const kind = kindOf(step)
  const { uid } = step
  const spec = (step as unknown as Readonly<Record<string, unknown>>)[kind]
  const constants = { params: steps.params.values }
  const params = { params: steps.params.type }
  const at = (scope: Readonly<Record<string, ValueType>>): Place => ({
    uid: uid ?? kind,
    path: [...path, kind],
    scope: { ...scope, ...params },
    constants,
  })
  if (NAMED.includes(kind) && uid === undefined)
    refuse(
      path,
      `${kind} keeps state, and has no uid`,
      'Give the step a uid: its state is found again by it after an upgrade.',
    )

  if (kind === 'from') {
    const { source, type } = sourceOf(spec as Readonly<Record<string, unknown>>, at({}), steps)
    return plain(steps.flow.from(source, uid), type)
  }
  if (kind === 'union') return union(spec as readonly string[], path, steps)
  if (kind === 'join' || kind === 'intervalJoin') return join(kind, spec as JoinSpec, at({}), steps, uid!)

  const input = inputOf(step, path, steps)
  const { stream, type, isKeyed } = input
  if (kind === 'sideOutput') return sideOutput(input, spec as string, [...path, kind], uid)
  const value = at({ value: type })
  const record = at({ value: type, eventTime: INT, key: ANY })
  if (isKeyed) {
    const keyed = keyedStep(kind, spec, { keyed: stream as KeyedStream<unknown>, type, place: value, uid })
    if (keyed !== null) return keyed
    return refuseKey(
      [...path, kind],
      `${kind} stands behind a keyBy`,
      `Behind a keyBy stands what works by key: ${KEYED.join(', ')}. Put ${kind} in front of the keyBy.`,
    )
  }
  const from = stream as Stream<unknown>
  switch (kind) {
    case 'filter': {
      const test = expression(spec as ExpressionSpec, record, { kinds: ['bool'], what: 'a filter is true or false' })
      return { ...plain(from.filter(booleanOf(ofRecord(test, constants), test), uid), type) }
    }
    case 'map': {
      const map = projection(spec as ProjectionSpec, record, uid ?? 'map')
      return plain(from.map(ofRecord<never>(map, constants), uid), map.type)
    }
    case 'flatMap': {
      const list = expression(spec as ExpressionSpec, record, { kinds: ['list'], what: 'flatMap needs a list' })
      return plain(
        from.flatMap(ofRecord<Iterable<unknown>>(list, constants), uid),
        list.type.kind === 'list' ? list.type.of : ANY,
      )
    }
    case 'keyBy':
    case 'keyedBySource': {
      const key = expression(spec as ExpressionSpec, value, A_KEY)
      return { stream: from[kind](ofValue<string>(key, constants), uid), isKeyed: true, type, sides: {} }
    }
    case 'idempotent':
      return idempotent(from, spec as IdempotentSpec, value, uid!)
    case 'to':
      from.to(sinkOf(spec as Readonly<Record<string, unknown>>, value, steps.formats) as Sink<unknown>, uid)
      return { stream: null, isKeyed: false, type, sides: {} }
    default:
      return refuseKey([...path, kind], `${kind} works by key, and what it reads has none`, REMEDY_KEY)
  }
}

const plain = (stream: Stream<unknown>, type: ValueType): Output => ({ stream, isKeyed: false, type, sides: {} })
const sided = (stream: unknown, type: ValueType, sides: Sides): Output => ({
  stream: stream as Stream<unknown>,
  isKeyed: false,
  type,
  sides,
})

/** Of unknown types an expression may answer anything. */
function booleanOf(test: RecordFunction, { type }: Compiled): (value: unknown, context: RecordContext) => boolean {
  if (type.kind === 'bool') return test as (value: unknown) => boolean
  const strict = (answer: unknown): boolean => {
    if (typeof answer === 'boolean') return answer
    throw new TypeError(`the filter is true or false, and is ${JSON.stringify(answer)} here`)
  }
  // One that asks for its context is known by its second parameter.
  return test.length > 1
    ? (value, context) => strict(test(value, context))
    : (value) => strict((test as (value: unknown) => unknown)(value))
}
type RecordFunction = (value: unknown, context: RecordContext) => unknown

function named(name: string, path: Path, { outputs }: Steps): Output {
  const output = outputs.get(name)
  if (output === 'refused') throw new InputRefused()
  if (output === undefined)
    return refuse(path, `there is no step "${name}" above`, instead(name, [...outputs.keys()], 'step above'))
  if (output.stream === null)
    return refuse(path, `"${name}" is a sink: it puts nothing out`, 'Name the step that the sink reads.')
  return output
}

function inputOf(step: Step, path: Path, steps: Steps): Output {
  if (step.input !== undefined) return named(step.input, [...path, 'input'], steps)
  const { above, outputs } = steps
  if (above === null)
    return refuse(path, 'the first step reads nothing', 'Begin with a source: - from: { kafka: { topic: orders } }.')
  const output = outputs.get(above)!
  if (output === 'refused') throw new InputRefused()
  if (output.stream === null)
    return refuse(
      path,
      `the step above, "${above}", is a sink: it puts nothing out`,
      `Say which step this one reads: input: ${[...outputs].filter(([, of]) => of !== 'refused' && of.stream !== null).at(-1)?.[0] ?? 'UID'}.`,
    )
  return output
}

function union(names: readonly string[], path: Path, steps: Steps): Output {
  const inputs = names.map((name, i) => named(name, [...path, 'union', i], steps))
  const odd = inputs.findIndex(({ isKeyed }) => isKeyed)
  if (odd >= 0) refuse([...path, 'union', odd], `"${names[odd]}" is keyed`, 'Put the keyBy behind the union.')
  const [first, ...others] = inputs.map(({ stream }) => stream as Stream<unknown>)
  const types = new Set(inputs.map(({ type }) => type))
  return plain(first!.union(...(others as [Stream<unknown>])), types.size === 1 ? inputs[0]!.type : ANY)
}

function sideOutput({ stream, sides }: Output, name: string, path: Path, uid: string | undefined): Output {
  const type = sides[name]
  if (type === undefined)
    return refuse(
      path,
      `there is no side output "${name}"`,
      instead(name, Object.keys(sides), 'side output of that step'),
    )
  return plain((stream as SidedStream<unknown, Sides>).sideOutput(name, uid), type)
}

interface Keyed {
  readonly keyed: KeyedStream<unknown>
  readonly type: ValueType
  readonly place: Place
  readonly uid: string | undefined
}
const KEYED = ['reduce', 'aggregate', 'window', 'deduplicate', 'sessionize', 'join', 'intervalJoin']

function keyedStep(kind: StepKind, spec: unknown, { keyed, type, place, uid }: Keyed): Output | null {
  switch (kind) {
    case 'reduce': {
      const fold = reduceFold(spec as ReduceSpec, place)
      return plain(keyed.reduce(uid!, fold.initial, fold.add), fold.type)
    }
    case 'aggregate': {
      const fold = aggregateFold(spec as Readonly<Record<string, AggregationSpec>>, place)
      return plain(keyed.aggregate(uid!, fold.aggregate), fold.type)
    }
    case 'window': {
      const windowed = windowStep(keyed, spec as Parameters<typeof windowStep>[1], place, uid)
      return sided(windowed.stream, windowed.type, windowed.isTimed ? { late: type } : {})
    }
    case 'deduplicate':
      return sided(keyed.deduplicate(uid!, spec as { ttl: Duration }), type, { duplicates: type })
    case 'sessionize':
      return sided(keyed.sessionize(uid!, (spec as { gap: Duration }).gap), sessionOf(type), { late: type })
    default:
      return null
  }
}

interface IdempotentSpec {
  readonly bizKey: ExpressionSpec
  readonly eventType?: ExpressionSpec
  readonly fingerprint?: ProjectionSpec
  readonly fingerprintSecond?: boolean
  readonly store?: 'state' | ClaimStoreSpec
  readonly onDuplicate?: 'drop' | 'sideOutput'
}

function idempotent(from: Stream<unknown>, spec: IdempotentSpec, place: Place, uid: string): Output {
  const { bizKey, eventType, fingerprint, fingerprintSecond = false, store = 'state', ...options } = spec
  const { constants } = place
  const text = { kinds: ['string', 'enum'] as const, what: 'an event type is a text' }
  const key = expression(bizKey, within(place, 'bizKey'), {
    kinds: ['string', 'int', 'double'],
    what: 'a business key is a text or a number',
  })
  const typed = eventType === undefined ? undefined : expression(eventType, within(place, 'eventType'), text)
  const print =
    fingerprint === undefined ? undefined : projection(fingerprint, within(place, 'fingerprint'), 'fingerprint')
  if (fingerprintSecond && print === undefined)
    refuse(
      [...place.path, 'fingerprintSecond'],
      'fingerprintSecond is without a fingerprint',
      'Add fingerprint: the fields that tell two events apart.',
    )
  const of = print && ofValue(print, constants)
  const stream = from.idempotent(uid, {
    ...(options as object),
    bizKey: ofValue<string>(key, constants),
    ...(typed && { eventType: ofValue<string>(typed, constants) }),
    ...(of && { fingerprint: fingerprintSecond ? fieldsAndSecond(of) : fields(of) }),
    ...(store !== 'state' && { store: claimsOf(store, [...place.path, 'store']) }),
  })
  const { type } = { type: place.scope['value']! }
  return sided(stream, type, {
    ...(options.onDuplicate === 'sideOutput' && { duplicates: type }),
    conflicts: conflictOf(type),
  })
}

interface JoinSpec {
  readonly left: string
  readonly right: string
  readonly select: ProjectionSpec
  readonly window?:
    { readonly tumbling: Duration } | { readonly sliding: { readonly size: Duration; readonly every: Duration } }
  readonly keeps?: 'inner' | 'left' | 'full'
  readonly lower?: Duration
  readonly upper?: Duration
}

function join(kind: 'join' | 'intervalJoin', spec: JoinSpec, place: Place, steps: Steps, uid: string): Output {
  const side = (name: 'left' | 'right'): Output => {
    const output = named(spec[name], [...place.path, name], steps)
    return output.isKeyed
      ? output
      : refuse([...place.path, name], `"${spec[name]}" has no key`, 'Both sides of a join are keyBy steps.')
  }
  const [left, right] = [side('left'), side('right')]
  const { keeps = 'inner' } = spec
  const optional = (type: ValueType, may: boolean): ValueType => (may ? nullable(type) : type)
  const scope = {
    ...place.scope,
    left: optional(left.type, keeps === 'full'),
    right: optional(right.type, keeps !== 'inner'),
    ...(kind === 'join' && { window: BOUNDS }),
  }
  const select = projection(spec.select, within({ ...place, scope }, 'select'), uid)
  const { constants } = place
  const combine = (l: unknown, r: unknown, window: unknown): never =>
    select.of({ ...constants, left: l ?? null, right: r ?? null, window }) as never
  const [a, b] = [left.stream as KeyedStream<unknown>, right.stream as KeyedStream<unknown>]
  const sides = { lateLeft: left.type, lateRight: right.type }
  if (kind === 'intervalJoin') {
    const joined = a.intervalJoin(b, { lower: spec.lower!, upper: spec.upper! })
    return sided(
      joined.inner(uid, (l, r) => combine(l, r, null)),
      select.type,
      sides,
    )
  }
  return sided(a.join(b).window(windowOfJoin(spec.window!))[keeps](uid, combine), select.type, sides)
}

const windowOfJoin = (window: NonNullable<JoinSpec['window']>) =>
  'tumbling' in window ? tumbling(window.tumbling) : sliding(window.sliding.size, window.sliding.every)
