/** The pure rules of the REST API. */
import { describe, expect, test } from 'vitest'
import { decide, type Kept } from './idempotency.ts'
import { pageOf } from './paging.ts'
import type { JobView } from '@weir/job'
import { precondition, versionOf } from './precondition.ts'

describe('what becomes of a request with an Idempotency-Key', () => {
  const kept = (over: Partial<Kept> = {}): Kept => ({ fingerprint: 'f', generation: 2, answer: null, ...over })
  test.each([
    ['nothing is known of it', null, 'begin'],
    ['its answer is kept', kept({ answer: { status: 200, body: 1 } }), 'repeat'],
    ['another request has the key', kept({ fingerprint: 'g' }), 'other-request'],
    ['this leader works on it', kept(), 'in-progress'],
    ['a leader before has begun and left no answer', kept({ generation: 1 }), 'take-over'],
    ['a later leader has begun', kept({ generation: 3 }), 'in-progress'],
  ] as const)('%s', (_, there, decision) => {
    expect(decide(there, 'f', 2)).toBe(decision)
  })
})

describe('If-Match', () => {
  test('a limit makes another version, what a rate is lowered to by itself makes none', () => {
    const view = (limit: number, current: number): JobView =>
      ({ jobId: 'j', rates: [{ source: 'in', recordsPerSecond: limit, minRecordsPerSecond: null, current }] }) as never
    expect(versionOf(view(7, 3))).toBe(versionOf(view(7, 5)))
    expect(versionOf(view(7, 3))).not.toBe(versionOf(view(8, 3)))
  })

  test.each([
    [undefined, false, 'met'],
    [undefined, true, 'missing'],
    ['*', true, 'met'],
    ['"v"', true, 'met'],
    ['"u", "v"', true, 'met'],
    ['"u"', false, 'failed'],
    ['W/"v"', true, 'failed'],
    ['v', true, 'failed'],
    ['', false, 'failed'],
  ] as const)('%s, required: %s: %s', (header, required, outcome) => {
    expect(precondition(header, '"v"', required)).toBe(outcome)
  })
})

describe('pages', () => {
  const order = { key: (s: string) => s }
  test('a cursor stands for a place, not for an entry', () => {
    expect(pageOf(['a', 'b', 'd'], order, 'c', 10)).toEqual({ entries: ['d'], next: null })
    expect(pageOf(['d', 'b', 'a'], order, null, 2)).toEqual({ entries: ['a', 'b'], next: 'b' })
  })
  test('newest first goes down', () => {
    expect(pageOf(['1', '2', '3'], { ...order, newestFirst: true }, '3', 1)).toEqual({ entries: ['2'], next: '2' })
  })
})
