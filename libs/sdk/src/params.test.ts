import { afterEach, expect, expectTypeOf, test, vi } from 'vitest'
import { params } from './index.ts'

afterEach(() => vi.unstubAllGlobals())
const given = (values: Record<string, string>): void => void vi.stubGlobal('__WEIR_PARAMS__', values)
const defaults = { topic: 'orders', parallelism: 4, trace: false, rate: Number } as const

test('without a bundler every parameter has its default', () => {
  const p = params(defaults)
  expect(p).toEqual({ topic: 'orders', parallelism: 4, trace: false, rate: undefined })
  expectTypeOf(p).toEqualTypeOf<{
    readonly topic: string
    readonly parallelism: number
    readonly trace: boolean
    readonly rate: number | undefined
  }>()
})

test('the type of the default decides how the text is read', () => {
  given({ topic: '7', parallelism: '8', trace: 'true', rate: '2.5' })
  expect(params(defaults)).toEqual({ topic: '7', parallelism: 8, trace: true, rate: 2.5 })
})

test('an unknown name is refused with the names there are', () => {
  given({ paralelism: '8' })
  expect(() => params(defaults)).toThrow(/no parameter "paralelism"; it has: topic, parallelism, trace, rate/)
})

test('a name that every object has is not taken for a given one', () => {
  given({})
  expect(params({ toString: 'x' })).toEqual({ toString: 'x' })
})

test.each([
  ['parallelism', ''],
  ['parallelism', '0x10'],
  ['rate', 'fast'],
  ['rate', '1e999'],
  ['trace', '1'],
])('%s=%s is refused', (name, text) => {
  given({ [name]: text })
  expect(() => params(defaults)).toThrow(expect.objectContaining({ code: 'PARAM_INVALID', kind: 'invalid' }) as Error)
})
