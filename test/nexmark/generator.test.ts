import { expect, test } from 'vitest'
import { Generator, arrivalsOf } from './generator.ts'
import { OUT_OF_ORDER_MS, isAuction, isBid, isPerson } from './model.ts'

const arrivals = arrivalsOf(new Generator({ seed: 7, events: 1_000 }).portions())
const events = arrivals.map(({ event }) => event)

test('of 50 events 1 is a person, 3 are auctions, 46 are bids', () => {
  expect([isPerson, isAuction, isBid].map((is) => events.filter(is).length)).toEqual([20, 60, 920])
})

test('a seed makes the same portions again, another one others', () => {
  const portions = (seed: number): unknown => new Generator({ seed, events: 100 }).portions()
  expect(portions(3)).toEqual(portions(3))
  expect(portions(3)).not.toEqual(portions(4))
})

test('events come out of order, and some later than a source waits', () => {
  const behind = arrivals.filter(({ event }, i) => i > 0 && event.ts < arrivals[i - 1]!.event.ts)
  const late = arrivals.filter(({ event, watermark }) => event.ts < watermark)
  expect(behind.length).toBeGreaterThan(100)
  expect(late.length).toBeGreaterThan(20)
})

test('without late ones none comes behind the watermark of its portion', () => {
  const inTime = arrivalsOf(new Generator({ seed: 7, events: 1_000, latePercent: 0 }).portions())
  expect(inTime.every(({ event, watermark }) => event.ts >= watermark)).toBe(true)
  expect(inTime.some(({ event, watermark }) => event.ts < watermark + OUT_OF_ORDER_MS)).toBe(true)
})

test('bids name auctions, and auctions sellers, that have not come yet', () => {
  const seen = new Set<number>()
  let ahead = 0
  for (const event of events) {
    if (isAuction(event)) seen.add(event.id)
    if (isBid(event) && !seen.has(event.auction)) ahead++
  }
  expect(ahead).toBeGreaterThan(10)
})
