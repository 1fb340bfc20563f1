/** Hot items: the auctions with most bids of the last 10 s, every 2 s. */
import { mapState, sliding, type Out } from '@weir/sdk'
import type { Query } from '../job.ts'
import { HOP_MS, WINDOW_MS, isBid } from '../model.ts'

export interface HotItem {
  readonly auction: number
  readonly bids: number
  readonly start: number
}

export const q5: Query = ({ events }) =>
  events
    .filter(isBid)
    .keyBy((bid) => bid.auction)
    .window(sliding(WINDOW_MS, HOP_MS))
    .aggregate('bids', {
      initial: { auction: 0, bids: 0 },
      add: ({ bids }, { auction }) => ({ auction, bids: bids + 1 }),
      merge: (earlier, later) => ({ auction: later.auction, bids: earlier.bids + later.bids }),
    })
    .map(({ start, value }): HotItem => ({ ...value, start }))
    .keyBy((item) => item.start, 'by-window')
    .process('hottest', {
      state: { items: mapState<number, number>() },
      timers: { over: 'event' },
      onRecord({ state, timers }, { auction, bids, start }) {
        state.items.set(auction, bids)
        timers.over.set(start + WINDOW_MS)
      },
      onTimer({ key, state }, _timer, out: Out<HotItem>) {
        const items = [...state.items]
        const most = Math.max(...items.map(([, bids]) => bids))
        for (const [auction, bids] of items) if (bids === most) out.emit({ auction, bids, start: Number(key) })
        state.items.clear()
      },
    })
