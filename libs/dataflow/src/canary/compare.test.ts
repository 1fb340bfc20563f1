import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Comparer, type CompareOptions, type Comparison, type Output, type Side } from './compare.ts'
import { CANARY_SHARES, inShare, nextShare } from './share.ts'
import { judgeCanary } from './verdict.ts'

type Seen = readonly [Side, Output]
const all = { share: 1 }

function compared(seen: readonly Seen[], options: CompareOptions = all): Comparison {
  const comparer = new Comparer(options)
  for (const [side, output] of seen) comparer.saw(side, output)
  return comparer.end()
}
/** One key; a value in capitals is of the live side's tail. */
const of = (side: Side, values: string, key: string | null = 'k'): Seen[] =>
  [...values].map((value) => [
    side,
    { topic: 't', key, value: value.toLowerCase(), tail: value !== value.toLowerCase() },
  ])
const counts = ({ equal, different, missing, extra, undecided }: Comparison): number[] => [
  ...[equal, different, missing, extra, undecided],
]

describe('one key, two sequences', () => {
  test.each<[string, string, string, number[]]>([
    ['the same on both sides', 'abc', 'abc', [3, 0, 0, 0, 0]],
    ['another value', 'abcd', 'abxd', [3, 1, 0, 0, 0]],
    ['one left out is one error, and what is behind it is not', 'abcdef', 'abdef', [5, 0, 1, 0, 0]],
    ['one put in', 'abcdef', 'abxcdef', [6, 0, 0, 1, 0]],
    ['one twice', 'abc', 'abbc', [3, 0, 0, 1, 0]],
    ['none at all', 'abc', '', [0, 0, 3, 0, 0]],
    ['nothing was due', '', 'ab', [0, 0, 0, 2, 0]],
    ['every value is another', 'abc', 'xyz', [0, 3, 0, 0, 0]],
    ['what the shadow has not come to yet is not missing', 'abCD', 'ab', [2, 0, 0, 0, 2]],
    ['what it has come to is compared all the same', 'abCD', 'abcx', [3, 1, 0, 0, 0]],
    ['in front of the tail it is missing', 'abcD', 'ab', [2, 0, 1, 0, 1]],
  ])('%s', (_, live, shadow, expected) => {
    expect(counts(compared([...of('live', live), ...of('shadow', shadow)]))).toEqual(expected)
  })

  test('samples name topic, key and both values', () => {
    expect(compared([...of('live', 'abc'), ...of('shadow', 'axcd')]).samples).toEqual([
      { kind: 'different', topic: 't', key: 'k', live: 'b', shadow: 'x' },
      { kind: 'extra', topic: 't', key: 'k', live: undefined, shadow: 'd' },
    ])
  })

  test('a tombstone is not an empty value', () => {
    const seen: Seen[] = [
      ['live', { topic: 't', key: 'k', value: null }],
      ['shadow', { topic: 't', key: 'k', value: '' }],
    ]
    expect(counts(compared(seen))).toEqual([0, 1, 0, 0, 0])
  })
})

const values = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 40 })
const outputs = fc.array(fc.record({ key: fc.constantFrom('k1', 'k2', null), value: fc.constantFrom('a', 'b', 'c') }), {
  maxLength: 60,
})
const seenOn = (side: Side, of: readonly { key: string | null; value: string }[]): Seen[] =>
  of.map(({ key, value }) => [side, { topic: 't', key, value }])
/** Each side in its order, mixed as `turns` says. */
function mixed(live: readonly Seen[], shadow: readonly Seen[], turns: readonly boolean[]): Seen[] {
  const [a, b, out] = [[...live], [...shadow], [] as Seen[]]
  for (let i = 0; a.length > 0 || b.length > 0; i++) {
    const from = b.length === 0 || (a.length > 0 && turns[i % Math.max(1, turns.length)] !== false) ? a : b
    out.push(from.shift()!)
  }
  return out
}
const turns = fc.array(fc.boolean(), { minLength: 1, maxLength: 50 })

