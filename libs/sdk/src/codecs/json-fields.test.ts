import { WeirError } from '@weir/model'
import * as fc from 'fast-check'
import { expect, expectTypeOf, test } from 'vitest'
import { json, jsonFields, type Codec } from '../index.ts'

const FIELDS = { user: 'string', amountMinor: 'number', isPaid: 'boolean', note: 'string?', since: 'number?' } as const

/** What lies around a record must make no difference. */
const around = fc.constantFrom('', ' ', '"', '0', '}', '\\', ',"user":')

const outcome = (read: () => unknown): unknown => {
  try {
    return read()
  } catch (error) {
    if (error instanceof WeirError) return [error.code, error.kind, error.message]
    throw error
  }
}
const between = (around: string, bytes: Uint8Array, { decode }: Pick<Codec<never>, 'decode'>): unknown => {
  const buffer = Buffer.concat([Buffer.from(around), bytes, Buffer.from(around)])
  return outcome(() => decode(buffer, around.length, around.length + bytes.length))
}
const decoded = (text: string, codec: Pick<Codec<never>, 'decode'> = jsonFields(FIELDS)): unknown =>
  between('', Buffer.from(text), codec)

const refused = (why: string): readonly string[] => ['DECODE_FAILED', 'invalid', `the record cannot be decoded: ${why}`]

/** By JSON.parse alone. */
function expected(bytes: Uint8Array): unknown {
  const whole = between('', bytes, json())
  if (Array.isArray(whole) && whole[0] === 'DECODE_FAILED' && typeof whole[2] === 'string') return whole
  if (typeof whole !== 'object' || whole === null || Array.isArray(whole)) return 'no object'
  const fields: Record<string, unknown> = {}
  for (const [name, of] of Object.entries(FIELDS)) {
    const value: unknown = Object.hasOwn(whole, name) ? (whole as Record<string, unknown>)[name] : undefined
    if (of.endsWith('?') && (value ?? null) === null) fields[name] = null
    else if (typeof value === of.replace('?', '')) fields[name] = value
    else return 'no such field'
  }
  return fields
}

/** Twice, behind another record: one that scanning was in vain for is followed by one that is not scanned. */
function isAsExpected(bytes: Uint8Array, before: string, lies: string): void {
  const should = expected(bytes)
  const codec = jsonFields(FIELDS)
  decoded(before, codec)
  for (let i = 0; i < 2; i++) {
    const is = between(lies, bytes, codec)
    if (should === 'no object' || should === 'no such field') expect(is).toMatchObject(['DECODE_FAILED', 'invalid', {}])
    else expect(is).toStrictEqual(should)
  }
}

const space = fc.stringMatching(/^[ \n\r\t]{0,2}$/)
const numberText = fc.oneof(
  fc.stringMatching(/^-?(0|[1-9]\d{0,20})(\.\d{1,20})?([eE][+-]?\d{1,3})?$/),
  fc.constantFrom(
    '-0',
    '0.1',
    '1E400',
    '9007199254740993',
    '123456789012345',
    '1234567890123456',
    '01',
    '+1',
    '.5',
    '1.',
    '1e',
    '-',
  ),
)
const stringText = fc.oneof(
  fc.string().map((text) => JSON.stringify(text)),
  fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
  fc.stringMatching(/^"([a-z]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,20}"$/),
  fc.constantFrom('"\\x"', '"\\u12g4"', '"\t"', '"'),
)
const valueText = fc.oneof(
  numberText,
  stringText,
  fc.constantFrom('true', 'false', 'null', 'tru', '{}', '[]', '[1,', '{"user":"inner"}'),
  fc.jsonValue({ noUnicodeString: false }).map((value) => JSON.stringify(value)),
  fc.integer({ min: 30, max: 35 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
)
const nameText = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...Object.keys(FIELDS)).map((name) => JSON.stringify(name)) },
  fc.constantFrom('"us\\u0065r"', '"__proto__"', '"constructor"', '""', '"usér"'),
  stringText,
)
const objectText = fc
  .array(fc.tuple(space, nameText, space, space, valueText, space), { maxLength: 8 })
  .map((members) => `{${members.map(([a, name, b, c, value, d]) => `${a}${name}${b}:${c}${value}${d}`).join(',')}}`)
/** Mostly with all fields, of the right type. */
const orderText = fc
  .tuple(stringText, numberText, fc.boolean(), objectText, space)
  .map(([user, amount, isPaid, more, gap]) => {
    const [own, rest] = [`${gap}"user":${user},"amountMinor":${amount},${gap}"isPaid":${isPaid}`, more.slice(1)]
    return `{${own}${rest.trim() === '}' ? '' : ','}${rest}`
  })
