import { expect, test } from 'vitest'
import { jsonText } from './json-text.ts'

class Hidden {
  readonly #minor = 5
  get minor(): number {
    return this.#minor
  }
}
class Money {
  readonly minor = 5
  get major(): number {
    return this.minor / 100
  }
}

test.each([
  [{ average: Number.NaN }, '$.average', 'NaN'],
  [[1, -Infinity], '$[1]', '-Infinity'],
  [Number.NaN, '$', 'NaN'],
  [{ of: { byDay: new Map([['a', 1]]) } }, '$.of.byDay', 'an instance of Map'],
  [new Set([1]), '$', 'an instance of Set'],
  [{ later: Promise.resolve(1) }, '$.later', 'a promise'],
  [[{ of: new Hidden() }], '$[0].of', 'an instance of Hidden'],
  [[() => 1], '$[0]', 'a function'],
  [{ at: /a/ }, '$.at', 'an instance of RegExp'],
] as const)('%o would be written as something else: its place is named', (value, path, what) => {
  expect(() => jsonText(value)).toThrow(
    expect.objectContaining({ code: 'ENCODE_FAILED', kind: 'invalid', facts: expect.objectContaining({ path, what }) }),
  )
})

test.each([
  [{ a: null, b: {}, c: [], d: Object.create(null) as unknown }, '{"a":null,"b":{},"c":[],"d":{}}'],
  [{ at: new Date(0), of: null }, '{"at":"1970-01-01T00:00:00.000Z","of":null}'],
  [new Money(), '{"minor":5}'],
  [[undefined], '[null]'],
  [{ gone: undefined, text: 'null and {}' }, '{"text":"null and {}"}'],
  [null, 'null'],
])('%o is written as ever', (value, text) => {
  expect(jsonText(value)).toBe(text)
})

test('what has no text has none', () => {
  expect([undefined, () => 1, Symbol('s')].map((value) => jsonText(value))).toEqual([undefined, undefined, undefined])
})

test('what JSON.stringify throws says what to do', () => {
  expect(() => jsonText({ n: 1n })).toThrow('Map it before the sink')
})
