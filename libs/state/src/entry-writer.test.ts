import { operatorUid } from '@weir/model'
import { afterEach, expect, test, vi } from 'vitest'
import { MemoryObjects, cp, openStore } from './fixture.ts'

afterEach(() => vi.restoreAllMocks())

test('while a snapshot is packed the slot has its turns, in a delta as in a base', async () => {
  const store = await openStore(new MemoryObjects(), { hotEntriesMax: Infinity, mostRowsMin: Infinity, freeze: false })
  const sums = store.keyed<{ sum: number }>(operatorUid('sum'), 'acc')
  for (let i = 0; i < 20_000; i++) sums.put(`user-${i}`, { sum: i })
  const turnsOf = async (n: number): Promise<number> => {
    let turns = 0
    let over = false
    const count = (): void => {
      turns++
      if (!over) setImmediate(count)
    }
    const stored = store.snapshot(cp(n))
    setImmediate(count)
    await stored
    over = true
    return turns
  }
  // A millisecond for every look at the clock, one in a hundred rows: 25 turns to collect 20,000 and as many to write them.
  let ms = performance.now()
  vi.spyOn(performance, 'now').mockImplementation(() => ms++)
  expect(await turnsOf(1)).toBeGreaterThanOrEqual(40)
  for (let i = 0; i < 20_000; i += 2) sums.put(`user-${i}`, { sum: -i })
  expect(await turnsOf(2)).toBeGreaterThanOrEqual(20)
  await store.close()
})
