/** The hashes were made with Python's hashlib, of the texts beside them: any language can make them. */
import { fingerprintText } from '@weir/dataflow'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fingerprintOf } from './fingerprint.ts'

const V = '["weir.fingerprint.1",'

test.each([
  [
    'an order, its fields in another order',
    'paid',
    { order: 'o-1', currency: 'EUR', amount: 1250 },
    `${V}"paid",{"amount":1250,"currency":"EUR","order":"o-1"}]`,
    '75ab1ce66d6fe53d81309123776863e203dbcf0ecae2a6123a045fed5207838e',
  ],
  ['negative zero is zero', 't', -0, `${V}"t",0]`, '9db0bf746ee950a7fed6ebfee8be947dc6323e44dad4d3e7712f06b08eeb82f1'],
  ['1e21', 't', 1e21, `${V}"t",1e+21]`, 'df030628eb2614f156bd3bfdf7c8c087ec8bfab80daee7c4341762af421440b2'],
  [
    'an integer beyond 2^53, as a bigint',
    't',
    9_007_199_254_740_993n,
    `${V}"t",9007199254740993]`,
    '8931f3577812b1670f6e0775bc80b76edad8f87d99d3865e2259ea11137d4d94',
  ],
  [
    'nested, and what is undefined is not there',
    't',
    { z: { gone: undefined }, a: [1, { c: true, b: null }] },
    `${V}"t",{"a":[1,{"b":null,"c":true}],"z":{}}]`,
    '3144f421edc33e4e996c4ac1d40a7f1c660eb8d849450285f1939a3ada1c7f05',
  ],
  [
    'a date is its ISO string',
    't',
    new Date(1_750_000_000_000),
    `${V}"t","2025-06-15T15:06:40.000Z"]`,
    '5809a3cd7902dbe5b4fa36c56b6e19a4157c4f00b70d0bffc7246eaf709592c0',
  ],
  [
    'é in one code point',
    't',
    '\u00e9',
    `${V}"t","\u00e9"]`,
    '23ef55ef2339ebba6dc56b0292a02e1845385d0e4120c0c0a551e09bffe15f3a',
  ],
  [
    'é in two is another string',
    't',
    'e\u0301',
    `${V}"t","e\u0301"]`,
    'd25fa89020b7a3171013e5f18093dc4d61035887cdbed4ac5d73c5815e61bfe4',
  ],
  [
    'control characters and others',
    't',
    '\u0000\n"\\\u20ac\u{1F600}',
    `${V}"t","\\u0000\\n\\"\\\\\u20ac\u{1F600}"]`,
    '1c058b29dcebe31b7f1907ea33946e1316b1cd9da497a81d214752abf62e5801',
  ],
  [
    'RFC 8785, 3.2.3: names by UTF-16 code units',
    't',
    {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\u{1F600}': 'Emoji: Grinning Face',
      '\u0080': 'Control\u007f',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    },
    `${V}"t",{"\\r":"Carriage Return","1":"One","\u0080":"Control\u007f","\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign","\u{1F600}":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}]`,
    'e430e54c16b68130d8b686331505dee54c8a595db2f49a690e57b6dcff3b6638',
  ],
  [
    'RFC 8785, 3.2.2: numbers',
    't',
    // eslint-disable-next-line no-loss-of-precision -- as the RFC has it
    [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    `${V}"t",[333333333.3333333,1e+30,4.5,0.002,1e-27]]`,
    '69e13826faadacb03d196be984fad8a2a9fe796eabb51fbf137e73ad1c27ff7c',
  ],
] as const)('%s', (_, type, fields, text, hex) => {
  expect(fingerprintText(type, fields, null)).toBe(text)
  expect(fingerprintOf(type, fields)).toBe(hex)
})

test('the whole second is part of it where it is asked for, rounded down, also before 1970', () => {
  const order = { order: 'o-1', amount: 1250, currency: 'EUR' }
  const hex = '292b34d86821a8b922c0be91dcb100ae230d1ac6e046256a8b285330c2dcedbf'
  expect(fingerprintOf('paid', order, 1_750_000_000_000)).toBe(hex)
  expect(fingerprintOf('paid', order, 1_750_000_000_999)).toBe(hex)
  expect(fingerprintOf('paid', order, 1_750_000_001_000)).not.toBe(hex)
  expect(fingerprintOf('t', 1, -1)).toBe('6b94f3e30a13d2048cd1906913da3e407a8d19f828852866651a8b45430f3a59')
})

test('a number and a bigint of the same amount are the same', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (n) => {
      expect(fingerprintOf('t', { n: BigInt(n) })).toBe(fingerprintOf('t', { n }))
    }),
  )
})

test('of plain JSON the order of members is nothing, and any other difference is one', () => {
  const shuffled = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(shuffled)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .toReversed()
              .map(([k, v]) => [k, shuffled(v)]),
          )
        : value
  const json = fc.jsonValue({ stringUnit: 'grapheme' })
  fc.assert(
    fc.property(json, json, (a, b) => {
      expect(fingerprintText('t', shuffled(a), null)).toBe(fingerprintText('t', a, null))
      // −0 reads back as 0, in JSON and here.
      const same = fingerprintText('t', a, null) === fingerprintText('t', b, null)
      expect(same).toBe(isEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))))
      expect(JSON.parse(fingerprintText('t', a, null))).toEqual([
        'weir.fingerprint.1',
        't',
        JSON.parse(JSON.stringify(a)),
      ])
    }),
  )
})

test('a few numbers and plain texts have the text that anything else would have', () => {
  const name = fc.stringMatching(/^[ab12_]{0,2}$/)
  const plain = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constant(-0), fc.stringMatching(/^[\w :."\\é-]{0,4}$/))
  fc.assert(
    fc.property(fc.dictionary(name, plain, { maxKeys: 4 }), fc.stringMatching(/^[ab"]{0,3}$/), (fields, type) => {
      const sorted = Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))
      const members = sorted.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
      expect(fingerprintText(type, fields, null)).toBe(`${V}${JSON.stringify(type)},{${members.join(',')}}]`)
    }),
  )
})

test.each([
  ['NaN', { amount: Number.NaN }, 'fields.amount'],
  ['Infinity', { amount: Infinity }, 'fields.amount'],
  ['undefined', [1, undefined], 'fields[1]'],
  ['undefined', undefined, 'fields'],
  // eslint-disable-next-line no-sparse-arrays -- that is what is refused
  ['undefined', [1, , 2], 'fields[1]'],
  ['a function', { f: () => 1 }, 'fields.f'],
  ['a symbol', Symbol('s'), 'fields'],
  ['an instance of a class', { m: new Map() }, 'fields.m'],
  ['an instance of a class', new Uint8Array(3), 'fields'],
  ['an invalid date', { at: new Date(Number.NaN) }, 'fields.at'],
  ['a string with half a surrogate pair', { a: ['\ud800'] }, 'fields.a[0]'],
])('%s is refused, and where it is', (got, fields, path) => {
  expect(() => fingerprintText('t', fields, null)).toThrow(
    expect.objectContaining({
      code: 'FINGERPRINT_INVALID',
      facts: expect.objectContaining({ path, got }) as object,
    }) as Error,
  )
})

test('a cycle ends', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  expect(() => fingerprintText('t', cycle, null)).toThrow(
    expect.objectContaining({ code: 'FINGERPRINT_INVALID' }) as Error,
  )
})

function isEqual(a: unknown, b: unknown): boolean {
  try {
    expect(a).toEqual(b)
    return true
  } catch {
    return false
  }
}
