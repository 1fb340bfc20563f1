/** Sums of paid orders per user. Version 1 keeps one sum, version 2 one per currency; `steps: false` forgets how to read version 1. */
import { job, json, kafka, params, stateSchema, type Stream } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({ orders: 'orders', sums: 'sums', rate: Number, version: Number, steps: true })

interface Total1 {
  readonly sum: number
  readonly count: number
}
interface Total2 {
  readonly sums: Readonly<Record<string, number>>
  readonly count: number
}
const total2 = p.steps
  ? stateSchema<Total1>('total').next(({ sum, count }): Total2 => ({ sums: { EUR: sum }, count }))
  : stateSchema<Total2>('total', 2)

export default job(
  'schema',
  { parallelism: 2, checkpoint: { intervalMs: 500, minPauseMs: 100, everyRecords: null } },
  (flow) => {
    const byUser = flow
      .from(kafka.topic(p.orders, { value: json<Order>(), timestamp: (o) => o.ts, recordsPerSecond: p.rate }), 'orders')
      .filter((order) => order.status === 'PAID', 'paid')
      .keyBy((order) => order.user, 'by-user')
    const totals: Stream<Total1> =
      p.version === 1
        ? byUser.reduce('balance', { sum: 0, count: 0 }, ({ sum, count }, order) => ({
            sum: sum + order.amountMinor,
            count: count + 1,
          }))
        : byUser
            .reduce(
              'balance',
              { sums: {}, count: 0 } as Total2,
              ({ sums, count }, order) => ({
                sums: { ...sums, EUR: (sums['EUR'] ?? 0) + order.amountMinor },
                count: count + 1,
              }),
              { schema: total2 },
            )
            .map(({ sums, count }) => ({ sum: sums['EUR'] ?? 0, count }), 'flat')
    totals.to(kafka.sink(p.sums), 'sums')
  },
)