/** Fewest changes from one to the other: what no alignment can stay below. */
function editDistance(a: readonly string[], b: readonly string[]): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, x] of a.entries()) {
    const next = [i + 1]
    for (const [j, y] of b.entries()) next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (x === y ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
const keyed = (side: Side, values: readonly string[]): Seen[] =>
  values.map((value) => [side, { topic: 't', key: 'k', value }])

describe('whatever is compared', () => {
  test('every output is counted once, on either side', () => {
    fc.assert(
      fc.property(outputs, outputs, turns, (live, shadow, order) => {
        const result = compared(mixed(seenOn('live', live), seenOn('shadow', shadow), order))
        const { equal, different, missing, extra, undecided } = result
        expect([equal + different + missing + undecided, equal + different + extra]).toEqual([
          live.length,
          shadow.length,
        ])
      }),
    )
  })

  test('who is read first changes nothing', () => {
    fc.assert(
      fc.property(
        outputs,
        outputs,
        turns,
        turns,
        fc.integer({ min: 2, max: 8 }),
        (live, shadow, one, other, window) => {
          const options = { share: 1, windowRecords: window }
          const [a, b] = [seenOn('live', live), seenOn('shadow', shadow)]
          const result = (order: readonly boolean[]) => counts(compared(mixed(a, b, order), options))
          expect(result(one)).toEqual(result(other))
        },
      ),
    )
  })

  test('the same sequences have no errors; any others have at least as many as changes lie between them', () => {
    fc.assert(
      fc.property(values, values, fc.integer({ min: 2, max: 20 }), (live, shadow, window) => {
        const result = compared([...keyed('live', live), ...keyed('shadow', shadow)], {
          share: 1,
          windowRecords: window,
        })
        expect(judgeCanary(result).errors).toBeGreaterThanOrEqual(editDistance(live, shadow))
        expect(counts(compared([...keyed('live', live), ...keyed('shadow', live)]))).toEqual([live.length, 0, 0, 0, 0])
      }),
    )
  })

  test('one output left out, put in or changed is one error where values do not repeat', () => {
    const change = fc.constantFrom('left-out', 'put-in', 'changed')
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(), change, (length, any, kind) => {
        const live = Array.from({ length }, (_, i) => `v${i}`)
        const at = any % length
        const shadow = live.toSpliced(at, kind === 'put-in' ? 0 : 1, ...(kind === 'left-out' ? [] : ['another']))
        expect(judgeCanary(compared([...keyed('live', live), ...keyed('shadow', shadow)])).errors).toBe(1)
      }),
    )
  })

  test('records without a key are counted, in whatever order they come', () => {
    const bag = fc.array(fc.constantFrom('a', 'b', 'c', 'A', 'B'), { maxLength: 40 })
    fc.assert(
      fc.property(bag, bag, turns, (live, shadow, order) => {
        const a = of('live', live.join(''), null)
        const b = of('shadow', shadow.join('').toLowerCase(), null)
        const result = compared(mixed(a, b, order))
        const n = (side: readonly string[], value: string): number => side.filter((one) => one === value).length
        const lower = shadow.map((one) => one.toLowerCase())
        const sum = (f: (value: string) => number): number => ['a', 'b', 'c'].reduce((all, value) => all + f(value), 0)
        expect(result.missing).toBe(sum((v) => Math.max(0, n(live, v) - n(lower, v))))
        expect(result.extra).toBe(sum((v) => Math.max(0, n(lower, v) - n(live, v) - n(live, v.toUpperCase()))))
        expect(result.equal + result.missing + result.undecided).toBe(live.length)
      }),
    )
  })

  test('memory is bounded, and what is decided without it is never in favour of the shadow', () => {
    fc.assert(
      fc.property(outputs, outputs, turns, (live, shadow, order) => {
        const seen = mixed(seenOn('live', live), seenOn('shadow', shadow), order)
        const comparer = new Comparer({ share: 1, pendingBytesMax: 500 })
        for (const [side, output] of seen) {
          comparer.saw(side, output)
          expect(comparer.pending.live + comparer.pending.shadow).toBeLessThanOrEqual(500)
        }
        const bounded = comparer.end()
        expect(comparer.pending).toEqual({ live: 0, shadow: 0 })
        const isSame = judgeCanary(compared(seen)).errors === 0
        expect(bounded.forced).toBeLessThanOrEqual(judgeCanary(bounded).errors)
        if (!isSame) expect(judgeCanary(bounded).errors).toBeGreaterThan(0)
      }),
    )
  })
})

describe('a share of the keys', () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `user-${i}`)
  test.each(CANARY_SHARES)('%f of them are in it, always the same ones, also in every larger share', (share) => {
    const chosen = keys.filter((key) => inShare(key, share))
    expect(Math.abs(chosen.length / keys.length - share)).toBeLessThan(0.01)
    for (const larger of CANARY_SHARES) {
      if (larger > share) expect(chosen.every((key) => inShare(key, larger))).toBe(true)
    }
  })
  test('a number is in it as its text is', () => {
    for (let n = 0; n < 100; n++) expect(inShare(n, 0.5)).toBe(inShare(String(n), 0.5))
  })
  test('keys outside of it are passed over, records without a key are not', () => {
    const out = keys.find((key) => !inShare(key, 0.05))!
    const comparer = new Comparer({ share: 0.05 })
    comparer.saw('live', { topic: 't', key: out, value: 'x' })
    comparer.saw('live', { topic: 't', key: null, value: 'y' })
    expect(counts(comparer.end())).toEqual([0, 0, 1, 0, 0])
  })
  test('they are gone through from 5 to 100 %', () => {
    expect([0.05, 0.06, 0.25, 0.5, 1].map(nextShare)).toEqual([0.25, 0.25, 0.5, 1, undefined])
  })
})

test.each([
  [{ equal: 15_000, different: 0, missing: 0, extra: 0 }, 'passes'],
  [{ equal: 14_999, different: 0, missing: 0, extra: 0 }, 'too-few'],
  [{ equal: 19_996, different: 3, missing: 0, extra: 0 }, 'passes'],
  [{ equal: 9_998, different: 1, missing: 0, extra: 1 }, 'differs'],
  [{ equal: 4_999, different: 0, missing: 1, extra: 0 }, 'differs'],
  [{ equal: 0, different: 0, missing: 0, extra: 0 }, 'too-few'],
])('%j: below 0.02 %, of enough: %s', (counted, verdict) => {
  expect(judgeCanary({ ...counted, undecided: 0, forced: 0 }).verdict).toBe(verdict)
})
