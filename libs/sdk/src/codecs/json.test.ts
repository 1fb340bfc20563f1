import { WeirError } from '@weir/model'
import * as fc from 'fast-check'
import * as v from 'valibot'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { json, type Codec, type Schema } from '../index.ts'

interface Order {
  readonly id: string
  readonly amountMinor: number
}
const byHand: Schema<Order> = {
  '~standard': {
    validate(value) {
      const { id, amountMinor } = value as Order
      if (typeof id !== 'string') return { issues: [{ message: 'no id', path: ['id'] }] }
      if (!Number.isSafeInteger(amountMinor)) {
        return { issues: [{ message: 'not whole', path: [{ key: 'amountMinor' }] }] }
      }
      return { value: { id, amountMinor } }
    },
  },
}
const validators: [string, Codec<Order>][] = [
  ['zod', json(z.object({ id: z.string(), amountMinor: z.int() }))],
  ['valibot', json(v.object({ id: v.string(), amountMinor: v.pipe(v.number(), v.safeInteger()) }))],
  ['by hand', json(byHand)],
]

const read = ({ decode }: Pick<Codec<never>, 'decode'>, text: string): unknown => {
  const bytes = Buffer.from(`<<${text}>>`)
  return decode(bytes, 2, bytes.length - 2)
}
const failure = (run: () => unknown): WeirError => {
  try {
    run()
  } catch (error) {
    if (error instanceof WeirError) return error
    throw error
  }
  throw new Error('it did not throw')
}

test.each(validators)('a schema by %s gives its values a type and refuses others, naming the field', (_, codec) => {
  expectTypeOf(codec).toEqualTypeOf<Codec<Order>>()
  expect(read(codec, '{"id":"a","amountMinor":7,"note":"not in the schema"}')).toEqual({ id: 'a', amountMinor: 7 })
  const error = failure(() => read(codec, '{"id":"a","amountMinor":1.5}'))
  expect(error).toMatchObject({ code: 'DECODE_FAILED', kind: 'invalid' })
  expect(error.message).toContain('amountMinor: ')
  expect(failure(() => read(codec, 'null')).code).toBe('DECODE_FAILED')
})

test.each(validators)('an amount that JSON.parse has rounded is refused by %s', (_, codec) => {
  expect(failure(() => read(codec, '{"id":"a","amountMinor":9007199254740993}')).code).toBe('DECODE_FAILED')
})

test('a validator that throws or answers later is refused like a value that does not fit', () => {
  const schema = (validate: () => never): Schema<unknown> => ({ '~standard': { validate } })
  const throws = schema(() => {
    throw new TypeError('no table')
  })
  expect(failure(() => read(json(throws), '1')).message).toContain('no table')
  const later = { '~standard': { validate: () => Promise.reject(new Error('unheard')) } } as Schema<unknown>
  expect(failure(() => read(json(later), '1')).message).toContain('asynchronously')
})

test('any JSON value comes back; any bytes are read or refused with a code', () => {
  const codec = json()
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const text = codec.encode(value)
      if (value === null) expect(text).toBeNull()
      // −0 is written 0, as by every JSON writer.
      else expect(read(codec, String(text))).toEqual(JSON.parse(JSON.stringify(value)))
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        codec.decode(Buffer.from(bytes), 0, bytes.length)
      } catch (error) {
        expect(error).toMatchObject({ code: 'DECODE_FAILED', kind: 'invalid' })
      }
    }),
  )
})
