import { expect, expectTypeOf, test } from 'vitest'
import { operatorUid } from '@weir/model'
import type { Plan } from './plan.ts'
import { judgeSchema, knownOf, packedIn, schemaRefused, stateSchema, type StateSchema } from './state-schema.ts'

const balance = stateSchema<number>('balance')
  .next((sum) => ({ sum, currency: 'EUR' }))
  .next(({ sum, currency }) => new Map([[currency, sum]]))

test('versions are counted by the steps, and types flow through them', () => {
  expectTypeOf(balance).toEqualTypeOf<StateSchema<Map<string, number>>>()
  expect(knownOf(balance)).toEqual({ name: 'balance', version: 3, since: 1 })
  expect(balance.steps.reduce<unknown>((value, step) => step(value), 7)).toEqual(new Map([['EUR', 7]]))
  expect(knownOf(stateSchema('balance', 3))).toEqual({ name: 'balance', version: 3, since: 3 })
  // @ts-expect-error: a step is given what the one before it makes
  void ((): unknown => balance.next((old: number) => old))
})

test('both sides of a step stay what they were', () => {
  const first = stateSchema<number>('n')
  first.next(String)
  expect(first.version).toBe(1)
  expect(Object.isFrozen(first.steps)).toBe(true)
})

const known = knownOf(balance)
const stored = (version: number) => ({ name: 'balance', version })

test.each([
  ['of this version', stored(3), known, 'current'],
  ['one step before', stored(2), known, 'migrates'],
  ['stored before there was a schema: version 1', null, known, 'migrates'],
  ['neither has a schema', null, null, 'current'],
  ['version 1, and the build has no schema', stored(1), null, 'current'],
  ['version 2, and the build has no schema', stored(2), null, 'newer'],
  ['of a later build', stored(4), known, 'newer'],
  ['before the first step there is', stored(2), knownOf(stateSchema('balance', 3)), 'too-old'],
  ['without a schema, and version 1 is not read any more', null, knownOf(stateSchema('balance', 2)), 'too-old'],
  ['another name', { name: 'saldo', version: 3 }, known, 'other'],
] as const)('%s', (_, found, build, verdict) => {
  expect(judgeSchema(found, build)).toBe(verdict)
  const refused = schemaRefused({ operatorUid: 'sum', state: 'acc' }, found, build)
  expect(refused === null).toBe(verdict === 'current' || verdict === 'migrates')
})

test('a refusal names state, operator and versions, and says what to do', () => {
  const place = { operatorUid: 'sum', state: 'acc' }
  const newer = schemaRefused(place, stored(4), known)!
  expect(newer.code).toBe('STATE_SCHEMA_NEWER')
  expect(newer.message).toMatch(/state "acc" of operator "sum" is stored as version 4, .* up to 3.*Deploy that build/)
  const missing = schemaRefused(place, stored(1), knownOf(stateSchema('balance', 3)))!
  expect(missing.code).toBe('STATE_MIGRATION_MISSING')
  expect(missing.message).toContain('stateSchema("balance", 1).next(…)')
  expect(schemaRefused(place, { name: 'saldo', version: 1 }, known)!.message).toContain('give the schema its name back')
})

test('a fold that begins with a number lies in rows once there are many, one of objects never', () => {
  const fold = (uid: string, initial: unknown) => ({ kind: 'reduce', uid: operatorUid(uid), initial, reduce: () => 0 })
  const nodes = [fold('sum', 0), fold('last', null), fold('totals', { eur: 0 }), fold('cents', 0n)]
  const packed = packedIn({ job: { graph: { nodes } } } as unknown as Plan)
  expect(packed('sum', 'accumulator')).toBe(20_000)
  expect(['last', 'totals', 'cents'].map((uid) => packed(uid, 'accumulator'))).toEqual([null, null, null])
})