const text = fc.tuple(space, fc.oneof(objectText, orderText, valueText), space).map((parts) => parts.join(''))

test('any text is read as JSON.parse reads it, or refused as json() refuses it, whatever was read before', () => {
  fc.assert(
    fc.property(text, orderText, around, (of, before, lies) => isAsExpected(Buffer.from(of), before, lies)),
    { numRuns: 1_000 },
  )
})

test('so is text with a byte too many, too few or another one', () => {
  const change = fc.record({ at: fc.nat(200), drop: fc.nat(2), put: fc.uint8Array({ maxLength: 2 }) })
  fc.assert(
    fc.property(fc.oneof(orderText, text), orderText, around, change, (of, before, lies, { at, drop, put }) => {
      const bytes = Buffer.from(of)
      const from = Math.min(at, bytes.length)
      isAsExpected(Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + drop)]), before, lies)
    }),
    { numRuns: 1_000 },
  )
})

test('a record that is cut off is refused, although what lies behind it would complete it', () => {
  const whole = Buffer.from('{"user":"a","amountMinor":12,"isPaid":true,"more":{"x":[1,"y"]}} ')
  for (let to = 0; to < whole.length - 2; to++) {
    const of = jsonFields(FIELDS).decode
    expect(outcome(() => of(whole, 0, to))).toEqual(outcome(() => json().decode(whole, 0, to)))
  }
})

test('numbers of any length are rounded as JSON.parse rounds them', () => {
  const codec = jsonFields({ a: 'number' })
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }), (a) => {
      expect(decoded(`{"a":${a}}`, codec)).toStrictEqual(JSON.parse(`{"a":${a}}`))
    }),
  )
})

test('records that differ in the order of their fields are read in turn', () => {
  const codec = jsonFields({ a: 'number', b: 'string' })
  expectTypeOf(codec).toEqualTypeOf<Codec<{ readonly a: number; readonly b: string }>>()
  for (const order of ['{"a":1,"b":"x"}', '{"b":"x","a":1}', '{ "a":1,"c":[{}],"b":"x"}', '{"a":2,"a":1,"b":"x"}'])
    expect(decoded(order, codec)).toStrictEqual({ a: 1, b: 'x' })
})

test('of a repeated field the last counts, also where the first has another type', () => {
  expect(decoded('{"a":"no","a":1}', jsonFields({ a: 'number' }))).toStrictEqual({ a: 1 })
  expect(decoded('{"a":1,"a":"no"}', jsonFields({ a: 'number' }))).toEqual(refused('a: it is a string, not a number'))
})

test('a field with ? is null where it is absent or null', () => {
  const codec = jsonFields({ at: 'number?' })
  expectTypeOf(codec).toEqualTypeOf<Codec<{ readonly at: number | null }>>()
  expect([decoded('{}', codec), decoded('{"at":null}', codec), decoded('{"at":7}', codec)]).toStrictEqual([
    { at: null },
    { at: null },
    { at: 7 },
  ])
})

test('what is no object, and a field that is absent or of another type, is refused by name', () => {
  const codec = jsonFields({ id: 'string' })
  expect(decoded('[]', codec)).toEqual(refused('it is an array, not an object'))
  expect(decoded('{"ID":"a"}', codec)).toEqual(refused('id: it is absent, not a string'))
  expect(decoded('{"id":["a"]}', codec)).toEqual(refused('id: it is an array, not a string'))
  expect(decoded('{"id":"a"', codec)).toEqual(decoded('{"id":"a"', json()))
})

test('text beyond ASCII is read, and bytes that are not UTF-8 are refused', () => {
  const codec = jsonFields({ id: 'string' })
  for (let again = 0; again < 5; again++) expect(decoded('{"id":"Zoë","x":"…"}', codec)).toStrictEqual({ id: 'Zoë' })
  const broken = Buffer.from('{"id":"a","note":"?"}')
  broken[broken.indexOf('?')] = 0xff
  expect(between('', broken, codec)).toEqual(refused('not UTF-8'))
})

test('it has 1 to 30 fields', () => {
  const many = Object.fromEntries(Array.from({ length: 31 }, (_, i) => [`f${i}`, 'string' as const]))
  expect(outcome(() => jsonFields(many))).toMatchObject(['OPTION_INVALID', 'invalid', {}])
  expect(outcome(() => jsonFields({}))).toMatchObject(['OPTION_INVALID', 'invalid', {}])
})
