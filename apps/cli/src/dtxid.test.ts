import { expect, test } from 'vitest'
import { dtxid } from './dtxid.ts'

function run(verb: string | undefined, ids: readonly string[], form?: string): [value: unknown, text: string] {
  let printed: [unknown, string] = [null, '']
  dtxid({ verb, ids, form }, (value, text) => (printed = [value, text]))
  return printed
}
const of63 = String((60_265_728_000n << 22n) | (3n << 17n) | (7n << 7n) | 5n)

test('parse gives the fields, inspect says when and where', () => {
  const fields = { form: '63', time: 60_265_728_000, datacenter: 3, worker: 7, sequence: 5 }
  expect(run('parse', [of63, '00000000008803004'])).toEqual([
    [
      { id: of63, ...fields },
      { id: '00000000008803004', form: '68', time: 1, datacenter: 2, worker: 3, sequence: 4 },
    ],
    `${of63}\t60265728000\t3\t7\t5\n00000000008803004\t1\t2\t3\t4`,
  ])
  expect(run('inspect', [of63])).toEqual([
    [{ id: of63, ...fields, at: '2026-11-29T12:28:48.000Z' }],
    `${of63}: 63 bits, made 2026-11-29T12:28:48.000Z (logical time), datacenter 3, worker 7, sequence 5`,
  ])
})

test('17 decimal digits are of 68 bits unless the form says otherwise', () => {
  expect(run('parse', ['12345678901234567'])[0]).toMatchObject([{ form: '68' }])
  expect(run('parse', ['12345678901234567'], '63')[0]).toMatchObject([{ form: '63' }])
})

test.each([
  [undefined, ['1'], undefined, 'USAGE'],
  ['make', ['1'], undefined, 'USAGE'],
  ['parse', [], undefined, 'USAGE'],
  ['parse', ['1'], '64', 'USAGE'],
  ['inspect', ['abc'], undefined, 'DTXID_INVALID'],
])('dtxid %s %j --form %s: %s', (verb, ids, form, code) => {
  expect(() => run(verb, ids, form)).toThrow(expect.objectContaining({ code, kind: 'invalid' }))
})
