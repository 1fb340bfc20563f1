import type { RecordHeader } from '@weir/model'
import { expect, test } from 'vitest'
import { traceOf, withTrace } from './trace-context.ts'

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const header = (name: string, value: string | null): RecordHeader => [name, value === null ? null : Buffer.from(value)]
const text = (headers: readonly RecordHeader[]): string[] => headers.map(([name, value]) => `${name}=${String(value)}`)

test('a context comes out as it went in, several tracestate headers as one list', () => {
  const trace = traceOf([header('tracestate', 'a=1, b=2'), header('traceparent', PARENT), header('tracestate', 'c=3')])
  expect(text(withTrace([header('id', '7')], trace!))).toEqual([
    'id=7',
    `traceparent=${PARENT}`,
    'tracestate=a=1, b=2,c=3',
  ])
  expect(text(withTrace([], traceOf([header('traceparent', PARENT)])!))).toEqual([`traceparent=${PARENT}`])
  const later = `cc-${PARENT.slice(3)}-what-the-future-brings`
  expect(traceOf([header('traceparent', later)])).toBe(later)
})

test('an output that has a context of its own keeps it', () => {
  const own = [header('traceparent', 'own')]
  expect(withTrace(own, PARENT)).toBe(own)
})

test('a state that is too long is dropped, the parent stays', () => {
  expect(traceOf([header('traceparent', PARENT), header('tracestate', `a=${'x'.repeat(2_000)}`)])).toBe(PARENT)
})

test.each([
  ['nothing', null],
  ['text', 'abc'],
  ['a trace id of zeros', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
  ['a parent id of zeros', `00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`],
  ['capitals', PARENT.toUpperCase()],
  ['version ff', `ff${PARENT.slice(2)}`],
  ['more fields than version 00 has', `${PARENT}-more`],
])('%s is no context, and a state without one is none either', (_, value) => {
  expect(traceOf([header('traceparent', value), header('tracestate', 'a=1')])).toBeNull()
})
