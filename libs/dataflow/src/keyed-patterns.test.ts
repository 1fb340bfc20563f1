/** deduplicate and sessionize against models that keep every record, over a restore at any point. */
import { WATERMARK_MAX, WATERMARK_MIN, type RecordBatch } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deduplicating } from './deduplicate.ts'
import type { KeyedProcessNode } from './graph.ts'
import { MemoryKeyedStates } from './memory-state.ts'
import { batchOf, contextOf, uid } from './operators/fixture.ts'
import { KeyedProcessOperator } from './operators/keyed-process.ts'
import { model, sorted, type Event, type Step } from './operators/window-model.fixture.ts'
import { sessionizing, type Session } from './sessionize.ts'
import { keyedProcessOf } from './transform.ts'

type Seen = readonly [place: string, key: unknown, value: unknown]

/** What comes out behind each event; restored before event number `restart`. */
function run(node: Omit<KeyedProcessNode, 'uid'>, side: string, events: readonly Event[], restart: number): Seen[][] {
  const state = new MemoryKeyedStates()
  let seen: Seen[] = []
  const into = (place: string) => ({
    emit: ({ keys, values }: RecordBatch) => void values.forEach((value, i) => seen.push([place, keys![i], value])),
    watermark: () => {},
  })
  const open = (watermark: number): KeyedProcessOperator => {
    const operator = new KeyedProcessOperator({ uid, ...node })
    operator.open(contextOf({ state, watermark, sides: new Map([[side, into(side)]]), freeze: true }))
    return operator
  }
  let watermark = WATERMARK_MIN
  let operator = open(watermark)
  return events.map((event, i) => {
    seen = []
    if (i === restart) operator = open(watermark)
    if (event.kind === 'record') operator.onBatch(batchOf([event.key, event.value, event.timestamp]), into('out'))
    else operator.onWatermark((watermark = Math.max(watermark, event.timestamp)), into('out'))
    return seen
  })
}

const events: fc.Arbitrary<Event[]> = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('record' as const),
          key: fc.constantFrom('a', 'b'),
          value: fc.constant(0),
          timestamp: fc.nat(70),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('watermark' as const), timestamp: fc.nat(90) }) },
    ),
    { maxLength: 40 },
  )
  .map((all): Event[] => [
    ...all.map((event, i) => (event.kind === 'record' ? { ...event, value: i } : event)),
    { kind: 'watermark', timestamp: WATERMARK_MAX },
  ])

test('sessionize agrees with sessions of a list of all records', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 15 }), events, fc.nat(40), (gapMs, all, restart) => {
      const seen = run(keyedProcessOf(sessionizing<number>(gapMs)), 'late', all, restart)
      const steps = seen.map((some): Step => {
        const sessions = some
          .filter(([place]) => place === 'out')
          .map(([, key, value]) => [key, value] as [string, Session<number>])
        return {
          results: sorted(sessions.map(([key, { start, end, records }]) => [key, start, end, records] as const)),
          late: some.filter(([place]) => place === 'late').map(([, , value]) => value as number),
        }
      })
      expect(steps).toEqual(model({ window: { type: 'session', gapMs }, latenessMs: 0, trigger: null }, all))
    }),
    { numRuns: 1_000 },
  )
})

test('deduplicate agrees with a look at every record that was let through', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), events, fc.nat(40), (ttlMs, all, restart) => {
      const through: { key: string; at: number }[] = []
      let watermark = WATERMARK_MIN
      const expected = all.map((event): Seen[] => {
        if (event.kind === 'watermark') {
          watermark = Math.max(watermark, event.timestamp)
          return []
        }
        const { key, value } = event
        const at = Math.max(event.timestamp, watermark)
        if (through.some((one) => one.key === key && at < one.at + ttlMs)) return [['duplicates', key, value]]
        through.push({ key, at })
        return [['out', key, value]]
      })
      expect(run(keyedProcessOf(deduplicating<number>(ttlMs)), 'duplicates', all, restart)).toEqual(expected)
    }),
    { numRuns: 1_000 },
  )
})

test.each([0, 0.5, -1, Number.NaN])('a gap of %s ms is refused', (gapMs) => {
  expect(() => sessionizing(gapMs)).toThrow(expect.objectContaining({ code: 'WINDOW_INVALID' }) as Error)
})
