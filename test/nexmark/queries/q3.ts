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

export const q3: Query = ({ events }) => {
  const people = events.filter(isPerson).filter((person) => STATES.includes(person.state))
  const auctions = events.filter(isAuction).filter((auction) => auction.category === CATEGORY)
  return people
    .keyBy((person) => person.id)
    .connect(auctions.keyBy((auction) => auction.seller))
    .process('local-items', {
      state: { seller: valueState<Person>(), waiting: listState<Auction>() },
      onLeft({ state }, person, out: Out<LocalItem>) {
        state.seller.set(person)
        for (const auction of state.waiting) out.emit(itemOf(person, auction))
        state.waiting.clear()
      },
      onRight({ state }, auction, out: Out<LocalItem>) {
        const seller = state.seller.get()
        if (seller === undefined) state.waiting.add(auction)
        else out.emit(itemOf(seller, auction))
      },
    })
}
