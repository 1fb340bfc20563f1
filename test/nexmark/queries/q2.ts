/** Selection: bids on auctions of certain ids. */
import type { Query } from '../job.ts'
import { isBid } from '../model.ts'

const EVERY = 7

export const q2: Query = ({ events }) =>
  events
    .filter(isBid)
    .filter((bid) => bid.auction % EVERY === 0)
    .map(({ auction, priceMinor }) => ({ auction, priceMinor }))
