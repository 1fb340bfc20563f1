import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalJson } from './canonical.ts'
import { thrown } from './operators/fixture.ts'

test('properties are sorted at every depth, undefined ones left out', () => {
  expect(canonicalJson({ b: 1, a: [{ z: null, y: 'ü' }], c: undefined })).toBe('{"a":[{"y":"ü","z":null}],"b":1}')
})

test('one text for one value, whatever the order of its properties; parsing gives the value back', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      // What JSON itself makes of the value: −0 is 0 and __proto__ an own property.
      const plain = JSON.parse(JSON.stringify(value)) as Record<string, unknown>
      const reversed = Object.fromEntries(Object.entries(plain).reverse())
      expect(canonicalJson(plain)).toBe(canonicalJson(reversed))
      expect(JSON.parse(canonicalJson(plain))).toEqual(plain)
    }),
  )
})

test.each([
  ['a function', { a: [() => 1] }, '$.a[0]'],
  ['NaN', { a: Number.NaN }, '$.a'],
  ['a Map', { a: { b: new Map() } }, '$.a.b'],
  ['a bigint', 1n, '$'],
])('%s is refused with its path', (_, value, path) => {
  expect(thrown(() => canonicalJson(value))).toMatchObject({ code: 'NOT_CANONICAL', kind: 'invalid', facts: { path } })
})
