import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { OperatorContext } from '../operator.ts'
import { Reduce } from './reduce.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'

type Fold = (accumulator: never, value: never) => unknown
const reduceOf = (initial: unknown, f: Fold, over: Partial<OperatorContext> = {}): Reduce => {
  const reduce = new Reduce({ uid, initial, reduce: f as (accumulator: unknown, value: unknown) => unknown })
  reduce.open(contextOf(over))
  return reduce
}
const sum = (a: number, v: number): number => a + v

test('every record emits the new accumulator of its key', () => {
  const out = new Catch()
  const reduce = reduceOf(0, sum)
  reduce.onBatch(batchOf(['ada', 500, 1], ['bob', 7, 2], ['ada', 250, 3]), out)
  reduce.onBatch(batchOf(['bob', 3, 4]), out)
  reduce.onWatermark(4, out)
  expect(out.seen).toEqual([['ada', 500, 1], ['bob', 7, 2], ['ada', 750, 3], ['bob', 10, 4], 'watermark 4'])
})

test('a new instance over the restored state goes on where the old one stood', () => {
  const state = new MemoryKeyedStates()
  reduceOf(0, sum, { state }).onBatch(batchOf(['ada', 500, 1]), new Catch())
  const out = new Catch()
  reduceOf(0, sum, { state }).onBatch(batchOf(['ada', 1, 2]), out)
  expect(out.seen).toEqual([['ada', 501, 2]])
})

test('null and 0 are accumulators, not missing ones', () => {
  const out = new Catch()
  reduceOf('none', (a: unknown, v: unknown) => (v === 'reset' ? null : `${String(a)},${String(v)}`)).onBatch(
    batchOf(['k', 'x', 1], ['k', 'reset', 2], ['k', 'y', 3]),
    out,
  )
  expect(out.seen.map((row) => row[1])).toEqual(['none,x', null, 'null,y'])
})

test('the initial accumulator is shared by all keys, so changing it throws', () => {
  const reduce = reduceOf({ sum: 0, seen: [] }, (a: { seen: number[] }, v: number) => (a.seen.push(v), a))
  expect(thrown(() => reduce.onBatch(batchOf(['ada', 1, 1]), new Catch()))).toMatchObject({
    code: 'OPERATOR_FAILED',
    facts: { operatorUid: 'op', index: 0 },
  })
})

test('with freeze, changing a stored accumulator throws too', () => {
  const mutate = (a: { sum: number } | null, v: number): unknown => (a === null ? { sum: v } : ((a.sum += v), a))
  const careless = reduceOf(null, mutate, { freeze: true })
  careless.onBatch(batchOf(['ada', 1, 1]), new Catch())
  expect(thrown(() => careless.onBatch(batchOf(['ada', 1, 2]), new Catch())).code).toBe('OPERATOR_FAILED')
})

test('undefined is no accumulator, a promise neither', () => {
  expect(thrown(() => reduceOf(0, () => undefined).onBatch(batchOf(['a', 1, 1]), new Catch())).message).toContain(
    'returned undefined',
  )
  expect(thrown(() => reduceOf(0, () => Promise.resolve(1)).onBatch(batchOf(['a', 1, 1]), new Catch())).code).toBe(
    'OPERATOR_RETURNED_PROMISE',
  )
})

test('the outputs do not depend on how records are cut into batches', () => {
  const row = fc.tuple(fc.constantFrom('a', 'b', 1, 2), fc.integer(), fc.nat())
  fc.assert(
    fc.property(fc.array(fc.array(row, { minLength: 1 })), (batches) => {
      const cut = new Catch()
      const whole = reduceOf(0, sum)
      for (const rows of batches) whole.onBatch(batchOf(...rows), cut)
      const sums = new Map<unknown, number>()
      const expected = batches.flat().map(([key, value, timestamp]) => {
        sums.set(key, (sums.get(key) ?? 0) + value)
        return [key, sums.get(key), timestamp]
      })
      expect(cut.seen).toEqual(expected)
    }),
  )
})
