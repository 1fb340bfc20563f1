/** Orders whose results can be recounted without the engine. */
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
  return { outputs, sums, windows }
}

/** What an outside reader saw against the expectation; empty when both are the same. */
export function differences(
  expected: Expectation,
  sums: readonly (readonly [string, unknown])[],
  counts: readonly (readonly [string, unknown])[],
): string[] {
  const found: string[] = []
  if (sums.length !== expected.outputs) found.push(`${sums.length} sums, expected ${expected.outputs}`)
  // Every count of a user must be there once, and in order: a lost, repeated or swapped output shows here.
  const last = new Map<string, { sum: number; count: number }>()
  for (const [user, value] of sums) {
    const now = value as { sum: number; count: number }
    const before = last.get(user)?.count ?? 0
    if (now.count !== before + 1) found.push(`${user}: count ${now.count} after ${before}`)
    last.set(user, now)
  }
  for (const [user, { sum, count }] of expected.sums) {
    const got = last.get(user)
    if (got?.sum !== sum || got.count !== count) found.push(`${user}: ${JSON.stringify(got)}, expected ${sum}/${count}`)
  }
  const windows = new Map<string, number>()
  for (const [user, value] of counts) {
    const { start, value: n } = value as { start: number; value: number }
    const key = `${user}@${start}`
    if (windows.has(key)) found.push(`window ${key} twice`)
    windows.set(key, n)
  }
  for (const [key, n] of expected.windows) {
    if (windows.get(key) !== n) found.push(`window ${key}: ${windows.get(key)}, expected ${n}`)
  }
  if (windows.size !== expected.windows.size) found.push(`${windows.size} windows, expected ${expected.windows.size}`)
  return found.slice(0, 20)
}
