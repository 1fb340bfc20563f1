import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hashKey, keyGroupOf, keyGroupRange, ownerOf } from './key-group.ts'

test('the hash is a constant of the storage format', () => {
  expect(['', 'ada', 'ünï', 'user-42'].map(hashKey)).toMatchInlineSnapshot(`
    [
      3954623016,
      2013659024,
      1835075721,
      2637477368,
    ]
  `)
  expect([0, -0, 1, -1, 1.5, 2 ** 40].map(hashKey)).toMatchInlineSnapshot(`
    [
      2830509389,
      2830509389,
      1489228987,
      4140104674,
      3187905596,
      2986678379,
    ]
  `)
})

test('a number and its text are different keys', () => {
  expect(hashKey(1)).not.toBe(hashKey('1'))
})

test('every key group has one owner, and its range says so', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 64, max: 300 }), fc.string(), (p, max, key) => {
      const group = keyGroupOf(key, max)
      const owner = ownerOf(group, p, max)
      const owners = Array.from({ length: p }, (_, i) => i).filter((i) => {
        const { from, to } = keyGroupRange(i, p, max)
        return group >= from && group < to
      })
      expect(owners).toEqual([owner])
    }),
  )
})
