/** Orders and payments whose pairs can be counted without the engine: loops over all there are of an order. */
export interface Placed {
  readonly orderId: string
  readonly ts: number
}
export interface Payment {
  readonly id: string
  readonly orderId: string
  readonly ts: number
}

const START = 1_700_000_000_000
/** left + lower ≤ right ≤ left + upper */
export const LOWER_MS = -2_000
export const UPPER_MS = 5_000
export const WINDOW_MS = 10_000
/** Records are out of order by less, in their topic. */
const JITTER_MS = 900

const jitter = (n: number): number => (n * 7919) % JITTER_MS

/** An order has none, one or two payments, some of them too early or too late to match. */
export function partsOf(orders: number): { readonly orders: Placed[]; readonly payments: Payment[] } {
  const placed = Array.from({ length: orders }, (_, i) => ({ orderId: `o${i}`, ts: START + i * 10 + jitter(i) }))
  const payments = placed.flatMap(({ orderId, ts }, i) =>
    Array.from({ length: i % 3 }, (_, nth) => {
      const delay = ((i * 131 + nth * 4_999) % 11_000) - 4_000
      return { id: `${orderId}.${nth}`, orderId, ts: ts + delay }
    }),
  )
  // As it came: in the order of time, give or take.
  return { orders: placed, payments: payments.sort((a, b) => a.ts + jitter(a.ts) - b.ts - jitter(b.ts)) }
}

const windowOf = (ts: number): number => ts - (ts % WINDOW_MS)

/** One word per output there must be. */
export function expectedPairs({ orders, payments }: ReturnType<typeof partsOf>): {
  matched: string[]
  pairs: string[]
} {
  const byOrder = Map.groupBy(payments, ({ orderId }) => orderId)
  const matched: string[] = []
  const pairs: string[] = []
  for (const { orderId, ts } of orders) {
    const own = byOrder.get(orderId) ?? []
    for (const { id, ts: paidAt } of own) {
      if (ts + LOWER_MS <= paidAt && paidAt <= ts + UPPER_MS) matched.push(`${orderId} ${id}`)
      pairs.push(`${windowOf(paidAt) === windowOf(ts) ? orderId : null} ${id} ${windowOf(paidAt)}`)
    }
    if (own.every(({ ts: paidAt }) => windowOf(paidAt) !== windowOf(ts))) pairs.push(`${orderId} null ${windowOf(ts)}`)
  }
  return { matched: matched.sort(), pairs: pairs.sort() }
}
