/** Paid orders into one table, each by its name; the running sum per user into another, replaced by its key. */
import { params, job, postgres } from '@weir/sdk'
import { paidOrders } from './order-parts.ts'

const p = params({ orders: 'orders', schema: 'weir', rate: Number })
const url = 'env:WEIR_E2E_POSTGRES'

export default job(
  'to-postgres',
  {
    parallelism: 4,
    checkpoint: { intervalMs: 500, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const paid = paidOrders(flow, p)
    const columns = { id: 'id', customer: 'user', amount_minor: 'amountMinor', at: '$timestamp' }
    paid.to(postgres.sink(`${p.schema}.paid`, { url, columns, origin: 'weir_origin' }), 'paid-rows')
    paid
      .keyBy((order) => order.user, 'by-user')
      .reduce('balance', { sum: 0, count: 0 }, (total, order) => ({
        sum: total.sum + order.amountMinor,
        count: total.count + 1,
      }))
      .to(
        postgres.sink(`${p.schema}.totals`, {
          url,
          columns: { customer: '$key', sum_minor: 'sum', orders: 'count' },
          key: ['customer'],
        }),
        'totals',
      )
  },
)
