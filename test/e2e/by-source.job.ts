/**
 * The main job without a shuffle: orders are partitioned by user already. So it may commit its outputs in the continuous scope,
 * and each subtask is a region of its own.
 */
import { job, params } from '@weir/sdk'
import { paidOrders, sumsAndCounts } from './order-parts.ts'

const p = params({ orders: 'orders', sums: 'sums', counts: 'counts', rate: Number, scope: 'epoch', parallelism: 4 })

export default job(
  'by-source',
  {
    parallelism: p.parallelism,
    commit: p.scope === 'continuous' ? { scope: 'continuous', intervalMs: 100 } : { scope: 'epoch' },
    checkpoint: { intervalMs: 500, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) =>
    sumsAndCounts(
      paidOrders(flow, p).keyedBySource((order) => order.user, 'by-user'),
      p,
    ),
)
