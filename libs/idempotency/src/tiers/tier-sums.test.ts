import { afterEach, expect, test } from 'vitest'
import { listenToTiers, tierEvents } from './tier-events.ts'
import { TIER_DURATIONS_MAX, TIER_SET_ASIDE_MAX, TierSummary, tellTierSums, type TierSums } from './tier-sums.ts'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

function summary(): TierSummary {
  const made = new TierSummary()
  cleanups.push(() => made.end())
  return made
}

/** What listeners of another thread hear of it. */
function heard(sums: TierSums | null): unknown[] {
  const all: unknown[] = []
  const end = listenToTiers({
    called: (of) => all.push(of),
    unavailable: (of) => all.push(of),
    caughtUp: (of) => all.push(of),
    setAside: (of) => all.push(of),
  })
  tellTierSums(structuredClone(sums!))
  end()
  return all
}

const call = { namespace: 'n', tier: 'remote', operation: 'claim', misses: 0 } as const

test('calls are one sum by namespace, tier and operation, and each time is told', () => {
  const of = summary()
  tierEvents.called({ ...call, hits: 3, durationMs: 4 })
  tierEvents.called({ ...call, hits: 2, misses: 1, durationMs: 5 })
  tierEvents.called({ ...call, operation: 'dead', hits: 1, durationMs: 6 })
  expect(heard(of.take())).toEqual([
    { ...call, hits: 5, misses: 1, durationMs: 4 },
    { ...call, hits: 0, durationMs: 5 },
    { ...call, operation: 'dead', hits: 1, durationMs: 6 },
  ])
})

test('what became of keys without the remote tier is summed up by what becomes a label', () => {
  const of = summary()
  const aside = { folder: '/a', aside: '/a.damaged-1', why: 'x' }
  tierEvents.unavailable({ namespace: 'n', decided: 'locally', keys: 2 })
  tierEvents.unavailable({ namespace: 'n', decided: 'not', keys: 1 })
  tierEvents.unavailable({ namespace: 'n', decided: 'locally', keys: 3 })
  tierEvents.caughtUp({ namespace: 'n', keys: 5, conflicts: 1 })
  tierEvents.caughtUp({ namespace: 'n', keys: 4, conflicts: 2 })
  tierEvents.setAside(aside)
  expect(heard(of.take())).toEqual([
    { namespace: 'n', decided: 'locally', keys: 5 },
    { namespace: 'n', decided: 'not', keys: 1 },
    { namespace: 'n', keys: 9, conflicts: 3 },
    aside,
  ])
})

test('a report has what was told since the last one, and there is none where nothing was', () => {
  const of = summary()
  expect(of.take()).toBeNull()
  tierEvents.caughtUp({ namespace: 'n', keys: 1, conflicts: 1 })
  expect(of.take()?.caughtUp).toEqual([{ namespace: 'n', keys: 1, conflicts: 1 }])
  expect(of.take()).toBeNull()
  of.end()
  tierEvents.caughtUp({ namespace: 'n', keys: 1, conflicts: 1 })
  expect(of.take()).toBeNull()
})

test('of very many calls the keys are all counted, and the first times are told', () => {
  const of = summary()
  for (let i = 0; i < TIER_DURATIONS_MAX + 10; i++) tierEvents.called({ ...call, hits: 1, durationMs: i })
  for (let i = 0; i < TIER_SET_ASIDE_MAX + 1; i++) tierEvents.setAside({ folder: `/${i}`, aside: '', why: '' })
  const sums = of.take()!
  expect(sums.called[0]).toMatchObject({ hits: TIER_DURATIONS_MAX + 10 })
  expect(sums.called[0]!.durationsMs).toEqual(Array.from({ length: TIER_DURATIONS_MAX }, (_, i) => i))
  expect(sums.setAside).toHaveLength(TIER_SET_ASIDE_MAX)
})
