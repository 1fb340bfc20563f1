/** Bids per bidder and 10 s of the clock: windows of processing time. */
import { mapState, type Out } from '@weir/sdk'
import type { Query } from '../job.ts'
import { WINDOW_MS, isBid } from '../model.ts'

export interface BidderCount {
  readonly bidder: number
  readonly start: number
  readonly bids: number
}

export const q12: Query = ({ events }) =>
  events
    .filter(isBid)
    .keyBy((bid) => bid.bidder)
    .process('per-10s', {
      state: { windows: mapState<number, number>() },
      timers: { close: 'processing' },
      onRecord({ state, timers }, _bid) {
        const now = timers.close.now()
        const end = now - (now % WINDOW_MS) + WINDOW_MS
        state.windows.set(end, (state.windows.get(end) ?? 0) + 1)
        timers.close.set(end)
      },
      onTimer({ key, state }, { time }, out: Out<BidderCount>) {
        out.emit({ bidder: Number(key), start: time - WINDOW_MS, bids: state.windows.get(time)! })
        state.windows.delete(time)
      },
    })
