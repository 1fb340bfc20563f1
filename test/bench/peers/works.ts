/** What every contender does, what is fed, and what an outside reader must find. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { amountOf, order, userOf } from '../lib/orders.ts'

export type Work = 'sum' | 'filter' | 'window'
export const WORKS: readonly Work[] = ['sum', 'filter', 'window']

/** What is fed. Amounts repeat after 10,000 orders: with a multiple of that as users, all orders of a user have the same. */
export interface Orders {
  readonly count: number
  readonly users: number
  readonly partitions: number
}
export const USUAL = { users: 10_000, partitions: 4 }
/** Of one window over all users: the number of orders is a multiple of it. */
export const WINDOW_ORDERS = 100_000
const WINDOW_MS = 10_000
const ORDERS_PER_USER_AND_WINDOW = WINDOW_ORDERS / USUAL.users
const CHUNK_LINES = 2_000

export const outputsOf = (work: Work, count: number): number => {
  if (work === 'sum') return count
  return work === 'filter' ? count / 2 : (count / WINDOW_ORDERS - 1) * USUAL.users // the last window stays open
}

/** Keyed by user, whose orders are all in one partition. */
export async function feedAll(brokers: string, topic: string, { count, users, partitions }: Orders): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    const args = ['-b', brokers, '-P', '-t', topic, '-p', String(partition), '-K', '|', '-z', 'lz4']
    const kcat = spawn('kcat', [...args, '-X', 'enable.idempotence=true'], { stdio: ['pipe', 'ignore', 'inherit'] })
    const exited = once(kcat, 'exit')
    let lines: string[] = []
    for (let id = 0; id < count; id++) {
      if (userOf(id, users) % partitions !== partition) continue
      lines.push(line(id, users))
      if (lines.length < CHUNK_LINES) continue
      if (!kcat.stdin.write(lines.join(''))) await once(kcat.stdin, 'drain')
      lines = []
    }
    kcat.stdin.end(lines.join(''))
    const [status] = (await exited) as [number]
    if (status !== 0) throw new Error(`kcat could not feed ${topic}: it ended with ${status}`)
  }
}
export const line = (id: number, users: number): string => `user-${userOf(id, users)}|${order(id, users)}\n`

/** Throws naming the first output that is not as it must be, or how many are missing. Reads as librdkafka does, read_committed. */
export async function verify(brokers: string, topic: string, work: Work, orders: Orders): Promise<void> {
  const check = CHECKS[work](orders)
  const read = ['-b', brokers, '-C', '-t', topic, '-e', '-q', '-o', 'beginning', '-f', '%k\t%s\n']
  const kcat = spawn('kcat', [...read, '-X', 'isolation.level=read_committed'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let count = 0
  try {
    for await (const text of createInterface({ input: kcat.stdout })) {
      const tab = text.indexOf('\t')
      const user = Number(text.slice('user-'.length, tab))
      if (!check(user, text.slice(tab + 1))) throw new Error(`output ${count} is wrong or there twice: ${text}`)
      count++
    }
  } finally {
    kcat.kill('SIGKILL')
  }
  const expected = outputsOf(work, orders.count)
  if (count !== expected) throw new Error(`${expected} outputs were expected, an outside reader found ${count}`)
}

const isFirst = (seen: Uint8Array, at: number): boolean => seen[at] === 0 && (seen[at] = 1) === 1

type Check = (user: number, value: string) => boolean
const CHECKS: Readonly<Record<Work, (orders: Orders) => Check>> = {
  /** A user's sums come in order: they are in one partition. */
  sum({ users }) {
    const counts = new Int32Array(users)
    const amounts = new Int32Array(users)
    for (let id = 0; id < users; id++) amounts[userOf(id, users)] = amountOf(id)
    return (user, value) => Number(value) === ++counts[user]! * amounts[user]!
  },
  filter({ count, users }) {
    const seen = new Uint8Array(count)
    return (user, value) => {
      const { id, amountMinor } = JSON.parse(value) as { id: number; amountMinor: number }
      const isItsOwn = userOf(id, users) === user && amountOf(id) % 2 === 0
      return isItsOwn && amountMinor === amountOf(id) * 2 && isFirst(seen, id)
    }
  },
  window({ count, users }) {
    const seen = new Uint8Array((count / WINDOW_ORDERS) * users)
    return (user, text) => {
      const { start, value } = JSON.parse(text) as { start: number; value: number }
      const at = (start / WINDOW_MS) * users + user
      return value === ORDERS_PER_USER_AND_WINDOW && isFirst(seen, at)
    }
  },
}
