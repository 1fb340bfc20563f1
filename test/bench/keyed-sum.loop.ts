/**
 * The speed limit: the same work by hand, without an engine. Fetch, JSON, sum in a Map, transactional produce, a commit
 * every second; one thread, no shuffle, no state beyond the Map, no recovery. Prints one JSON line about itself.
 */
import { Measured, Sums, loopArguments, readOrders, type Amounts } from './lib/by-hand.ts'

const sums = new Sums({ ...loopArguments(), thread: 0, parallelism: 1 })
await sums.open()
const measured = new Measured()
let batch: Amounts = { keys: [], amounts: [], timestamps: [] }
const records = await readOrders(
  sums.source,
  (user, amount, timestamp) => {
    batch.keys.push(user)
    batch.amounts.push(amount)
    batch.timestamps.push(timestamp)
  },
  () => {
    const read = batch
    batch = { keys: [], amounts: [], timestamps: [] }
    return sums.add(read)
  },
)
await sums.commit()
measured.tell(records)
process.exit(0)
