/** Orders that fail in every place a record can fail, until a file says that the world is mended. */
import { job, json, kafka, params } from '@weir/sdk'
import { existsSync } from 'node:fs'

const p = params({ orders: 'orders', out: 'out', dead: 'dead', receipts: 'receipts', rate: Number, mended: 'mended' })

export interface Order {
  readonly id: number
  readonly user: string
}
export const PLACES = { 3: 'orders', 7: 'checked', 11: 'count', 13: 'out' } as Readonly<Record<number, string>>

function failAt(place: string, order: Order): Order {
  if (PLACES[order.id % 500] === place && !existsSync(p.mended)) throw new RangeError(`${place} cannot take it`)
  return order
}
const counted = json<{ readonly last: Order; readonly count: number }>()

export default job(
  'dead-letters',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 500, minPauseMs: 100, everyRecords: null },
    restart: { attempts: 10, delayMs: 200 },
    deadLetters: kafka.sink(p.dead),
    audit: kafka.sink(p.receipts),
  },
  (flow) =>
    flow
      .from(kafka.topic(p.orders, { value: json<Order>(), recordsPerSecond: p.rate }), 'orders')
      .map((order) => failAt('checked', order), 'checked')
      .keyBy((order) => order.user, 'by-user')
      .reduce('count', { last: { id: -1, user: '' } as Order, count: 0 }, ({ count }, order) => ({
        last: failAt('count', order),
        count: count + 1,
      }))
      .to(
        kafka.sink(p.out, {
          value: { ...counted, encode: (v) => counted.encode({ ...v, last: failAt('out', v.last) }) },
        }),
        'out',
      ),
)
