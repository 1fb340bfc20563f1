import fc from 'fast-check'
import { expect, test } from 'vitest'
import { statesOf } from '../state-schema.ts'
import { ConnectOperator } from './connect.ts'
import { Catch, batchOf, contextOf, uid } from './fixture.ts'
import { intervalJoin } from './interval-join.ts'
import { hotSteps, joined, sorted, steps, type Step } from './join-fixture.ts'

const pair = (left: number, right: number): string => `${left}+${right}`
const at = (side: 'left' | 'right', time: number, key = 'ada'): Step => ({ record: { side, key, time } })

test('a pair comes out when its second record is there, at the later time; both bounds are included', () => {
  const { out } = joined(intervalJoin({ lowerMs: -5, upperMs: 10 }, pair), [
    at('left', 100),
    at('right', 94),
    at('right', 95),
    at('right', 110),
    at('right', 111),
    at('right', 100, 'bob'),
    at('left', 115),
  ])
  expect(out).toEqual([
    ['ada', '0+2', 100],
    ['ada', '0+3', 110],
    ['ada', '6+3', 115],
    ['ada', '6+4', 115],
  ])
})

test('a record waits for its last possible partner and not longer; one that is late is dropped and counted', () => {
  const of: Step[] = [
    at('left', 20),
    { ms: 29 },
    at('right', 30),
    { ms: 1 },
    at('right', 30),
    { ms: 1 },
    at('right', 30),
  ]
  const { out, late } = joined(intervalJoin({ lowerMs: 0, upperMs: 10 }, pair), of)
  expect(out).toEqual([
    ['ada', '0+1', 30],
    ['ada', '0+2', 30],
  ])
  expect(late).toBe(1)
})

test('behind the end of the input nothing is kept', () => {
  const node = { uid, ...intervalJoin({ lowerMs: -5, upperMs: 5 }, pair) }
  const { states } = joined(node, [at('left', 20), at('right', 22), at('left', 22), { ms: 3 }, at('right', 9)])
  for (const { name } of statesOf(node)) {
    const rows = states.keyed(uid, name)
    expect([rows.get('ada'), ...rows.namespaces()], name).toEqual([undefined])
  }
})

test('agrees with a loop over all pairs, whatever comes out of order, late, or behind a restart', () => {
  const bound = fc.integer({ min: -20, max: 20 })
  fc.assert(
    fc.property(steps, bound, bound, (of, one, other) => {
      const [lowerMs, upperMs] = [Math.min(one, other), Math.max(one, other)]
      const { out, records, late } = joined(intervalJoin({ lowerMs, upperMs }, pair), of)
      const inTime = records.filter(({ time, watermark }) => time >= watermark)
      const expected = inTime.flatMap((left) =>
        inTime.flatMap((right) => {
          const apart = right.time - left.time
          const isPair = left.side === 'left' && right.side === 'right' && left.key === right.key
          if (!isPair || apart < lowerMs || apart > upperMs) return []
          return [[left.key, pair(left.id, right.id), Math.max(left.time, right.time)]]
        }),
      )
      expect(sorted(out)).toEqual(sorted(expected))
      expect(late).toBe(records.length - inTime.length)
    }),
    { numRuns: 1_000 },
  )
})

test('a key with many waiting records agrees with the loop, too', () => {
  fc.assert(
    fc.property(hotSteps, (of) => {
      const { out, records } = joined(intervalJoin({ lowerMs: -10, upperMs: 15 }, pair), of)
      const inTime = records.filter(({ time, watermark }) => time >= watermark)
      const expected = inTime.flatMap((left) =>
        inTime
          .filter(({ side, time }) => side === 'right' && time - left.time >= -10 && time - left.time <= 15)
          .flatMap((right) =>
            left.side === 'left' ? [['ada', pair(left.id, right.id), Math.max(left.time, right.time)]] : [],
          ),
      )
      expect(sorted(out)).toEqual(sorted(expected))
    }),
    { numRuns: 100 },
  )
})

test('records that are too late are in the side output of their stream, as they came', () => {
  const [left, right] = [new Catch(), new Catch()]
  const sides = new Map([
    ['lateLeft', left],
    ['lateRight', right],
  ])
  const counters = { lateRecords: 0 }
  const operator = new ConnectOperator({ uid, ...intervalJoin({ lowerMs: 0, upperMs: 10 }, pair) })
  operator.open(contextOf({ sides, counters, watermark: 50 }))
  operator.onBatch(batchOf(['ada', 1, 49], ['ada', 2, 50]), new Catch())
  operator.onRight(batchOf(['bob', 3, 20]), new Catch())
  expect(left.seen).toEqual([['ada', 1, 49]])
  expect(right.seen).toEqual([['bob', 3, 20]])
  expect(counters.lateRecords).toBe(2)
})
