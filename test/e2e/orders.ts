/** Orders whose results can be recounted without the engine. */
import { InOrder, NoDuplicate, NoLoss, broken } from '../checkers/index.ts'

export interface Order {
  readonly id: number
  readonly user: string
  readonly amountMinor: number
  readonly status: 'PAID' | 'FAILED'
  readonly ts: number
}
const START = 1_700_000_000_000
const WINDOW_MS = 10_000

export const orderAt = (id: number): Order => ({
  id,
  user: `user-${id % 997}`,
  amountMinor: (id * 7919) % 10_000,
  status: id % 10 === 3 ? 'FAILED' : 'PAID',
  ts: START + id * 2,
})

export interface Expectation {
  readonly outputs: number
  /** Every output there must be, once; see `outputsOf`. */
  readonly names: ReadonlySet<string>
  readonly sums: ReadonlyMap<string, { sum: number; count: number }>
  /** `user@start` → count. */
  readonly windows: ReadonlyMap<string, number>
}

export function expectation(count: number): Expectation {
  const sums = new Map<string, { sum: number; count: number }>()
  const windows = new Map<string, number>()
  let outputs = 0
  for (let id = 0; id < count; id++) {
    const { user, amountMinor, status, ts } = orderAt(id)
    if (status !== 'PAID') continue
    outputs++
    const at = sums.get(user) ?? { sum: 0, count: 0 }
    sums.set(user, { sum: at.sum + amountMinor, count: at.count + 1 })
    const window = `${user}@${ts - (ts % WINDOW_MS)}`
    windows.set(window, (windows.get(window) ?? 0) + 1)
  }
  const names = new Set<string>()
  for (const [user, { sum, count }] of sums)
    for (let n = 1; n <= count; n++) names.add(sumName(user, n, n === count ? sum : null))
  for (const [window, count] of windows) names.add(`counts ${window} = ${count}`)
  return { outputs, names, sums, windows }
}

/** Sums on the way to the last one depend on the order in which partitions were read; their numbers do not. */
const sumName = (user: string, count: number, sum: number | null): string =>
  sum === null ? `sums ${user} #${count}` : `sums ${user} #${count} = ${sum}`

type Output = readonly [key: string, value: unknown]

/** What a reader saw: name of the output, key, and its number among those of the key where it has one. */
function* outputsOf(
  expected: Expectation,
  sums: Iterable<Output>,
  counts: Iterable<Output>,
): Iterable<[name: string, key: string, position: number | null]> {
  for (const [user, value] of sums) {
    const { sum, count } = value as { sum: number; count: number }
    yield [sumName(user, count, count === expected.sums.get(user)?.count ? sum : null), user, count]
  }
  for (const [user, value] of counts) {
    const { start, value: n } = value as { start: number; value: number }
    yield [`counts ${user}@${start} = ${n}`, user, null]
  }
}

/** Fed with all that an outside reader saw. */
export function judgeOutputs(
  expected: Expectation,
  sums: Iterable<Output>,
  counts: Iterable<Output>,
): readonly [NoLoss, NoDuplicate, InOrder] {
  const [loss, duplicate, order] = [new NoLoss(expected.names), new NoDuplicate(expected.names), new InOrder()]
  for (const [output, key, position] of outputsOf(expected, sums, counts)) {
    loss.saw(output)
    duplicate.saw(output)
    if (position !== null) order.saw(key, position)
  }
  return [loss, duplicate, order]
}

/** What an outside reader saw against the expectation; empty when both are the same. */
export const differences = (expected: Expectation, sums: Iterable<Output>, counts: Iterable<Output>): string[] =>
  broken(...judgeOutputs(expected, sums, counts))
