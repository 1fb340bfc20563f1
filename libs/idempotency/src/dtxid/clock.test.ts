import { expect, test } from 'vitest'
import { LogicalClock } from './clock.ts'
import { TIME_END, TIME_ORIGIN_MS } from './layout.ts'

/** Readings are written as ms behind START: the wall clock, and the monotonic one, which began at 0 then. */
const START = 1_000_000
const at = (ms: number): number => TIME_ORIGIN_MS + START + ms

/** Two sequences per ms; granted from START, the fleet agrees, lease and mark are far away. */
function clock({ from = START, mark = START + 1e9, leaseEnd = 1e9 } = {}): LogicalClock {
  const clock = new LogicalClock(2)
  clock.follow(at(0), 1e9, 0, at(0), 0)
  clock.grant(from, mark, leaseEnd, 0)
  return clock
}
/** [wall, monotonic] → `time.sequence` of the id, time as ms behind START, or why there is none. */
const ids = (clock: LogicalClock, ...readings: (readonly [wall: number, monotonic: number])[]): string[] =>
  readings.map(([wall, monotonic]) => {
    const outcome = clock.advance(at(wall), monotonic)
    return outcome === 'ready' ? `${clock.time - START}.${clock.sequence}` : outcome
  })
const same = (n: number, ms = 0): [number, number][] => Array.from({ length: n }, () => [ms, ms])

test('sequences of a ms, then the next ms, then that of the wall clock', () => {
  const c = clock()
  expect(ids(c, [0, 0], [0, 0], [0, 0], [1, 1], [5, 5])).toEqual(['0.0', '0.1', '1.0', '1.1', '5.0'])
  expect(c.overflows).toBe(1)
})

test('time does not run ahead of the fleet by more than 50 ms', () => {
  const c = clock()
  expect(ids(c, ...same(103)).slice(-3)).toEqual(['50.0', '50.1', 'ahead'])
  expect(ids(c, [1, 1], [1, 1], [1, 1])).toEqual(['51.0', '51.1', 'ahead'])
})

test('a wall clock that went back makes nobody wait and no time twice', () => {
  const c = clock()
  expect(ids(c, [10, 10], [-3_600_000, 11], [-3_599_999, 12], [-3_599_000, 1_011])).toEqual([
    '10.0',
    '11.0',
    '12.0',
    '1011.0',
  ])
  expect(c.steps).toBe(1)
})

test('within 50 ms a wall clock that went back costs sequences only', () => {
  const c = clock()
  expect(ids(c, [20, 20], [-20, 21], [-19, 22])).toEqual(['20.0', '20.1', '21.0'])
  expect(c.steps).toBe(0)
})

test('a wall clock that went forward is not believed before the fleet and etcd have answered', () => {
  const c = clock()
  expect(ids(c, [10, 10], [3_600_011, 11], [3_600_012, 12])).toEqual(['10.0', 'drifted', 'drifted'])
  expect([c.inDoubt, c.doubts]).toEqual([true, 1])
  c.follow(at(0), 1e9, 5, at(3_600_013), 13) // was asked before
  expect(c.inDoubt).toBe(true)
  c.follow(at(0), 1e9, 12, at(3_600_013), 13)
  expect(ids(c, [3_600_014, 14])).toEqual(['lease-lost'])
  c.renewed(1e9, 5)
  expect(ids(c, [3_600_014, 14])).toEqual(['lease-lost'])
  c.renewed(1e9, 12)
  expect(ids(c, [3_600_015, 15])).toEqual(['15.0'])
  expect(c.steps).toBe(1)
})

test('a suspension shows when an answer of before arrives', () => {
  const c = clock()
  c.notice(at(10), 10)
  c.notice(at(5_011), 11)
  expect(c.inDoubt).toBe(true)
  c.renewed(1e9, 9)
  c.follow(at(0), 1e9, 9, at(5_011), 11)
  expect(ids(c, [5_012, 12])).toEqual(['drifted'])
  c.follow(at(5_000), 1e9, 11, at(5_012), 12)
  c.renewed(1e9, 11)
  expect(ids(c, [5_013, 13])).toEqual(['5013.0'])
})

test('a wall clock that went back while nobody asked for ids hides no suspension', () => {
  const c = clock()
  c.notice(at(10), 10)
  c.notice(at(-10_000), 11)
  expect(ids(c, [-8_000, 12])).toEqual(['drifted'])
})

test('nothing is given out from the end of the lease, the mark, or the fleet on', () => {
  expect(ids(clock({ leaseEnd: 5 }), [4, 4], [5, 5])).toEqual(['4.0', 'lease-lost'])
  expect(ids(clock({ mark: START + 5 }), [4, 4], [5, 5])).toEqual(['4.0', 'unmarked'])
  const c = clock()
  c.follow(at(0), 5, 1, at(1), 1)
  expect(ids(c, [4, 4], [5, 5])).toEqual(['4.0', 'fleet-silent'])
  c.lose()
  expect(ids(c, [4, 4])).toEqual(['lease-lost'])
})

test('a worker id is used from where it was left, when the fleet has come there', () => {
  const c = clock({ from: START + 100 })
  expect(ids(c, [0, 0], [49, 49], [50, 50], [101, 101])).toEqual(['ahead', 'ahead', '100.0', '101.0'])
})

test('another worker id goes on behind the last id', () => {
  const c = clock()
  expect(ids(c, [0, 0])).toEqual(['0.0'])
  c.grant(0, START + 1e9, 1e9, 0)
  expect(ids(c, [0, 0])).toEqual(['1.0'])
})

test('the field of time ends', () => {
  const c = new LogicalClock(2)
  const last = TIME_ORIGIN_MS + TIME_END - 1
  c.follow(last, 1e9, 0, last, 0)
  c.grant(0, TIME_END, 1e9, 0)
  expect([c.advance(last, 0), c.advance(last + 1, 1)]).toEqual(['ready', 'out-of-time'])
})
