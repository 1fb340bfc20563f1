import { expect, test } from 'vitest'
import { fanOut, type Input } from './chain.ts'
import { Catch, batchOf } from './operators/fixture.ts'
import { DEPTH_MAX, UnportableInstance, unportableIn } from './portable.ts'
import { SAMPLE_EVERY, SAMPLE_FIRST, Sample } from './sampled.ts'

class Money {
  readonly minor = 5
  get major(): number {
    return this.minor / 100
  }
}
/** As records of Avro are. */
class Row {
  readonly minor = 5
}
const loop: Record<string, unknown> = {}
loop['self'] = loop

test.each<[string, unknown, string]>([
  ['a function', { on: { click: () => 1 } }, '$.on.click'],
  ['a symbol', [1, Symbol('s')], '$[1]'],
  ['an instance of Money', { price: new Money() }, '$.price'],
  ['an instance of Promise', { later: Promise.resolve(1) }, '$.later'],
  ['an instance of WeakMap', new WeakMap(), '$'],
  ['an instance of Number', new Number(5), '$'],
  ['an instance of Own', new (class Own extends Map {})(), '$'],
  ['an instance of Money', new Map([['a', new Money()]]), '$.get()'],
  ['an instance of Money', new Set([new Money()]), '$.values()'],
])('%s is found where it is', (what, value, path) => {
  expect(unportableIn(value)).toEqual({ path, what })
})

test('what contains itself ends', () => {
  expect(unportableIn(loop)?.what).toContain(`more than ${DEPTH_MAX} deep`)
})

test('plain data is portable', () => {
  const value = {
    ...{
      a: 1,
      b: 'x',
      c: [null, undefined, true, 5n, Number.NaN],
      d: new Date(5),
      e: new Map([[1, { f: new Set([1]) }]]),
    },
    ...{ g: new Uint8Array([1]), h: Buffer.from('b'), i: new Float64Array(2), j: /x/, k: new RangeError('r') },
    ...{ constructor: 'a field', l: Object.assign(Object.create(null) as object, { m: 1 }) },
  }
  expect(unportableIn(value)).toBeNull()
  expect([unportableIn(new Row()), unportableIn({ row: new Row() })]).toEqual([null, null])
  expect(unportableIn(Object.assign(new Row(), { price: new Money() }))?.path).toBe('$.price')
  expect((new Row() as unknown) instanceof UnportableInstance).toBe(false)
  for (const of of [value, value.c, value.d, value.e, value.h, value.k, value.l, 5, null])
    expect((of as unknown) instanceof UnportableInstance).toBe(false)
  expect((new Money() as unknown) instanceof UnportableInstance).toBe(true)
})

test('a sample has the first ones, then one in so many; in development every one', () => {
  const sample = new Sample(false)
  const seen = Array.from({ length: 10 * SAMPLE_EVERY }, () => sample.next())
  expect(seen.slice(0, SAMPLE_FIRST).every(Boolean)).toBe(true)
  expect(seen.slice(SAMPLE_FIRST).filter(Boolean).length).toBeGreaterThanOrEqual(8)
  const always = new Sample(true)
  expect(Array.from({ length: 10 * SAMPLE_EVERY }, () => always.next()).every(Boolean)).toBe(true)
})

test('who changes a value that another branch has too is stopped there, also outside of development', () => {
  const out = new Catch()
  const changing: Input = {
    emit: ({ values }) => void ((values[0] as { n: number }).n = 2),
    watermark: () => {},
    end: () => {},
  }
  const input = fanOut([changing, { emit: (b) => out.emit(b), watermark: () => {}, end: () => {} }], new Sample(false))
  expect(() => input.emit(batchOf([null, { n: 1 }, 5]))).toThrow(TypeError)
})
