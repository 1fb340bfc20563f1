/**
 * Versions of what a state holds. A schema says which version a build writes and how it reads older ones, a step at a time:
 *
 *     const balance = stateSchema<number>('balance')                    // version 1: a sum
 *       .next((sum) => ({ sum, currency: 'EUR' }))                      // version 2
 *       .next(({ sum, currency }) => ({ [currency]: sum }))             // version 3, what operators see
 *
 * Versions are counted by the steps, so none can be missing between two; types flow through them. Steps nobody needs any
 * more are left out from the front: `stateSchema<Now>('balance', 3)` reads nothing before version 3. A state without a
 * schema is of version 1 and has no name: a schema may be given to it later.
 *
 * Values are migrated when a job is restored, before anything is read, and not when they are first used: a step that throws
 * stops a start and not a running job, and after the next checkpoint no old value is left that would need its step for ever.
 * What it costs is in CHANGELOG.md. Steps must be pure: a restore that is repeated runs them again.
 */
import { WeirError } from '@weir/model'
import type { GraphNode } from './graph.ts'
import type { Plan } from './plan.ts'
import { broadcastRows } from './broadcast-state.ts'
import { rowsOf } from './keyed-handles.ts'
import { REDUCE_STATE } from './operators/reduce.ts'
import { OPERATOR_HOOKS_STATE, OPERATOR_STATE } from './operators/resumable.ts'
import { statesOfWindow } from './operators/window-states.ts'
import { timerKindsOf, timersState } from './timers.ts'

/** How values of type `V` are written, and older ones read. Immutable. */
export interface StateSchema<V> {
  readonly kind: 'weir.schema'
  /** Stored beside the version: values of another name are refused. */
  readonly name: string
  /** Of what is written. */
  readonly version: number
  /** The oldest version that is read. */
  readonly since: number
  /** `steps[i]` makes version `since + i + 1` of version `since + i`. */
  readonly steps: readonly ((old: unknown) => unknown)[]
  /** The version after this one. `migrate` makes its values; pure, and never changes what it is given. */
  next<W>(migrate: (old: V) => W): StateSchema<W>
}

/** @param since version of the first values that are read: 1, or higher where older steps are given up */
export const stateSchema = <V>(name: string, since = 1): StateSchema<V> => schemaOf(name, since, [])

function schemaOf<V>(name: string, since: number, steps: StateSchema<V>['steps']): StateSchema<V> {
  return Object.freeze({
    ...{ kind: 'weir.schema' as const, name, since, version: since + steps.length, steps: Object.freeze([...steps]) },
    next: <W>(migrate: (old: V) => W) => schemaOf<W>(name, since, [...steps, migrate as (old: unknown) => unknown]),
  })
}

/** Beside stored values. JSON. Null: of a state without a schema, which is version 1. */
export interface StoredSchema {
  readonly name: string
  readonly version: number
}
/** What a build reads of a state: a schema without its functions. JSON. */
export interface KnownSchema extends StoredSchema {
  readonly since: number
}

/** What one stored segment has of a state. JSON. */
export interface SegmentState {
  readonly operatorUid: string
  readonly name: string
  /** Puts, differences and deletions, over all splits. */
  readonly rows: number
  readonly schema: StoredSchema | null
}

export interface StateDeclaration {
  readonly name: string
  readonly schema: StateSchema<unknown> | null
  /** From so many values on they are kept as rows beside the heap, where the store can. Absent: never. */
  readonly packedFrom?: number
}
/** One in a plan. JSON. */
export interface PlannedState {
  readonly name: string
  readonly schema: KnownSchema | null
}

/** As entries of a map they no longer fit a processor's cache: each look-up waits for memory several times, while rows are read ahead. */
const MANY_NUMBERS = 20_000

