import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIBRARY } from './cel-library.ts'
import { ExpressionProblem, compile, type Scope } from './expression.ts'
import { patternProblem } from './regex.ts'
import { ANY, BOOL, DOUBLE, INT, STRING, listOf, nullable, recordOf, type ValueType } from './value-type.ts'

const Line = recordOf('Line', { sku: STRING, amount: INT })
const Order = recordOf('Order', {
  ...{ id: STRING, amount: INT, price: DOUBLE, paid: BOOL, note: nullable(STRING), parts: nullable(INT) },
  lines: listOf(Line),
})
const order = {
  ...{ id: 'a-1', amount: 700, price: 1.5, paid: true, parts: 2 },
  lines: [
    { sku: 'x', amount: 3 },
    { sku: 'y', amount: 4 },
  ],
}
const scope: Scope = { value: Order, any: ANY }
const of = (text: string, value: unknown = order, any: unknown = { n: 5, s: 'text', list: [1, 2] }): unknown =>
  compile(text, scope, 'op').evaluate({ value, any })
const refused = (text: string): string => {
  try {
    compile(text, scope, 'op')
  } catch (thrown) {
    return thrown instanceof ExpressionProblem ? thrown.message : String(thrown)
  }
  return 'nothing is wrong'
}

test.each<[string, unknown, ValueType['kind']]>([
  ['value.amount + 1', 701, 'int'],
  ['value.amount / 3', 233, 'int'],
  ['value.amount * 1.5', 1_050, 'double'],
  ['value.price + value.amount', 701.5, 'double'],
  ['any.n * 2 + 1', 11, 'any'],
  ['value.price % 1.0', 0.5, 'double'],
  ['value.amount % 3 == 1', true, 'bool'],
  ['value.price == 1.5 && value.amount == 700', true, 'bool'],
  ['any.n == 5', true, 'bool'],
  ['value.note == null ? "none" : value.note', 'none', 'any'],
  ['value.parts == null ? 0 : value.parts + 1', 3, 'any'],
  ['value.lines.map(l, l.amount)', [3, 4], 'list'],
  ['value.lines.filter(l, l.amount > 3)', [{ sku: 'y', amount: 4 }], 'list'],
  ['value.lines.exists(l, l.sku == "x") && size(value.lines) == 2', true, 'bool'],
  ['value.lines[1].sku', 'y', 'string'],
  ['{"id": value.id, "first": value.lines[0]}', { id: 'a-1', first: { sku: 'x', amount: 3 } }, 'any'],
  ['value', order, 'record'],
  ['int("42") + int(1.9) + abs(-3) + floor(-0.5)', 45, 'int'],
  ['formatTime(parseTime("2026-01-01T01:00:00+01:00"))', '2026-01-01T00:00:00.000Z', 'string'],
  ['value.id.matches("^[a-z]+-[0-9]+$")', true, 'bool'],
  ['value.id.split("-").join("+")', 'a+1', 'string'],
  ['any.missing.deep == 1 || true', true, 'bool'],
])('%s', (text, result, kind) => {
  expect(of(text)).toEqual(result)
  expect(compile(text, scope, 'op').type.kind).toBe(kind)
})

test('a result is a value of the job: it shares nothing but what it was given, which stays as it was', () => {
  const before = structuredClone(order)
  expect(of('value.lines[0]')).toBe(order.lines[0])
  expect(Object.getPrototypeOf(of('{"a": value.lines.map(l, l)}'))).toBe(Object.prototype)
  expect(order).toEqual(before)
})

describe('what a record makes of it', () => {
  test.each([
    ['value.amount', { ...order, amount: 1.5 }, 'amount is 1.5, not int'],
    ['value.lines[0].sku', { ...order, lines: 'none' }, 'lines is "none", not list<Line>'],
    ['value.id', { ...order, id: undefined }, 'No such key: id'],
    ['value.amount / 0', order, 'division by zero'],
    ['value.amount * 9007199254740991', order, '2^53'],
    ['9223372036854775807 + value.amount', order, 'overflow'],
    ['int(value.id)', order, 'int(): "a-1" is no whole number'],
    ['int("")', order, 'int(): "" is no whole number'],
    ['parseTime("2026-01-01T00:00:00")', order, 'no time such as'],
    ['value.lines[7]', order, 'out of bounds'],
    ['any.s + 1', order, 'no such overload: string + int'],
  ])('%s is refused', (text, value, why) => {
    expect(() => of(text, value)).toThrow(
      expect.objectContaining({
        code: 'EXPRESSION_FAILED',
        kind: 'invalid',
        message: expect.stringContaining(why) as string,
      }) as Error,
    )
  })
})

