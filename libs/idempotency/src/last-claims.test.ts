import type { ClaimOutcome } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { LAST_CLAIMS, LastClaims } from './last-claims.ts'

const batch = (untilMs: number, ...claims: [key: string, text: string, outcome?: ClaimOutcome][]) => ({
  keys: claims.map(([key]) => key),
  texts: claims.map(([, text]) => text),
  outcomes: claims.map(([, , outcome = 'first']) => outcome),
  untilMs,
})

test('of each key the newest is remembered, for as long as it is there', () => {
  const last = new LastClaims()
  last.add(batch(100, ['a', '1'], ['b', '2']))
  last.add(batch(200, ['a', '3', 'handed-on'], ['c', '4', 'duplicate'], ['d', '5', 'conflict'], ['e', '6', 'replay']))
  expect(last.at(50)).toEqual([
    { key: 'a', text: '3', ttlMs: 150 },
    { key: 'b', text: '2', ttlMs: 50 },
  ])
  expect(last.at(100)).toEqual([{ key: 'a', text: '3', ttlMs: 100 }])
  expect(last.at(200)).toEqual([])
})

test('batches are forgotten as soon as those behind them are enough', () => {
  const last = new LastClaims()
  for (let i = 0; i < 3; i++)
    last.add(batch(9, ...Array.from({ length: LAST_CLAIMS / 2 }, (_, n): [string, string] => [`${i}-${n}`, 'text'])))
  const known = last.at(0).map(({ key }) => key)
  expect(known).toHaveLength(LAST_CLAIMS)
  expect(known.some((key) => key.startsWith('0-'))).toBe(false)
  last.add(batch(9, ...Array.from({ length: 2 * LAST_CLAIMS }, (_, n): [string, string] => [`big-${n}`, 'text'])))
  expect(last.at(0)).toHaveLength(2 * LAST_CLAIMS)
})
