import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Filter } from './filter.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'

const filterOf = (f: (value: never) => unknown): Filter => {
  const filter = new Filter({ uid, test: f as (value: unknown) => boolean })
  filter.open(contextOf())
  return filter
}

test('values, keys and event times of the kept records stay together', () => {
  const out = new Catch()
  filterOf((v: number) => v % 2 === 1).onBatch(batchOf(['a', 1, 10], ['b', 2, 20], ['c', 3, 30], ['d', 4, 40]), out)
  expect(out.seen).toEqual([
    ['a', 1, 10],
    ['c', 3, 30],
  ])
})

test('a batch of which nothing is kept emits nothing, and its watermark still passes', () => {
  const out = new Catch()
  const filter = filterOf(() => false)
  filter.onBatch(batchOf([null, 1, 10]), out)
  filter.onWatermark(10, out)
  expect(out.seen).toEqual(['watermark 10'])
})

test('truthy and falsy answers count as JavaScript counts them', () => {
  const out = new Catch()
  filterOf((v: string) => v).onBatch(batchOf([null, 'x', 1], [null, '', 2], [null, 'y', 3]), out)
  expect(out.seen).toEqual([
    [null, 'x', 1],
    [null, 'y', 3],
  ])
})

test('a predicate that throws is named with the record, and nothing of the batch is emitted', () => {
  const out = new Catch()
  const filter = filterOf((v: { a: { b: boolean } }) => v.a.b)
  const error = thrown(() => filter.onBatch(batchOf([null, { a: { b: true } }, 10], [null, {}, 20]), out))
  expect(error.toJSON()).toMatchObject({
    code: 'OPERATOR_FAILED',
    kind: 'invalid',
    facts: { operatorUid: 'op', index: 1, timestamp: 20 },
  })
  expect(error.cause).toBeInstanceOf(TypeError)
  expect(out.seen).toEqual([])
})

test('an async predicate is refused: its promise would always be true', () => {
  const error = thrown(() => filterOf(async () => false).onBatch(batchOf([null, 1, 10]), new Catch()))
  expect(error).toMatchObject({ code: 'OPERATOR_RETURNED_PROMISE', kind: 'invalid' })
})

test('agrees with Array.filter on any batch', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.integer(), fc.nat())), (rows) => {
      const keep = (v: number): boolean => (v & 3) !== 0
      const out = new Catch()
      filterOf(keep).onBatch(batchOf(...rows), out)
      expect(out.seen).toEqual(rows.filter(([, v]) => keep(v)))
    }),
  )
})
