/** Average price per category of the auctions that are over, each time one is: a figure per moment, in the order of event time. */
import { mapState, valueState, type Out } from '@weir/sdk'
import type { Query } from '../job.ts'
import { winners } from './winners.ts'

export interface CategoryAverage {
  readonly category: number
  readonly auctions: number
  readonly averageMinor: number
  /** The moment, ms since 1970. */
  readonly at: number
}

export const q4: Query = ({ events }) =>
  winners(events)
    .keyBy((winner) => winner.category, 'by-category')
    .process('average', {
      state: {
        total: valueState({ initial: { sum: 0, count: 0 } }),
        at: mapState<number, { sum: number; count: number }>(),
      },
      timers: { moment: 'event' },
      onRecord({ state, timers, timestamp }, { priceMinor }) {
        const { sum, count } = state.at.get(timestamp) ?? { sum: 0, count: 0 }
        state.at.set(timestamp, { sum: sum + priceMinor, count: count + 1 })
        timers.moment.set(timestamp)
      },
      onTimer({ key, state }, { time }, out: Out<CategoryAverage>) {
        const more = state.at.get(time)!
        state.at.delete(time)
        const { sum, count } = state.total.get()
        const total = { sum: sum + more.sum, count: count + more.count }
        state.total.set(total)
        const averageMinor = Math.floor(total.sum / total.count)
        out.emit({ category: Number(key), auctions: total.count, averageMinor, at: time })
      },
    })
