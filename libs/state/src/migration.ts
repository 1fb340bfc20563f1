/**
 * From the version a state is stored as to the one a build knows, value by value. It happens at the end of a restore: a
 * chain is of one version (the snapshot after a migration begins a new chain), so its differences are added up first.
 */
import {
  isEntries,
  isThenable,
  knownOf,
  ownerOfEntry,
  restOfEntry,
  schemaRefused,
  type StateSchema,
  type StoredSchema,
} from '@weir/dataflow'
import { WeirError, type Key } from '@weir/model'
import { corrupt } from './damage.ts'
import { stateNames } from './pack.ts'

/** The schema a build has of a state; null: none. */
export type SchemaOf = (operatorUid: string, state: string) => StateSchema<unknown> | null

/** What is found in the segments of one restore, and what is to be done about it. */
export class Migrations {
  readonly #schemaOf: SchemaOf
  /** By state id. */
  readonly #stored = new Map<string, StoredSchema | null>()

  constructor(schemaOf: SchemaOf) {
    this.#schemaOf = schemaOf
  }

  /**
   * A segment holds rows of the state. Throws `STATE_SCHEMA_NEWER`, `STATE_SCHEMA_OTHER`, `STATE_MIGRATION_MISSING`
   * (invalid); `SEGMENT_CORRUPT` for a chain of two versions.
   */
  found(stateId: string, stored: StoredSchema | null, objectKey: string): void {
    const before = this.#stored.get(stateId)
    const version = stored?.version ?? 1
    if (before !== undefined) {
      if ((before?.version ?? 1) === version) return
      const [uid, name] = stateNames(stateId)
      throw corrupt(
        objectKey,
        `state "${name}" of operator "${uid}" is version ${version} in it and ${before?.version ?? 1} before it in the chain`,
      )
    }
    const [operatorUid, state] = stateNames(stateId)
    const schema = this.#schemaOf(operatorUid, state)
    const refused = schemaRefused({ operatorUid, state }, stored, schema && knownOf(schema))
    if (refused !== null) throw refused
    this.#stored.set(stateId, stored)
  }

  /** State ids whose values are of an older version, with what makes this build's of one. */
  due(): Map<string, (value: unknown, at: { readonly group: number; readonly key: Key }) => unknown> {
    const due = new Map<string, (value: unknown, at: { readonly group: number; readonly key: Key }) => unknown>()
    for (const [stateId, stored] of this.#stored) {
      const [operatorUid, state] = stateNames(stateId)
      const schema = this.#schemaOf(operatorUid, state)
      const from = stored?.version ?? 1
      if (schema === null || schema.version === from) continue
      due.set(stateId, (value, at) => migrated(value, schema, from, { operatorUid, state, ...at }))
    }
    return due
  }
}

interface Place {
  readonly operatorUid: string
  readonly state: string
  readonly group: number
  readonly key: Key
}

function migrated(value: unknown, { steps, since }: StateSchema<unknown>, from: number, place: Place): unknown {
  let version = from
  try {
    for (const step of steps.slice(from - since)) {
      value = step(value)
      if (value === undefined || typeof value === 'function' || typeof value === 'symbol' || isThenable(value))
        throw failed(place, version, `returned ${isThenable(value) ? 'a promise' : typeof value}`)
      version++
    }
    return value
  } catch (error) {
    throw error instanceof WeirError && error.code === 'STATE_MIGRATION_FAILED'
      ? error
      : failed(place, version, `threw ${whatThrew(error)}`)
  }
}

/** Class and place of an error, without its message: that may hold the value, which is for the job's owners only. */
function whatThrew(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  const frame = error.stack?.split('\n').find((line) => line.trimStart().startsWith('at '))
  return frame === undefined ? error.name : `${error.name} ${frame.trim()}`
}

function failed({ operatorUid, state, group, key: row }: Place, version: number, what: string): WeirError {
  const [key, entry] = isEntries(state) ? [ownerOfEntry(String(row)), restOfEntry(String(row))] : [row, undefined]
  const facts = { operatorUid, state, keyGroup: group, key, ...(entry !== undefined && { entry }), version }
  return new WeirError(
    { code: 'STATE_MIGRATION_FAILED', kind: 'invalid', ...facts },
    `state "${state}" of operator "${operatorUid}" cannot be migrated: for key ${JSON.stringify(key)} in key group ${group} the step from ` +
      `version ${version} to ${version + 1} ${what}. Nothing was started and nothing stored is changed; correct the step and deploy again ` +
      '(`weir state get` shows the stored value).',
  )
}
