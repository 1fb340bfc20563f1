import { systemClock } from '@weir/runtime/system'
import { expect, test } from 'vitest'
import { HotTier } from './hot-tier.ts'

const made = (entriesMax: number): { tier: HotTier; pass(ms: number): void } => {
  let now = 1_000
  return {
    tier: new HotTier({ entriesMax }, { clock: { ...systemClock, now: () => now } }),
    pass: (ms) => void (now += ms),
  }
}

test('what is kept is found until its time is over', () => {
  const { tier, pass } = made(10)
  tier.keep('k', { text: 'a', until: 1_100 })
  expect(tier.look('k')).toBe('a')
  pass(99)
  expect(tier.look('k')).toBe('a')
  pass(1)
  expect(tier.look('k')).toBeNull()
  tier.keep('k', { text: 'b', until: 2_000 })
  tier.forget('k')
  expect(tier.look('k')).toBeNull()
  tier.clear()
})

test('it never holds more than it may', () => {
  const { tier } = made(1_000)
  let most = 0
  for (let i = 0; i < 20_000; i++) {
    tier.keep(`k${i}`, { text: 'x', until: 9_999 })
    most = Math.max(most, tier.size)
  }
  expect(most).toBeLessThanOrEqual(1_000)
  tier.clear()
})

test('a scan does not drive out what is asked for again and again', () => {
  const { tier } = made(1_000)
  const hot = Array.from({ length: 300 }, (_, i) => `hot${i}`)
  for (const key of hot) tier.keep(key, { text: 'x', until: 9_999 })
  for (let round = 0; round < 20; round++) for (const key of hot) tier.look(key)
  // Twice what it holds: a cache by recency would have none of them left.
  for (let i = 0; i < 2_000; i++) tier.keep(`scanned${i}`, { text: 'x', until: 9_999 })
  expect(hot.filter((key) => tier.look(key) !== null).length).toBeGreaterThan(hot.length / 2)
  tier.clear()
})
