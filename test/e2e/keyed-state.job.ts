/** The main job written with state and timers of its own, so that the same recount judges it; and one reminder per user. */
import {
  aggregatingState,
  job,
  json,
  kafka,
  listState,
  mapState,
  params,
  valueState,
  type Out,
  type WindowResult,
} from '@weir/sdk'
import type { Order } from './orders.ts'

const p = params({ orders: 'orders', sums: 'sums', counts: 'counts', reminders: 'reminders', rate: Number })
const WINDOW_MS = 10_000
const REMIND_MS = 1_000

interface Sum {
  readonly sum: number
  readonly count: number
}

export default job(
  'keyed-state',
  {
    parallelism: 2,
    checkpoint: { intervalMs: 300, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const paid = flow
      .from(
        kafka.topic(p.orders, {
          value: json<Order>(),
          timestamp: (order) => order.ts,
          outOfOrder: '1m',
          until: 'latest',
          recordsPerSecond: p.rate,
        }),
        'orders',
      )
      .filter((order) => order.status === 'PAID', 'paid')
      .keyBy((order) => order.user, 'by-user')
    paid
      .process('balance', {
        state: {
          total: aggregatingState({
            initial: { sum: 0, count: 0 },
            add: ({ sum, count }, amount: number) => ({ sum: sum + amount, count: count + 1 }),
            result: (total) => total,
          }),
          last: listState<number>({ ttl: '1d' }),
        },
        onRecord({ state }, { amountMinor }, out: Out<Sum>) {
          state.total.add(amountMinor)
          state.last.add(amountMinor)
          state.last.keepLast(3)
          const total = state.total.get()!
          // The list says the same as the sum, or something was lost or came twice.
          if (state.last.get().length !== Math.min(total.count, 3)) throw new Error('list and sum differ')
          out.emit(total)
        },
      })
      .to(kafka.sink(p.sums), 'sums')
    paid
      .process('per-10s', {
        state: { windows: mapState<number, number>({ ttl: '10m' }) },
        timers: { close: 'event' },
        onRecord({ state, timers, timestamp }, _order) {
          const end = timestamp - (timestamp % WINDOW_MS) + WINDOW_MS
          state.windows.set(end, (state.windows.get(end) ?? 0) + 1)
          timers.close.set(end)
        },
        onTimer({ state }, { time }, out: Out<WindowResult<number>>) {
          out.emit({ start: time - WINDOW_MS, end: time, value: state.windows.get(time)! }, time - 1)
          state.windows.delete(time)
        },
      })
      .to(kafka.sink(p.counts), 'counts')
    paid
      .process('reminder', {
        state: { seen: valueState({ initial: false }) },
        timers: { remind: 'processing' },
        onRecord({ state, timers }, _order) {
          if (state.seen.get()) return
          state.seen.set(true)
          timers.remind.set(timers.remind.now() + REMIND_MS)
        },
        onTimer: ({ key }, _timer, out: Out<string>) => out.emit(String(key)),
      })
      .to(kafka.sink(p.reminders), 'reminders')
  },
)
