import { stateSchema, type SegmentRef, type StateSchema } from '@weir/dataflow'
import { operatorUid, type Key } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryObjects, cp, openStore } from './fixture.ts'
import { openSegment } from './segment-reader.ts'

const uid = operatorUid('sum')
const v1 = stateSchema<number>('balance')
const v2 = v1.next((minor) => ({ minor, currency: 'EUR' }))
const v3 = v2.next(({ minor, currency }) => [minor * 10, currency] as const)
const of = (schema: StateSchema<never> | StateSchema<unknown> | null) => ({
  schemas: (_: string, state: string) => (state === 'acc' ? (schema as StateSchema<unknown>) : null),
})

/** A chain of a base and a delta that adds to it, as `schema` writes it. */
async function written(objects: MemoryObjects, schema: StateSchema<number> | null) {
  const store = await openStore(objects, of(schema))
  const acc = store.keyed<number>(uid, 'acc')
  acc.put('ada', 7)
  acc.put(1, 8)
  acc.put('gone', 9)
  acc.put('w', 5, 60_000)
  store.keyed(uid, 'other').put('ada', 'untouched')
  await store.snapshot(cp(1))
  acc.put('ada', 9) // +2, which counts before the value becomes an object
  acc.delete('gone')
  const chain = await store.snapshot(cp(2))
  await store.close()
  return chain
}

test.each([
  ['with a schema', v1],
  ['without', null],
])(
  'values stored as version 1 (%s) are version 3 after a restore, and so is everything stored afterwards',
  async (_, schema) => {
    const objects = new MemoryObjects()
    const chain = await written(objects, schema)
    expect(chain.map(({ kind }) => kind)).toEqual(['base', 'delta'])
    const b = await openStore(objects, of(v3))
    await b.restore(chain)
    const seen = (store: typeof b) => {
      const acc = store.keyed(uid, 'acc')
      const keys: Key[] = ['ada', 1, 'gone']
      return [...keys.map((key) => acc.get(key)), acc.get('w', 60_000), store.keyed(uid, 'other').get('ada')]
    }
    const migrated = [[90, 'EUR'], [80, 'EUR'], undefined, [50, 'EUR'], 'untouched']
    expect(seen(b)).toEqual(migrated)
    // Nothing has changed since, and yet a new chain is begun: none is of two versions.
    const after = await b.snapshot(cp(3))
    expect(after.map(({ kind, states }) => [kind, states])).toEqual([
      [
        'base',
        [
          { operatorUid: 'sum', name: 'acc', rows: 3, schema: { name: 'balance', version: 3 } },
          { operatorUid: 'sum', name: 'other', rows: 1, schema: null },
        ],
      ],
    ])
    const c = await openStore(objects, of(v3))
    await c.restore(after)
    expect(seen(c)).toEqual(migrated)
    expect(await c.snapshot(cp(4))).toBe(after)
    await Promise.all([b.close(), c.close()])
  },
)

const refusals: [string, StateSchema<number>, StateSchema<never> | StateSchema<unknown> | null, string][] = [
  ['a later build wrote it', v3 as unknown as StateSchema<number>, v2 as StateSchema<unknown>, 'STATE_SCHEMA_NEWER'],
  ['the build has no schema any more', v2 as unknown as StateSchema<number>, null, 'STATE_SCHEMA_NEWER'],
  ['the step is gone', v1, stateSchema('balance', 2).next(String) as StateSchema<unknown>, 'STATE_MIGRATION_MISSING'],
  ['another name', v1, stateSchema('saldo').next(String) as StateSchema<unknown>, 'STATE_SCHEMA_OTHER'],
]
test.each(refusals)('refused before a row is read: %s', async (_, stored, known, code) => {
  const objects = new MemoryObjects()
  const chain = await written(objects, stored)
  const b = await openStore(objects, of(known))
  await expect(b.restore(chain)).rejects.toMatchObject({
    code,
    kind: 'invalid',
    facts: { operatorUid: 'sum', state: 'acc' },
  })
  await b.close()
})

