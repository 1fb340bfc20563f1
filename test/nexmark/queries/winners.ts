/**
 * The winning bid of every auction, at the moment it is over: the highest, the earlier of equal ones, of bids between its begin
 * and its end. A bid may come before its auction; what comes behind the end counts for nothing.
 */
import { listState, valueState, type Out, type Stream } from '@weir/sdk'
import { isAuction, isBid, type Auction, type Bid, type Event, type Winner } from '../model.ts'

const beats = (bid: Bid, best: Bid | null): boolean =>
  best === null ||
  bid.priceMinor > best.priceMinor ||
  (bid.priceMinor === best.priceMinor && (bid.ts < best.ts || (bid.ts === best.ts && bid.bidder < best.bidder)))

/** Keyed by what the caller wants. The event time of a winner is the first ms behind its auction. */
export const winners = (events: Stream<Event>): Stream<Winner> =>
  events
    .filter((event): event is Auction | Bid => isAuction(event) || isBid(event))
    .keyBy((event) => (isAuction(event) ? event.id : event.auction))
    .process('winners', {
      state: { auction: valueState<Auction>(), bids: listState<Bid>(), isOver: valueState({ initial: false }) },
      timers: { over: 'event' },
      onRecord({ state, timers, watermark }, event) {
        if (state.isOver.get()) return
        if (isBid(event)) return state.bids.add(event)
        if (event.expires < watermark) return // it was over before anybody knew of it
        state.auction.set(event)
        timers.over.set(event.expires + 1)
      },
      onTimer({ state }, _timer, out: Out<Winner>) {
        const { id, category, seller, ts, expires } = state.auction.get()!
        let best: Bid | null = null
        for (const bid of state.bids) if (bid.ts >= ts && bid.ts <= expires && beats(bid, best)) best = bid
        state.bids.clear()
        state.auction.clear()
        state.isOver.set(true)
        if (best !== null) out.emit({ auction: id, category, seller, priceMinor: best.priceMinor })
      },
    })
