import { expect, test } from 'vitest'
import { FLAT_MAP_BATCH_RECORDS_MAX, FlatMap } from './flat-map.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'

const flatMapOf = (f: (value: never) => unknown): FlatMap => {
  const flatMap = new FlatMap({ uid, flatMap: f as (value: unknown) => Iterable<unknown> })
  flatMap.open(contextOf())
  return flatMap
}

test('outputs carry key and event time of the record they came from, in order', () => {
  const out = new Catch()
  flatMapOf((v: number) => Array.from({ length: v }, (_, i) => `${v}.${i}`)).onBatch(
    batchOf(['a', 2, 10], ['b', 0, 20], ['c', 1, 30]),
    out,
  )
  expect(out.seen).toEqual([
    ['a', '2.0', 10],
    ['a', '2.1', 10],
    ['c', '1.0', 30],
  ])
})

test('generators are iterables too', () => {
  const out = new Catch()
  flatMapOf(function* (v: string) {
    yield* v.split(' ')
  }).onBatch(batchOf([null, 'to be', 1]), out)
  expect(out.seen).toEqual([
    [null, 'to', 1],
    [null, 'be', 1],
  ])
})

test('many outputs leave in several batches of bounded size', () => {
  const out = new Catch()
  const rows = Array.from({ length: 5 }, (_, i) => [null, i, i] as const)
  flatMapOf(() => Array.from({ length: 600 }, () => 'x')).onBatch(batchOf(...rows), out)
  expect(out.batches).toEqual([1_200, 1_200, 600])
  expect(Math.max(...out.batches)).toBeLessThan(FLAT_MAP_BATCH_RECORDS_MAX + 600)
})

test.each([
  ['a string, which is iterable by characters', (): unknown => 'ab', 'OPERATOR_FAILED'],
  ['nothing', (): unknown => undefined, 'OPERATOR_FAILED'],
  ['a promise', (): unknown => Promise.resolve([]), 'OPERATOR_RETURNED_PROMISE'],
  ['a list of promises', (): unknown => [Promise.resolve(1)], 'OPERATOR_RETURNED_PROMISE'],
])('%s is refused', (_, f, code) => {
  const error = thrown(() => flatMapOf(f).onBatch(batchOf([null, 1, 10]), new Catch()))
  expect(error).toMatchObject({ code, kind: 'invalid', facts: { operatorUid: 'op', index: 0 } })
})

test('a generator that throws half way emits none of its outputs', () => {
  const out = new Catch()
  const flatMap = flatMapOf(function* () {
    yield 1
    throw new Error('half way')
  })
  expect(thrown(() => flatMap.onBatch(batchOf([null, 1, 10]), out)).code).toBe('OPERATOR_FAILED')
  expect(out.seen).toEqual([])
})
