/** Average price of a seller's last ten auctions, each time one is over, in the order of event time. */
import { listState, mapState, type Out } from '@weir/sdk'
import type { Query } from '../job.ts'
import { winners } from './winners.ts'

const LAST = 10

export interface SellerAverage {
  readonly seller: number
  readonly auction: number
  readonly averageMinor: number
}

export const q6: Query = ({ events }) =>
  winners(events)
    .keyBy((winner) => winner.seller, 'by-seller')
    .process('average', {
      state: {
        last: listState<number>(),
        /** Of the moment that is not over yet: `moment/auction` → price. */
        over: mapState<string, number>(),
      },
      timers: { moment: 'event' },
      onRecord({ state, timers, timestamp }, { auction, priceMinor }) {
        state.over.set(`${timestamp}/${auction}`, priceMinor)
        timers.moment.set(timestamp)
      },
      onTimer({ key, state }, { time }, out: Out<SellerAverage>) {
        const ended = [...state.over]
          .filter(([at]) => at.startsWith(`${time}/`))
          .map(([at, price]) => [Number(at.split('/')[1]), price] as const)
        for (const [auction, price] of ended.sort(([a], [b]) => a - b)) {
          state.over.delete(`${time}/${auction}`)
          state.last.add(price)
          state.last.keepLast(LAST)
          const last = state.last.get()
          const averageMinor = Math.floor(last.reduce((sum, minor) => sum + minor, 0) / last.length)
          out.emit({ seller: Number(key), auction, averageMinor })
        }
      },
    })
