/** Local items: who sells things of category 10 in Oregon, Idaho or California. An unbounded join: either side may come first. */
import { listState, valueState, type Out } from '@weir/sdk'
import type { Query } from '../job.ts'
import { isAuction, isPerson, type Auction, type Person } from '../model.ts'

const STATES = ['OR', 'ID', 'CA']
const CATEGORY = 10

export interface LocalItem {
  readonly name: string
  readonly city: string
  readonly state: string
  readonly auction: number
}
const itemOf = ({ name, city, state }: Person, { id }: Auction): LocalItem => ({ name, city, state, auction: id })

export const q3: Query = ({ events }) =>
  events
    .filter((event): event is Person | Auction =>
      isPerson(event) ? STATES.includes(event.state) : isAuction(event) && event.category === CATEGORY,
    )
    .keyBy((event) => (isPerson(event) ? event.id : event.seller))
    .process('local-items', {
      state: { seller: valueState<Person>(), waiting: listState<Auction>() },
      onRecord({ state }, event, out: Out<LocalItem>) {
        if (isPerson(event)) {
          state.seller.set(event)
          for (const auction of state.waiting) out.emit(itemOf(event, auction))
          return state.waiting.clear()
        }
        const seller = state.seller.get()
        if (seller === undefined) state.waiting.add(event)
        else out.emit(itemOf(seller, event))
      },
    })
