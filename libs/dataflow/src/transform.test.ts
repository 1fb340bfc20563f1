import { expect, expectTypeOf, test } from 'vitest'
import { thrown } from './operators/fixture.ts'
import type { WindowResult } from './operator.ts'
import type { Late } from './side-output.ts'
import { filter, flatMap, identity, keyBy, map, reduce, run, windowCount, windowReduce } from './transform.ts'
import type { Keyed, Transform } from './transform.ts'

interface Order {
  readonly user: string
  readonly amountMinor: number
  readonly status: 'PAID' | 'FAILED'
  readonly ts: number
}
const order = (over: Partial<Order> = {}): Order => ({ user: 'ada', amountMinor: 100, status: 'PAID', ts: 0, ...over })

const paid = filter((o: Order) => o.status === 'PAID')
const amounts = paid.andThen(map((o) => o.amountMinor))

test('a transform runs without an engine', () => {
  expect(run(amounts, [order({ amountMinor: 500 }), order({ status: 'FAILED' }), order()])).toEqual([500, 100])
})

test('andThen makes a new value and leaves both sides as they were', () => {
  const doubled = amounts.andThen(map((n) => n * 2))
  expect(doubled).not.toBe(amounts)
  expect([paid.steps.length, amounts.steps.length, doubled.steps.length]).toEqual([1, 2, 3])
  expect(() => (amounts.steps as unknown[]).push('x')).toThrow(TypeError)
  expect(run(amounts, [order()])).toEqual([100])
})

test('andThen is associative and identity is neutral', () => {
  const a = map((n: number) => n + 1)
  const b = flatMap((n: number) => [n, n])
  const c = filter((n: number) => n > 2)
  const inputs = [1, 2, 3]
  expect(run(a.andThen(b).andThen(c), inputs)).toEqual([3, 3, 4, 4])
  expect(run(a.andThen(b.andThen(c)), inputs)).toEqual(run(a.andThen(b).andThen(c), inputs))
  expect(run(identity<number>().andThen(a), inputs)).toEqual(run(a, inputs))
  expect(run(a.andThen(identity()), inputs)).toEqual(run(a, inputs))
})

test('two runs of one transform share no state', () => {
  const balance = keyBy((o: Order) => o.user).andThen(
    reduce('balance', 0, (sum: number, o: Order) => sum + o.amountMinor),
  )
  const inputs = [order(), order({ user: 'bob' }), order()]
  expect(run(balance, inputs)).toEqual([100, 100, 200])
  expect(run(balance, inputs)).toEqual([100, 100, 200])
})

test('windows fire by the event time of the inputs, the last ones at the end', () => {
  const counts = keyBy((o: Order) => o.user).andThen(windowCount({ type: 'tumbling', sizeMs: 10 }))
  const inputs = [order({ ts: 1 }), order({ ts: 12 }), order({ ts: 2 }), order({ ts: 13 })]
  expect(run(counts, inputs, { timestamp: (o) => o.ts })).toEqual([
    { start: 0, end: 10, value: 1 },
    { start: 10, end: 20, value: 2 },
  ])
  expect(run(counts, inputs, { timestamp: (o) => o.ts, outOfOrderMs: 5 })).toEqual([
    { start: 0, end: 10, value: 2 },
    { start: 10, end: 20, value: 2 },
  ])
})

test('what a job would fail with is thrown', () => {
  expect(
    thrown(() =>
      run(
        map((n: number) => n.toFixed(-1)),
        [1],
      ),
    ).code,
  ).toBe('OPERATOR_FAILED')
  expect(thrown(() => run(paid, [order({ ts: -1 })], { timestamp: (o) => o.ts })).code).toBe('TIMESTAMP_INVALID')
})

test('types flow from left to right, and a wrong chain does not compile', () => {
  expectTypeOf(amounts).toEqualTypeOf<Transform<Order, number>>()
  expectTypeOf(filter((v: string | null): v is string => v !== null)).toEqualTypeOf<Transform<string | null, string>>()
  expectTypeOf(flatMap((s: string) => s.split(' '))).toEqualTypeOf<Transform<string, string>>()
  expectTypeOf(keyBy((o: Order) => o.user)).toEqualTypeOf<Transform<Order, Keyed<string, Order>>>()
  expectTypeOf(
    keyBy((o: Order) => o.user).andThen(
      windowReduce({ type: 'tumbling', sizeMs: 10 }, 0, (sum: number, o: Order) => sum + o.amountMinor),
    ),
  ).toEqualTypeOf<Transform<Order, WindowResult<number>, Late<Order>>>()

  // @ts-expect-error numbers do not go into a transform of strings
  amounts.andThen(map((s: string) => s.length))
  // @ts-expect-error a fold needs a keyBy before it
  paid.andThen(reduce('balance', 0, (sum: number, o: Order) => sum + o.amountMinor))
  // @ts-expect-error operators are synchronous
  map((n: number) => Promise.resolve(n))
})