test.each<[string, (old: number) => unknown, RegExp]>([
  [
    'throws',
    (n) => {
      if (n === 9) throw new RangeError(`secret ${n}`)
      return n
    },
    /threw RangeError at .*migration\.test/,
  ],
  ['returns nothing', (n) => (n === 9 ? undefined : n), /returned undefined/],
  ['is async', (n) => (n === 9 ? Promise.resolve(n) : n), /returned a promise/],
])('a step that %s names state, key group, key and step, and no value', async (_, step, what) => {
  const objects = new MemoryObjects()
  const chain = await written(objects, v1)
  const b = await openStore(objects, of(v1.next((n) => n).next(step) as StateSchema<unknown>))
  const error = await b.restore(chain).catch((e: unknown) => e)
  expect(error).toMatchObject({
    code: 'STATE_MIGRATION_FAILED',
    kind: 'invalid',
    facts: { operatorUid: 'sum', state: 'acc', key: 'ada', keyGroup: expect.any(Number) as number, version: 2 },
  })
  const { message } = error as Error
  expect(message).toMatch(/state "acc" of operator "sum" .* key "ada" in key group \d+ the step from version 2 to 3/)
  expect(message).toMatch(what)
  expect(message).not.toContain('secret')
  await b.close()
})

test('a chain of two versions is nothing Weir has written', async () => {
  const objects = new MemoryObjects()
  const older = await written(objects, v1)
  const newer = await written(objects, v2 as unknown as StateSchema<number>)
  const b = await openStore(objects, of(v3))
  await expect(b.restore([older[0]!, newer[1]!])).rejects.toMatchObject({ code: 'SEGMENT_CORRUPT' })
  await b.close()
})

test('the index of a segment has the schemas, and none where no state has one', async () => {
  const objects = new MemoryObjects()
  const schemasOf = async ([ref]: readonly SegmentRef[]) =>
    (await openSegment({ ...ref!, index: ref!.index! }, objects, { from: 0, to: 128 })).index.schemas
  expect(await schemasOf(await written(objects, v1))).toEqual([['balance', 1], null])
  expect(await schemasOf(await written(objects, null))).toBeUndefined()
})

type Op = readonly ['put' | 'delete', number, number] | readonly ['snapshot']
const ops = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom('put' as const, 'delete' as const), fc.nat(9), fc.nat(99)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('snapshot' as const)) },
  ),
  { maxLength: 40 },
)
test('like a Map whose values are replaced when the version changes', async () => {
  const twice = v1.next((n) => n * 2) // numbers before and after: differences on both sides
  await fc.assert(
    fc.asyncProperty(ops, ops, async (before, after) => {
      const objects = new MemoryObjects()
      const model = new Map<number, number>()
      let chain: readonly SegmentRef[] = []
      let n = 0
      const run = async (schema: StateSchema<number>, steps: readonly Op[]): Promise<void> => {
        const store = await openStore(objects, { ...of(schema), chainLengthMax: 3 })
        await store.restore(chain)
        const acc = store.keyed<number>(uid, 'acc')
        for (const [op, key, value] of steps) {
          if (op === 'snapshot') chain = await store.snapshot(cp(++n))
          else if (op === 'delete') {
            acc.delete(key)
            model.delete(key)
          } else {
            acc.put(key, (acc.get(key) ?? 0) + value)
            model.set(key, (model.get(key) ?? 0) + value)
          }
        }
        chain = await store.snapshot(cp(++n))
        await store.close()
      }
      await run(v1, before)
      for (const [key, value] of model) model.set(key, value * 2)
      await run(twice, after)
      const store = await openStore(objects, of(twice))
      await store.restore(chain)
      const acc = store.keyed<number>(uid, 'acc')
      for (let key = 0; key < 10; key++) expect(acc.get(key)).toBe(model.get(key))
      await store.close()
    }),
    { numRuns: 25 },
  )
})
