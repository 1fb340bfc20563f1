import { jobId, operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { limitsWith, rateViews } from './rates.ts'

const source = (uid: string, config: unknown) => ({ uid, kind: 'source' as const, config, stage: 0 })
const plan = {
  nodes: [
    source('orders', { recordsPerSecond: 1_000 }),
    source('payments', { recordsPerSecond: 500, minRecordsPerSecond: 50 }),
    { uid: 'out', kind: 'sink' as const, config: {}, stage: 1 },
  ],
}
const of = { plan, jobId: jobId('j'), limits: {} }

test('without a name every source is limited, with one that source alone, and the others keep what was asked before', () => {
  const all = limitsWith(of, null, { recordsPerSecond: 10 })
  const ten = { recordsPerSecond: 10, minRecordsPerSecond: null }
  expect(all).toEqual({ orders: ten, payments: ten })
  const one = limitsWith({ ...of, limits: all }, 'orders', { recordsPerSecond: 20, minRecordsPerSecond: 2 })
  expect(one).toEqual({ orders: { recordsPerSecond: 20, minRecordsPerSecond: 2 }, payments: ten })
  expect(limitsWith(of, 'orders', { recordsPerSecond: null })).toEqual({
    orders: { recordsPerSecond: null, minRecordsPerSecond: null },
  })
})

test.each([
  [{}, /say how many/],
  [{ recordsPerSecond: 0 }, /recordsPerSecond is 0; it must be a number above 0/],
  [{ recordsPerSecond: -1 }, /recordsPerSecond is -1/],
  [{ recordsPerSecond: '5' }, /recordsPerSecond is "5"/],
  [{ recordsPerSecond: Number.POSITIVE_INFINITY }, /must be a number above 0/],
  [{ recordsPerSecond: null, minRecordsPerSecond: 5 }, /give recordsPerSecond, too/],
  [{ recordsPerSecond: 5, minRecordsPerSecond: 6 }, /at most recordsPerSecond \(5\)/],
  [{ recordsPerSecond: 5, minRecordsPerSecond: [] }, /minRecordsPerSecond is \[\]/],
])('%j is refused with what to write instead', (wish, text) => {
  expect(() => limitsWith(of, null, wish)).toThrow(
    expect.objectContaining({ code: 'RATE_INVALID', message: expect.stringMatching(text) as string }) as Error,
  )
})

test('a source that is not there is refused with those that are', () => {
  expect(() => limitsWith(of, 'out', { recordsPerSecond: 5 })).toThrow(
    expect.objectContaining({
      code: 'SOURCE_UNKNOWN',
      message: 'job j has no source "out"; it has orders, payments',
    }) as Error,
  )
})

test('the view has the limit of all subtasks, what they use of it together, and the first reason', () => {
  const told = (current: number | null, reason: 'slow-reads' | null) => ({
    rates: [
      {
        source: operatorUid('payments'),
        limit: { recordsPerSecond: 250, minRecordsPerSecond: 25 },
        ...{ current, reason },
      },
    ],
  })
  expect(rateViews(plan, {}, [told(250, null), told(100, 'slow-reads'), { rates: [] }])).toEqual([
    { source: 'orders', recordsPerSecond: 1_000, minRecordsPerSecond: null, current: null, reason: null },
    { source: 'payments', recordsPerSecond: 500, minRecordsPerSecond: 50, current: 350, reason: 'slow-reads' },
  ])
})