/** The states an operator keeps in the store; empty: it keeps none. */
export function statesOf(node: GraphNode): readonly StateDeclaration[] {
  switch (node.kind) {
    case 'reduce':
      return [
        {
          ...{ name: REDUCE_STATE, schema: node.schema ?? null },
          // What begins as a number stays one mostly.
          ...(typeof node.initial === 'number' && { packedFrom: MANY_NUMBERS }),
        },
      ]
    case 'window':
      return statesOfWindow(node)
    case 'resumable':
      return [
        { name: OPERATOR_STATE, schema: node.schema ?? null },
        { name: OPERATOR_HOOKS_STATE, schema: null },
      ]
    case 'connect':
    case 'withBroadcast':
    case 'keyedProcess':
      return [
        ...Object.entries(node.kind === 'withBroadcast' ? node.broadcast : {}).map(([name, { schema }]) => {
          return { name: broadcastRows(name), schema: (schema ?? null) as StateSchema<unknown> | null }
        }),
        ...Object.entries(node.state).flatMap(([name, descriptor]) => {
          const { values, others } = rowsOf(name, descriptor)
          const schema = (descriptor.schema ?? null) as StateSchema<unknown> | null
          const packed = descriptor.kind === 'value' && descriptor.packed
          return [
            { name: values, schema, ...(packed && { packedFrom: 0 }) },
            ...others.map((name) => ({ name, schema: null })),
          ]
        }),
        ...timerKindsOf(node.timers).map((kind) => ({ name: timersState(kind), schema: null })),
      ]
    default:
      return []
  }
}

/** A state's schema in a plan, by operator and name. */
export function schemasIn({
  job,
}: Pick<Plan, 'job'>): (operatorUid: string, state: string) => StateSchema<unknown> | null {
  const schemas = new Map(
    job.graph.nodes.flatMap((node) =>
      statesOf(node).map(({ name, schema }) => [JSON.stringify([node.uid, name]), schema] as const),
    ),
  )
  return (operatorUid, state) => schemas.get(JSON.stringify([operatorUid, state])) ?? null
}

/** From how many values on a state of a plan is packed; null: never. */
export function packedIn({ job }: Pick<Plan, 'job'>): (operatorUid: string, state: string) => number | null {
  const packed = new Map(
    job.graph.nodes.flatMap((node) =>
      statesOf(node).flatMap(({ name, packedFrom }) =>
        packedFrom === undefined ? [] : [[JSON.stringify([node.uid, name]), packedFrom] as const],
      ),
    ),
  )
  return (operatorUid, state) => packed.get(JSON.stringify([operatorUid, state])) ?? null
}

export const plannedStates = (node: GraphNode): readonly PlannedState[] =>
  statesOf(node).map(({ name, schema }) => ({ name, schema: schema && knownOf(schema) }))

export const knownOf = ({ name, version, since }: StateSchema<unknown>): KnownSchema => ({ name, version, since })

/**
 * `current`: read as they are; `migrates`: by steps; `newer`: written by a later build; `too-old`: the step from their
 * version on is not in this build; `other`: they are of a schema of another name.
 */
export type SchemaVerdict = 'current' | 'migrates' | 'newer' | 'too-old' | 'other'

export function judgeSchema(stored: StoredSchema | null, known: KnownSchema | null): SchemaVerdict {
  if (stored !== null && known !== null && stored.name !== known.name) return 'other'
  const found = stored?.version ?? 1
  const { version, since } = known ?? { version: 1, since: 1 }
  if (found > version) return 'newer'
  if (found < since) return 'too-old'
  return found === version ? 'current' : 'migrates'
}

/** Null for `current` and `migrates`. */
export function schemaRefused(
  place: { readonly operatorUid: string; readonly state: string },
  stored: StoredSchema | null,
  known: KnownSchema | null,
): WeirError | null {
  const verdict = judgeSchema(stored, known)
  if (verdict === 'current' || verdict === 'migrates') return null
  const { operatorUid, state } = place
  const facts = { kind: 'invalid' as const, operatorUid, state, stored, known }
  const found = stored?.version ?? 1
  const at = `state "${state}" of operator "${operatorUid}" is stored as`
  switch (verdict) {
    case 'newer':
      return new WeirError(
        { code: 'STATE_SCHEMA_NEWER', ...facts },
        `${at} version ${found}, this build knows versions up to ${known?.version ?? 1}: it was written by a later build. Deploy that build or ` +
          'a later one, or start from an epoch before it.',
      )
    case 'too-old':
      return new WeirError(
        { code: 'STATE_MIGRATION_MISSING', ...facts },
        `${at} version ${found}, this build reads from version ${known!.since} on: put the steps from ${found} to ${known!.since} back in (stateSchema("` +
          `${known!.name}", ${found}).next(…)), or first deploy a build that has them and let it take a checkpoint.`,
      )
    case 'other':
      return new WeirError(
        { code: 'STATE_SCHEMA_OTHER', ...facts },
        `${at} "${stored!.name}" version ${found}, this build calls it "${known!.name}". If they are the same values, give the schema its name back; ` +
          'if they are others, give the operator another uid.',
      )
  }
}
