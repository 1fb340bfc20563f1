/** An outbox of payments: its rows are summed by account into a table of the same database. */
import { job, params, postgres } from '@weir/sdk'

const p = params({ schema: 'weir' })
const url = 'env:WEIR_E2E_POSTGRES'

export default job(
  'changes',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 500, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) =>
    flow
      .from(postgres.changes({ url, publication: p.schema, slot: p.schema }), 'outbox')
      .map((change) => change.after as { account: string; amount_minor: number }, 'rows')
      .keyBy((row) => row.account, 'by-account')
      .reduce('balance', { sum: 0, count: 0 }, (total, row) => ({
        sum: total.sum + row.amount_minor,
        count: total.count + 1,
      }))
      .to(
        postgres.sink(`${p.schema}.balances`, {
          url,
          columns: { account: '$key', sum_minor: 'sum', payments: 'count' },
          key: ['account'],
        }),
        'balances',
      ),
)
