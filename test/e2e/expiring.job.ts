/** The main job with transactions that expire soon: nothing tolerated, short timeouts. */
import { job, params } from '@weir/sdk'
import { paidOrders, sumsAndCounts } from './order-parts.ts'

const p = params({
  orders: 'orders',
  sums: 'sums',
  counts: 'counts',
  rate: Number,
  transactionTimeoutMs: 6_000,
  alignTimeoutMs: 2_500,
  onLost: 'heal',
})

export default job(
  'expiring',
  {
    parallelism: 2,
    checkpoint: {
      intervalMs: 500,
      minPauseMs: 100,
      everyRecords: null,
      alignTimeoutMs: p.alignTimeoutMs,
      toleratedAborts: 0,
    },
    transactionTimeoutMs: p.transactionTimeoutMs,
    recoveryBudgetMs: 3_000,
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) =>
    sumsAndCounts(
      paidOrders(flow, p).keyBy((order) => order.user, 'by-user'),
      { ...p, onLost: p.onLost as 'heal' | 'fail' },
    ),
)
