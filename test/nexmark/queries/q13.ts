/** Every bid with what a bounded side input knows of its auction. A bid that is there before its row waits for it. */
import { listState, valueState, type Out } from '@weir/sdk'
import type { Query } from '../job.ts'
import { SIDE_ROWS, isBid, type Bid } from '../model.ts'

export interface KnownBid {
  readonly auction: number
  readonly bidder: number
  readonly priceMinor: number
  readonly value: string
}
const known = ({ auction, bidder, priceMinor }: Bid, value: string): KnownBid => ({
  auction,
  bidder,
  priceMinor,
  value,
})

export const q13: Query = ({ events, side }) =>
  events
    .filter(isBid)
    .keyBy((bid) => bid.auction % SIDE_ROWS)
    .connect(side().keyBy((row) => row.key))
    .process('side-input', {
      state: { value: valueState<string>(), waiting: listState<Bid>() },
      onLeft({ state }, bid, out: Out<KnownBid>) {
        const value = state.value.get()
        if (value === undefined) state.waiting.add(bid)
        else out.emit(known(bid, value))
      },
      onRight({ state }, { value }, out: Out<KnownBid>) {
        state.value.set(value)
        for (const bid of state.waiting) out.emit(known(bid, value))
        state.waiting.clear()
      },
    })
