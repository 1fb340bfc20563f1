import { expect, test } from 'vitest'
import { KeyBy } from './key-by.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'

const keyByOf = (f: (value: never) => unknown): KeyBy => {
  const keyBy = new KeyBy({ uid, key: f as (value: unknown) => string })
  keyBy.open(contextOf())
  return keyBy
}

test('every record gets its key; an older key is replaced', () => {
  const out = new Catch()
  keyByOf((v: { user: string }) => v.user).onBatch(
    batchOf(['old', { user: 'ada' }, 1], ['old', { user: 'bob' }, 2]),
    out,
  )
  expect(out.seen).toEqual([
    ['ada', { user: 'ada' }, 1],
    ['bob', { user: 'bob' }, 2],
  ])
})

test.each([
  ['undefined', undefined],
  ['null', null],
  ['NaN', Number.NaN],
  ['an object', { id: 1 }],
  ['a boolean', true],
  ['a bigint', 1n],
  ['half a surrogate pair', 'x\ud83d'],
])('%s is no key', (_, key) => {
  const error = thrown(() => keyByOf(() => key).onBatch(batchOf([null, 1, 5]), new Catch()))
  expect(error).toMatchObject({
    code: 'KEY_INVALID',
    kind: 'invalid',
    facts: { operatorUid: 'op', index: 0, timestamp: 5 },
  })
})

test.each([
  ['the empty string', ''],
  ['zero', 0],
  ['a negative fraction', -1.5],
  ['a whole emoji', '😀'],
])('%s is a key', (_, key) => {
  const out = new Catch()
  keyByOf(() => key).onBatch(batchOf([null, 1, 5]), out)
  expect(out.seen).toEqual([[key, 1, 5]])
})

test('an async key function is refused as such', () => {
  const error = thrown(() => keyByOf(() => Promise.resolve('a')).onBatch(batchOf([null, 1, 5]), new Catch()))
  expect(error.code).toBe('OPERATOR_RETURNED_PROMISE')
})
