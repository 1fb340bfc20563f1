/** The main job with a checkpoint every 400 ms; what a scenario wants to vary is a parameter. */
import { job, params } from '@weir/sdk'
import { paidOrders, sumsAndCounts } from '../e2e/order-parts.ts'

const p = params({
  orders: 'orders',
  sums: 'sums',
  counts: 'counts',
  rate: Number,
  /** Ends with the input there was at the start. */
  bounded: true,
  intervalMs: 400,
  alignTimeoutMs: 3_000,
  transactionTimeoutMs: 120_000,
  recoveryBudgetMs: 60_000,
  toleratedAborts: 3,
})

export default job(
  'chaos',
  {
    parallelism: 4,
    checkpoint: {
      intervalMs: p.intervalMs,
      minPauseMs: 100,
      everyRecords: null,
      alignTimeoutMs: p.alignTimeoutMs,
      toleratedAborts: p.toleratedAborts,
    },
    transactionTimeoutMs: p.transactionTimeoutMs,
    recoveryBudgetMs: p.recoveryBudgetMs,
  },
  (flow) =>
    sumsAndCounts(
      paidOrders(flow, p).keyBy((order) => order.user, 'by-user'),
      p,
    ),
)
