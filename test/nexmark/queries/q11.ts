/** Sessions of bidders: bids of one that are less than the gap apart. */
import { session } from '@weir/sdk'
import type { Query } from '../job.ts'
import { SESSION_GAP_MS, isBid } from '../model.ts'

export interface BidderSession {
  readonly bidder: number
  readonly start: number
  readonly end: number
  readonly bids: number
}

export const q11: Query = ({ events }) =>
  events
    .filter(isBid)
    .keyBy((bid) => bid.bidder)
    .window(session(SESSION_GAP_MS))
    .aggregate('session', {
      initial: { bidder: 0, bids: 0 },
      add: ({ bids }, { bidder }) => ({ bidder, bids: bids + 1 }),
      merge: (earlier, later) => ({ bidder: later.bidder, bids: earlier.bids + later.bids }),
    })
    .map(({ start, end, value }): BidderSession => ({ ...value, start, end }))
