/** Values read and written behind `ahead`, whatever is asked for then, beside a plain Map. */
import { operatorUid, type Key } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryObjects, cp, openStore } from '../fixture.ts'

const KEYS: readonly Key[] = [
  ...Array.from({ length: 150 }, (_, i) => `user-${i}`),
  ...['', 'é', 'a', 'ab', 'abc', 'abcd', 'x'.repeat(300), '\ud83d', 0, 1, 1.5],
]
const key = fc.constantFrom(...KEYS)
const batch = fc.record({
  keys: fc.array(key, { minLength: 1, maxLength: 150 }),
  /** Of its records: refused before their key is asked for. */
  refused: fc.array(fc.nat(149), { maxLength: 5 }),
  /** Asked for between the records. */
  besides: fc.dictionary(fc.nat(149).map(String), key, { maxKeys: 5 }),
  deleted: fc.array(fc.nat(149), { maxLength: 5 }),
  barrier: fc.boolean(),
})

test('what is read ahead is asked for, or something else is: every sum is that of a map', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 8 }), async (batches) => {
      const store = await openStore(new MemoryObjects(), { packed: () => 0, hotEntriesMax: 10_000 })
      const sums = store.keyed<number>(operatorUid('sum'), 'accumulator')
      const model = new Map<Key, number>()
      let epoch = 1
      for (const { keys, refused, besides, deleted, barrier } of batches) {
        let readTo = 0
        keys.forEach((key, i) => {
          if (i >= readTo) readTo = sums.ahead!(keys, i)
          const other = besides[i]
          if (other !== undefined) expect(sums.get(other)).toBe(model.get(other))
          if (refused.includes(i)) return
          const sum = (sums.get(key) ?? 0) + i
          expect(sum).toBe((model.get(key) ?? 0) + i)
          sums.put(key, sum)
          model.set(key, sum)
          if (!deleted.includes(i)) return
          sums.delete(key)
          model.delete(key)
        })
        if (barrier) await store.snapshot(cp(epoch++))
      }
      for (const key of KEYS) expect(sums.get(key)).toBe(model.get(key))
      await store.close()
    }),
    { numRuns: 40 },
  )
})

test('the last key of a batch may be the first of the next', async () => {
  const store = await openStore(new MemoryObjects(), { packed: () => 0, hotEntriesMax: 10_000 })
  const sums = store.keyed<number>(operatorUid('sum'), 'accumulator')
  for (const [keys, sum] of [
    [['a', 'b'], 1],
    [['b', 'c'], 2],
  ] as const) {
    sums.ahead!(keys, 0)
    for (const key of keys) sums.put(key, (sums.get(key) ?? 0) + sum)
  }
  expect(['a', 'b', 'c'].map((key) => sums.get(key))).toEqual([1, 3, 2])
  await store.close()
})
