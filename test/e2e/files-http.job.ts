/** Orders in a folder into files of two formats, and those of every tenth user to an HTTP endpoint. */
import { http, job, json, ndjson, parquet, params } from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({
  folder: 'file:///orders/',
  lines: 'file:///lines/',
  table: 'file:///table/',
  url: 'http://localhost',
  /** A reference. */
  authorization: 'env:WEIR_E2E_AUTHORIZATION',
  rate: Number,
})

export default job(
  'files-http',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 300, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const paid = flow
      .from(
        ndjson.folder(p.folder, {
          value: json<Order>(),
          timestamp: (order) => order.ts,
          splits: 3,
          recordsPerSecond: p.rate,
        }),
        'orders',
      )
      .filter((order) => order.status === 'PAID', 'paid')
    paid.to(ndjson.sink(p.lines), 'lines')
    const columns = { id: 'INT32', customer: { type: 'STRING', from: 'user' }, amountMinor: 'INT64' } as const
    paid.to(parquet.sink(p.table, { columns }), 'table')
    paid
      .filter((order) => order.id % 20 === 0, 'told')
      .to(http.sink(p.url, { authorization: p.authorization }), 'endpoint')
  },
)
