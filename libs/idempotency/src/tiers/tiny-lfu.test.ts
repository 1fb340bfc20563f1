import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrequencySketch, hashOf } from './frequency-sketch.ts'
import { TinyLfu } from './tiny-lfu.ts'

const key = fc.integer({ min: 0, max: 40 }).map((n) => `k${n}`)
const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constant('set' as const), key, value: fc.nat() }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('get' as const), key }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('clear' as const), key }) },
)

test('it has what was last set or nothing, and never more than it may', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 20 }), fc.array(operation, { maxLength: 300 }), (capacity, operations) => {
      const cache = new TinyLfu<number>(capacity)
      const last = new Map<string, number>()
      for (const each of operations) {
        if (each.type === 'set') {
          cache.set(each.key, each.value)
          last.set(each.key, each.value)
        } else if (each.type === 'delete') {
          cache.delete(each.key)
          last.delete(each.key)
        } else if (each.type === 'clear') {
          cache.clear()
          last.clear()
        } else expect([undefined, last.get(each.key)]).toContain(cache.get(each.key))
        expect(cache.size).toBeLessThanOrEqual(capacity)
      }
      let found = 0
      for (const [of, value] of last)
        if (cache.get(of) !== undefined) {
          expect(cache.get(of)).toBe(value)
          found++
        }
      expect(cache.size).toBe(found)
    }),
  )
})

test('as long as there is room nothing goes', () => {
  fc.assert(
    fc.property(fc.uniqueArray(key, { minLength: 2, maxLength: 40 }), (keys) => {
      const cache = new TinyLfu<string>(keys.length)
      for (const each of keys) cache.set(each, each)
      expect(keys.map((each) => cache.get(each))).toEqual(keys)
    }),
  )
})

test('what comes again takes the place of what does not', () => {
  const cache = new TinyLfu<number>(100)
  for (let i = 0; i < 100; i++) cache.set(`once${i}`, i)
  for (let round = 0; round < 4; round++)
    for (let i = 0; i < 50; i++) if (cache.get(`again${i}`) === undefined) cache.set(`again${i}`, i)
  expect(
    Array.from({ length: 50 }, (_, i) => cache.get(`again${i}`)).filter((of) => of !== undefined).length,
  ).toBeGreaterThan(45)
})

test('what is asked for no more is forgotten in time', () => {
  const cache = new TinyLfu<number>(100)
  for (let round = 0; round < 20; round++) for (let i = 0; i < 90; i++) cache.set(`old${i}`, i)
  for (let round = 0; round < 200; round++)
    for (let i = 0; i < 90; i++) if (cache.get(`new${i}`) === undefined) cache.set(`new${i}`, i)
  expect(
    Array.from({ length: 90 }, (_, i) => cache.get(`new${i}`)).filter((of) => of !== undefined).length,
  ).toBeGreaterThan(80)
})

test('a frequency is never told too small, until all are halved', () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 300 }), (asked) => {
      const sketch = new FrequencySketch(100)
      const counts = new Map<string, number>()
      for (const each of asked) {
        sketch.count(hashOf(each))
        counts.set(each, (counts.get(each) ?? 0) + 1)
      }
      for (const [of, count] of counts) expect(sketch.estimate(hashOf(of))).toBeGreaterThanOrEqual(Math.min(15, count))
    }),
  )
})

test('frequencies of keys that differ in a digit are told apart', () => {
  const sketch = new FrequencySketch(1_000)
  for (let i = 0; i < 1_000; i++) for (let n = 0; n < i % 10; n++) sketch.count(hashOf(`order-${i}`))
  const wrong = Array.from({ length: 1_000 }, (_, i) => i).filter(
    (i) => sketch.estimate(hashOf(`order-${i}`)) !== i % 10,
  )
  expect(wrong.length).toBeLessThan(20)
})
