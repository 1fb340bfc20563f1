/** What every contender does, what is fed, and what an outside reader must find. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { order } from '../lib/orders.ts'

export type Work = 'sum' | 'filter' | 'window'
export const WORKS: readonly Work[] = ['sum', 'filter', 'window']

export const PARTITIONS = 4
export const USERS = 10_000
/** Of one window over all users: the number of orders is a multiple of it. */
export const WINDOW_ORDERS = 100_000
const WINDOW_MS = 10_000
const ORDERS_PER_USER_AND_WINDOW = WINDOW_ORDERS / USERS
const CHUNK_LINES = 2_000

const userOf = (id: number): number => (id * 7_919) % USERS
const amountOf = (id: number): number => (id * 31) % 10_000
/** All orders of a user have the same amount: ids of a user are 10,000 apart. */
const AMOUNTS = new Map(Array.from({ length: USERS }, (_, id) => [userOf(id), amountOf(id)]))

export const outputsOf = (work: Work, orders: number): number => {
  if (work === 'sum') return orders
  return work === 'filter' ? orders / 2 : (orders / WINDOW_ORDERS - 1) * USERS // the last window stays open
}

/** Keyed by user; order i is in partition i mod 4, which has all orders of its users. */
export async function feedAll(brokers: string, topic: string, orders: number): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const args = ['-b', brokers, '-P', '-t', topic, '-p', String(partition), '-K', '|', '-z', 'lz4']
    const kcat = spawn('kcat', [...args, '-X', 'enable.idempotence=true'], { stdio: ['pipe', 'ignore', 'inherit'] })
    const exited = once(kcat, 'exit')
    let lines: string[] = []
    for (let id = partition; id < orders; id += PARTITIONS) {
      lines.push(line(id))
      if (lines.length < CHUNK_LINES) continue
      if (!kcat.stdin.write(lines.join(''))) await once(kcat.stdin, 'drain')
      lines = []
    }
    kcat.stdin.end(lines.join(''))
    const [status] = (await exited) as [number]
    if (status !== 0) throw new Error(`kcat could not feed ${topic}: it ended with ${status}`)
  }
}
export const line = (id: number): string => `user-${userOf(id)}|${order(id, USERS)}\n`

/** Throws naming the first output that is not as it must be, or how many are missing. Reads as librdkafka does, read_committed. */
export async function verify(brokers: string, topic: string, work: Work, orders: number): Promise<void> {
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
  const expected = outputsOf(work, orders)
  if (count !== expected) throw new Error(`${expected} outputs were expected, an outside reader found ${count}`)
}

const isFirst = (seen: Uint8Array, at: number): boolean => seen[at] === 0 && (seen[at] = 1) === 1

type Check = (user: number, value: string) => boolean
const CHECKS: Readonly<Record<Work, (orders: number) => Check>> = {
  /** A user's sums come in order: they are in one partition. */
  sum() {
    const counts = new Int32Array(USERS)
    return (user, value) => Number(value) === ++counts[user]! * AMOUNTS.get(user)!
  },
  filter(orders) {
    const seen = new Uint8Array(orders)
    return (user, value) => {
      const { id, amountMinor } = JSON.parse(value) as { id: number; amountMinor: number }
      return userOf(id) === user && amountOf(id) % 2 === 0 && amountMinor === amountOf(id) * 2 && isFirst(seen, id)
    }
  },
  window(orders) {
    const seen = new Uint8Array((orders / WINDOW_ORDERS) * USERS)
    return (user, text) => {
      const { start, value } = JSON.parse(text) as { start: number; value: number }
      const at = (start / WINDOW_MS) * USERS + user
      return value === ORDERS_PER_USER_AND_WINDOW && isFirst(seen, at)
    }
  },
}
