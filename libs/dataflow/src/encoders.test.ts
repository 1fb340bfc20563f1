import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { withCheckedEncoders, writesDigits, writingDigits } from './encoders.ts'
import type { Encode } from './graph.ts'
import type { KeyOf } from './output-record.ts'
import { thrown } from './operators/fixture.ts'

const sinkWith = (encode: unknown) =>
  withCheckedEncoders({
    ...{ kind: 'sink', uid: operatorUid('out'), descriptor: { connector: 'memory' } },
    encodeKey: encode as Encode,
    encodeValue: encode as Encode,
  })

test.each([
  [
    'throws',
    () => {
      throw new RangeError('no')
    },
  ],
  ['returns a promise', async () => 'text'],
  ['returns a promise that rejects', () => Promise.reject(new Error('later'))],
  ['forgets to return', () => undefined],
  ['returns a number', () => 5],
  ['returns an object', () => ({ a: 1 })],
])('an encoder that %s is named with its sink, for keys and values', (_, encode) => {
  for (const of of ['encodeKey', 'encodeValue'] as const) {
    const error = thrown(() => sinkWith(encode)[of]('x'))
    expect(error).toMatchObject({ code: 'ENCODE_FAILED', kind: 'invalid', facts: { operatorUid: 'out' } })
    expect(error.message).toContain(of === 'encodeKey' ? 'key' : 'value')
  }
})

test('text, bytes and null pass', () => {
  for (const encoded of ['text', new Uint8Array([1]), Buffer.from('b'), null, ''])
    expect(sinkWith(() => encoded).encodeValue('x')).toBe(encoded)
})

test('an encoder that writes digits still says so when it is checked, and no other does', () => {
  const json = writingDigits((value: unknown) => JSON.stringify(value))
  expect(writesDigits(sinkWith(json).encodeValue)).toBe(true)
  expect(writesDigits(sinkWith(() => 'text').encodeValue)).toBe(false)
})

test.each([
  [
    'throws',
    () => {
      throw new RangeError('no')
    },
  ],
  ['returns a promise', async () => 'text'],
  ['forgets to return', () => undefined],
  ['returns no number', () => Number.NaN],
  ['returns an object', () => ({ a: 1 })],
])('a keyOf that %s is named with its sink', (_, keyOf) => {
  const checked = withCheckedEncoders({ ...sinkWith(String), keyOf: keyOf as unknown as KeyOf })
  expect(thrown(() => checked.keyOf!('x'))).toMatchObject({
    ...{ code: 'ENCODE_FAILED', kind: 'invalid', facts: { operatorUid: 'out' } },
    message: expect.stringContaining('keyOf of sink "out"') as string,
  })
})

test.each(['text', '', 0, -1.5, null])('a keyOf may return %j', (key) => {
  expect(withCheckedEncoders({ ...sinkWith(String), keyOf: () => key }).keyOf!('x')).toBe(key)
})
