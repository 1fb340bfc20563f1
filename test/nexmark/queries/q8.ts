/** New users: who registered and opened an auction within the same 10 s, with each auction. */
import { tumbling } from '@weir/sdk'
import type { Query } from '../job.ts'
import { WINDOW_MS, isAuction, isPerson } from '../model.ts'

export const q8: Query = ({ events }) =>
  events
    .filter(isPerson)
    .keyBy((person) => person.id)
    .join(events.filter(isAuction).keyBy((auction) => auction.seller))
    .window(tumbling(WINDOW_MS))
    .inner('new-users', ({ id, name }, auction, { start }) => ({ id, name, auction: auction.id, start }))