describe('an expression answers the same on every machine, at any time', () => {
  test.each([
    'now()',
    'timestamp("2026-01-01T00:00:00.000")',
    'timestamp(0).getHours("Europe/Berlin")',
    'timestamp(0).getDayOfYear()',
    'any.getFullYear()',
    'duration("1h")',
    'type(value.id)',
    'google.protobuf.Timestamp',
    'value.amount == int',
    'bytes("x")',
    'b"x"',
    '5u',
    'optional.of(1)',
    'any.json()',
    'any.constructor("return 1")()',
    'any.toString()',
    'eval("1")',
    'value.__proto__',
    'process.exit()',
    'globalThis',
    'value.id.matches(any.s)',
  ])('%s is refused', (text) => expect(refused(text)).not.toBe('nothing is wrong'))

  test('whatever CEL brings along, only what is in the library can be called', () => {
    const known = new Set([...LIBRARY.functions, ...LIBRARY.methods])
    for (const name of [
      'now',
      'random',
      'timestamp',
      'duration',
      'getHours',
      'getDayOfYear',
      'json',
      'type',
      'bytes',
      'uint',
    ])
      expect(known).not.toContain(name)
  })

  test('properties that every object has are none of a record', () => {
    expect(() => of('any.constructor')).toThrow(/No such key/)
    expect(() => of('any["__proto__"]')).toThrow(/No such key/)
    expect(() => of('any.hasOwnProperty')).toThrow(/No such key/)
  })
})

test.each([
  ['^[a-z]+-[0-9]+$', null],
  ['(foo|bar)-.*', null],
  ['(a+)+$', 'repeats a group'],
  ['(a|a)*b', 'repeats a group'],
  ['((a{2,}))*', 'repeats a group'],
  ['([a-z]+\\)]*x){3}', 'repeats a group'],
  ['a*b*c*d*e*', 'more than 3'],
  ['(?=a)b', 'looks ahead'],
  ['(a)\\1', 'refers back'],
  ['(', 'Invalid regular expression'],
  ['a'.repeat(201), '201 characters'],
])('pattern %s: %s', (pattern, why) => {
  if (why === null) expect(patternProblem(pattern)).toBeNull()
  else expect(patternProblem(pattern)).toContain(why)
})

test('sums of whole numbers are those of JavaScript, where that is exact', () => {
  const sum = compile('a * b + c - a', { a: INT, b: INT, c: INT }, 'op')
  const small = fc.integer({ min: -1_000_000, max: 1_000_000 })
  fc.assert(
    fc.property(small, small, small, (a, b, c) => {
      expect(sum.evaluate({ a, b, c })).toBe(a * b + c - a + 0) // never −0
    }),
  )
})

test('no text makes the compiler throw anything but a problem', () => {
  const token = fc.constantFrom(
    ...[
      'value',
      '.',
      'id',
      'amount',
      '(',
      ')',
      '[',
      ']',
      '"x"',
      '1',
      '+',
      '==',
      '&&',
      '?',
      ':',
      '{',
      '}',
      ',',
      'map',
      'has',
      '!',
      '-',
      'any',
    ],
  )
  fc.assert(
    fc.property(fc.array(token, { maxLength: 12 }), (tokens) => {
      for (const text of [tokens.join(''), tokens.join(' ')])
        try {
          compile(text, scope, 'op')
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ExpressionProblem)
          const { start, end } = (thrown as ExpressionProblem).range
          expect(start).toBeGreaterThanOrEqual(0)
          expect(end).toBeLessThanOrEqual(text.length + 1)
        }
    }),
    { numRuns: 500 },
  )
})
