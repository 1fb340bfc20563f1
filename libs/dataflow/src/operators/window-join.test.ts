import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JoinKeeps } from '../graph.ts'
import { statesOf } from '../state-schema.ts'
import { uid } from './fixture.ts'
import { hotSteps, joined, sorted, steps, type JoinRecord, type Joined, type Step } from './join-fixture.ts'
import type { WindowBounds } from '../window-process.ts'
import { windowJoin, type WindowJoinOptions } from './window-join.ts'

const word = (id: number | undefined): string => (id === undefined ? '-' : String(id))
const pair = (left: number | undefined, right: number | undefined, { start, end }: WindowBounds): string =>
  `${word(left)}+${word(right)} in ${start}..${end}`
const at = (side: 'left' | 'right', time: number, key = 'ada'): Step => ({ record: { side, key, time } })
const tumbling = (sizeMs: number) => ({ sizeMs, slideMs: sizeMs })

test('pairs of a tumbling window come out when event time reaches its end, in the order of their times', () => {
  const of: Step[] = [
    at('right', 9),
    at('left', 5),
    at('left', 0),
    at('right', 10),
    at('left', 5, 'bob'),
    { ms: 9 },
    { ms: 1 },
  ]
  const { out } = joined(windowJoin({ window: tumbling(10), keeps: 'inner' }, pair), of)
  expect(out).toEqual([
    ['ada', '2+0 in 0..10', 9],
    ['ada', '1+0 in 0..10', 9],
  ])
})

test('in sliding windows a pair comes out of every window that holds both; late is a record whose windows have all ended', () => {
  const of: Step[] = [at('left', 4), { ms: 5 }, at('right', 4), { ms: 5 }, at('right', 4)]
  const { out, late } = joined(windowJoin({ window: { sizeMs: 10, slideMs: 5 }, keeps: 'inner' }, pair), of)
  expect(out).toEqual([['ada', '0+1 in 0..10', 9]])
  expect(late).toBe(1)
})

test.each([
  ['inner', []],
  ['left', ['0+- in 0..10']],
  ['full', ['0+- in 0..10', '-+1 in 10..20']],
] as const)('%s: what has no partner comes out alone, where its side is kept', (keeps, expected) => {
  const { out } = joined(windowJoin({ window: tumbling(10), keeps }, pair), [at('left', 1), at('right', 11)])
  expect(out.map(([, value]) => value)).toEqual(expected)
})

test('behind the end of the input nothing is kept', () => {
  const node = { uid, ...windowJoin({ window: { sizeMs: 12, slideMs: 5 }, keeps: 'full' }, pair) }
  const { states } = joined(node, [at('left', 20), at('right', 22), at('left', 22), { ms: 23 }, at('right', 9)])
  for (const { name } of statesOf(node)) {
    const rows = states.keyed(uid, name)
    expect([rows.get('ada'), ...rows.namespaces()], name).toEqual([undefined])
  }
})

/** Every window that may hold one of the records. */
function windowsOf(records: readonly JoinRecord[], sizeMs: number, slideMs: number): WindowBounds[] {
  const last = Math.max(0, ...records.map(({ time }) => time))
  const windows: WindowBounds[] = []
  for (let start = -Math.ceil(sizeMs / slideMs) * slideMs; start <= last; start += slideMs)
    windows.push({ start, end: start + sizeMs })
  return windows
}

const isIn = ({ time }: JoinRecord, { start, end }: WindowBounds): boolean => start <= time && time < end

/** What should come out: a loop over all windows, keys and pairs. */
function expectedOf({ records }: Joined, { window: { sizeMs, slideMs }, keeps }: WindowJoinOptions): unknown[] {
  return windowsOf(records, sizeMs, slideMs).flatMap((window) =>
    ['ada', 'bob'].flatMap((key) => {
      const there = records.filter(
        (record) => record.key === key && isIn(record, window) && record.watermark < window.end,
      )
      const [lefts, rights] = (['left', 'right'] as const).map((side) => there.filter((record) => record.side === side))
      const rows = lefts!.flatMap((left) => rights!.map((right) => pair(left.id, right.id, window)))
      if (rights!.length === 0 && keeps !== 'inner') rows.push(...lefts!.map(({ id }) => pair(id, undefined, window)))
      if (lefts!.length === 0 && keeps === 'full') rows.push(...rights!.map(({ id }) => pair(undefined, id, window)))
      return rows.map((row) => [key, row, window.end - 1])
    }),
  )
}

const size = fc.integer({ min: 1, max: 25 })
const options: fc.Arbitrary<WindowJoinOptions> = fc.record({
  window: fc.record({ sizeMs: size, slideMs: size }),
  keeps: fc.constantFrom<JoinKeeps>('inner', 'left', 'full'),
})

test('agrees with a loop over all windows and pairs, whatever comes out of order, late, or behind a restart', () => {
  fc.assert(
    fc.property(steps, options, (of, how) => {
      const all = joined(windowJoin(how, pair), of)
      const { out, records, late } = all
      expect(sorted(out)).toEqual(sorted(expectedOf(all, how)))
      const { sizeMs, slideMs } = how.window
      const isLate = (record: JoinRecord): boolean => {
        const own = windowsOf(records, sizeMs, slideMs).filter((window) => isIn(record, window))
        return own.length > 0 && own.every(({ end }) => end <= record.watermark)
      }
      expect(late).toBe(records.filter(isLate).length)
    }),
    { numRuns: 1_000 },
  )
})

test('a key with many waiting records agrees with the loop, too', () => {
  fc.assert(
    fc.property(hotSteps, options, (of, how) => {
      const all = joined(windowJoin(how, pair), of)
      expect(sorted(all.out)).toEqual(sorted(expectedOf(all, how)))
    }),
    { numRuns: 100 },
  )
})
