/** The highest bids of every 10 s: all that have the highest price. */
import { tumbling } from '@weir/sdk'
import type { Query } from '../job.ts'
import { WINDOW_MS, isBid, type Bid } from '../model.ts'

export const q7: Query = ({ events }) =>
  events
    .filter(isBid)
    .keyBy(() => 'all')
    .window(tumbling(WINDOW_MS))
    .reduce('highest', [] as readonly Bid[], (highest, bid) => {
      const price = highest[0]?.priceMinor ?? -1
      return bid.priceMinor > price ? [bid] : bid.priceMinor === price ? [...highest, bid] : highest
    })
    .flatMap(({ value }) => value)
