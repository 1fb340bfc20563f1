/** Two topics of orders as one, priced by rules that every subtask is told, and put together with what was paid for them. */
import { broadcastState, job, json, kafka, listState, params, valueState, type Out } from '@weir/sdk'
import type { Order } from './orders.ts'

export interface Rule {
  readonly kind: number
  readonly percent: number
  readonly ts: number
}
export interface Paid {
  readonly id: number
  readonly ts: number
}
interface Fee {
  readonly id: number
  readonly feeMinor: number
}
export const KINDS = 10

const p = params({ web: 'web', shop: 'shop', rules: 'rules', paid: 'paid', settled: 'settled', rate: Number })
const read = { until: 'latest', outOfOrder: '1s' } as const

export default job(
  'fees',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 300, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const ordersFrom = (topic: string, uid: string) =>
      flow.from(
        kafka.topic(topic, { value: json<Order>(), timestamp: ({ ts }) => ts, recordsPerSecond: p.rate, ...read }),
        uid,
      )
    const rules = flow
      .from(kafka.topic(p.rules, { value: json<Rule>(), timestamp: ({ ts }) => ts, ...read }), 'rules')
      .broadcast('all-rules')
    const fees = ordersFrom(p.web, 'web')
      .union(ordersFrom(p.shop, 'shop'))
      .keyBy((order) => order.user, 'by-user')
      .connect(rules)
      // An order waits for its event time: every rule from before it has been heard then, in whatever order they came.
      .process('fees', {
        broadcast: { percents: broadcastState<number, number>() },
        state: { waiting: listState<Order>() },
        timers: { due: 'event' },
        onBroadcast: ({ broadcast }, rule: Rule) => broadcast.percents.set(rule.kind, rule.percent),
        onRecord({ state, timers, timestamp }, order: Order) {
          state.waiting.add(order)
          timers.due.set(timestamp)
        },
        onTimer({ state, broadcast }, { time }, out: Out<Fee>) {
          const due = state.waiting.get().filter(({ ts }) => ts <= time)
          state.waiting.set(state.waiting.get().filter(({ ts }) => ts > time))
          for (const { id, amountMinor } of due)
            out.emit({ id, feeMinor: Math.floor((amountMinor * broadcast.percents.get(id % KINDS)!) / 100) })
        },
      })
      .keyBy(({ id }) => id, 'fees-by-id')
    const paid = flow
      .from(
        kafka.topic(p.paid, { value: json<Paid>(), timestamp: ({ ts }) => ts, recordsPerSecond: p.rate, ...read }),
        'paid',
      )
      .keyBy(({ id }) => id, 'paid-by-id')
    fees
      .connect(paid)
      .process('settle', {
        state: { fee: valueState<number>(), isPaid: valueState({ initial: false }) },
        onLeft({ state }, { id, feeMinor }, out: Out<Fee>) {
          if (state.isPaid.get()) out.emit({ id, feeMinor })
          else state.fee.set(feeMinor)
        },
        onRight({ state }, { id }, out: Out<Fee>) {
          const feeMinor = state.fee.get()
          if (feeMinor === undefined) state.isPaid.set(true)
          else out.emit({ id, feeMinor })
        },
      })
      .to(kafka.sink(p.settled), 'settled')
  },
)
