/**
 * The speed limit with a shuffle: two threads, each reads half of the partitions and sums half of the users. What is the other's
 * goes over a MessagePort in batches of 2,000, packed and transferred, at most 8 on the way. No engine, no barriers, no recovery.
 */
import { MessageChannel, Worker, isMainThread, parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { Packr } from 'msgpackr'
import { Measured, Sums, loopArguments, readOrders, type Amounts, type LoopOptions } from './lib/by-hand.ts'

const BATCH = 2_000
const CREDITS = 8
/** What the other thread says: a packed batch, room for one more, or that no more will come. */
type Said = Uint8Array | 'credit' | 'end'

interface Half {
  readonly options: LoopOptions
  readonly port: MessagePort
}
const none = (): Amounts => ({ keys: [], amounts: [], timestamps: [] })
const isMine = (user: string, thread: number): boolean => {
  let hash = 0x811c9dc5
  for (let i = 0; i < user.length; i++) hash = Math.imul(hash ^ user.charCodeAt(i), 0x01000193)
  return ((hash ^ (hash >>> 15)) & 1) === thread
}

async function half({ options, port }: Half): Promise<number> {
  const { thread } = options
  const sums = new Sums(options)
  await sums.open()
  const packr = new Packr({ useRecords: false })
  let credits = CREDITS
  let credited = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  /** Both threads' records are added in turn. */
  let adding: Promise<void> = Promise.resolve()
  const add = (amounts: Amounts): Promise<void> => (adding = adding.then(() => sums.add(amounts)))
  port.on('message', (said: Said) => {
    if (said === 'end') ended.resolve(adding)
    else if (said === 'credit') {
      credits++
      credited.resolve()
    } else {
      const [keys, amounts, timestamps] = packr.unpack(said) as [string[], number[], number[]]
      void add({ keys, amounts, timestamps }).then(() => port.postMessage('credit'), ended.reject)
    }
  })
  const full: Amounts[] = []
  const send = async (): Promise<void> => {
    for (let next = full.shift(); next !== undefined; next = full.shift()) {
      while (credits === 0) {
        await credited.promise
        credited = Promise.withResolvers()
      }
      credits--
      const packed = Uint8Array.from(packr.pack([next.keys, next.amounts, next.timestamps]))
      port.postMessage(packed, [packed.buffer])
    }
  }
  let [mine, others] = [none(), none()]
  const records = await readOrders(
    sums.source,
    (user, amount, timestamp) => {
      const to = isMine(user, thread) ? mine : others
      to.keys.push(user)
      to.amounts.push(amount)
      to.timestamps.push(timestamp)
      if (others.keys.length < BATCH) return
      full.push(others)
      others = none()
    },
    async () => {
      const read = mine
      mine = none()
      await Promise.all([add(read), send()])
    },
  )
  full.push(others)
  await send()
  port.postMessage('end')
  await ended.promise
  await sums.commit()
  return records
}

if (isMainThread) {
  const { port1, port2 } = new MessageChannel()
  const options = loopArguments()
  const of = (thread: number, port: MessagePort): Half => ({ options: { ...options, thread, parallelism: 2 }, port })
  const measured = new Measured()
  const other = new Worker(new URL(import.meta.url), { workerData: of(1, port2), transferList: [port2] })
  const others = new Promise<number>((resolve, reject) => other.once('message', resolve).once('error', reject))
  const records = await Promise.all([half(of(0, port1)), others])
  measured.tell(records[0] + records[1])
  process.exit(0)
} else {
  parentPort!.postMessage(await half(workerData as Half))
}
