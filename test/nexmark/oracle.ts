/**
 * Every query once more, the dumb way: plain loops over the whole input, nothing of the engine and nothing of the queries. What is
 * late is known from the input: a window is over when the watermark of a portion before has come to its end.
 */
import type { Arrival } from './generator.ts'
import {
  HOP_MS,
  SESSION_GAP_MS,
  WINDOW_MS,
  type Auction,
  type Bid,
  type Event,
  type Person,
  type Side,
} from './model.ts'

interface Input {
  readonly arrivals: readonly Arrival[]
  readonly side: readonly Side[]
}
type Oracle = (input: Input) => unknown[]

const only = <K extends Event['kind']>(
  { arrivals }: Input,
  kind: K,
): (Arrival & { event: Extract<Event, { kind: K }> })[] =>
  arrivals.filter((arrival): arrival is Arrival & { event: Extract<Event, { kind: K }> } => arrival.event.kind === kind)
const bids = (input: Input): Bid[] => only(input, 'bid').map(({ event }) => event)
const startOf = (ts: number): number => Math.floor(ts / WINDOW_MS) * WINDOW_MS

const q0: Oracle = (input) => bids(input)

const q1: Oracle = (input) =>
  bids(input).map((bid) => ({ ...bid, priceMinor: Number((BigInt(bid.priceMinor) * 908n) / 1000n) }))

const q2: Oracle = (input) =>
  bids(input)
    .filter(({ auction }) => auction % 7 === 0)
    .map(({ auction, priceMinor }) => ({ auction, priceMinor }))

const q3: Oracle = (input) => {
  const rows: unknown[] = []
  for (const { event: person } of only(input, 'person')) {
    if (person.state !== 'OR' && person.state !== 'ID' && person.state !== 'CA') continue
    for (const { event: auction } of only(input, 'auction')) {
      if (auction.category !== 10 || auction.seller !== person.id) continue
      rows.push({ name: person.name, city: person.city, state: person.state, auction: auction.id })
    }
  }
  return rows
}

interface Sale {
  readonly auction: Auction
  readonly priceMinor: number
}

/** In the order in which the auctions end. */
function sales(input: Input): Sale[] {
  const sold: Sale[] = []
  for (const { event: auction, watermark } of only(input, 'auction')) {
    if (watermark > auction.expires) continue
    const offers = only(input, 'bid').filter(
      ({ event, watermark }) =>
        event.auction === auction.id &&
        event.ts >= auction.ts &&
        event.ts <= auction.expires &&
        watermark <= auction.expires,
    )
    if (offers.length === 0) continue
    sold.push({ auction, priceMinor: Math.max(...offers.map(({ event }) => event.priceMinor)) })
  }
  return sold.sort((a, b) => a.auction.expires - b.auction.expires || a.auction.id - b.auction.id)
}

const q4: Oracle = (input) => {
  const all = sales(input)
  const rows: unknown[] = []
  for (let category = 10; category < 15; category++) {
    const of = all.filter(({ auction }) => auction.category === category)
    for (const at of new Set(of.map(({ auction }) => auction.expires + 1))) {
      const until = of.filter(({ auction }) => auction.expires < at)
      const sum = until.reduce((total, { priceMinor }) => total + BigInt(priceMinor), 0n)
      rows.push({ category, auctions: until.length, averageMinor: Number(sum / BigInt(until.length)), at })
    }
  }
  return rows
}

const q5: Oracle = (input) => {
  const counts = new Map<number, Map<number, number>>()
  for (const { event, watermark } of only(input, 'bid')) {
    for (let start = event.ts - (event.ts % HOP_MS); start > event.ts - WINDOW_MS; start -= HOP_MS) {
      if (start + WINDOW_MS <= watermark) continue
      const window = counts.get(start) ?? new Map<number, number>()
      window.set(event.auction, (window.get(event.auction) ?? 0) + 1)
      counts.set(start, window)
    }
  }
  return [...counts].flatMap(([start, window]) => {
    const most = Math.max(...window.values())
    return [...window].filter(([, n]) => n === most).map(([auction, n]) => ({ auction, bids: n, start }))
  })
}

const q6: Oracle = (input) => {
  const before = new Map<number, number[]>()
  return sales(input).map(({ auction, priceMinor }) => {
    const last = [...(before.get(auction.seller) ?? []), priceMinor].slice(-10)
    before.set(auction.seller, last)
    const averageMinor = Math.floor(last.reduce((sum, price) => sum + price, 0) / last.length)
    return { seller: auction.seller, auction: auction.id, averageMinor }
  })
}

const q7: Oracle = (input) => {
  const inTime = only(input, 'bid').filter(({ event, watermark }) => startOf(event.ts) + WINDOW_MS > watermark)
  return inTime
    .map(({ event }) => event)
    .filter((bid) =>
      inTime.every(({ event: other }) => startOf(other.ts) !== startOf(bid.ts) || other.priceMinor <= bid.priceMinor),
    )
}

const q8: Oracle = (input) => {
  const inTime = <T extends Person | Auction>(of: readonly (Arrival & { event: T })[]): T[] =>
    of.filter(({ event, watermark }) => startOf(event.ts) + WINDOW_MS > watermark).map(({ event }) => event)
  const auctions = inTime(only(input, 'auction'))
  return inTime(only(input, 'person')).flatMap(({ id, name, ts }) =>
    auctions
      .filter((auction) => auction.seller === id && startOf(auction.ts) === startOf(ts))
      .map((auction) => ({ id, name, auction: auction.id, start: startOf(ts) })),
  )
}

interface Session {
  readonly bidder: number
  start: number
  end: number
  bids: number
}

const q11: Oracle = (input) => {
  let open: Session[] = []
  const over: Session[] = []
  for (const { event, watermark } of only(input, 'bid')) {
    over.push(...open.filter(({ end }) => end <= watermark))
    open = open.filter(({ end }) => end > watermark)
    const session: Session = { bidder: event.bidder, start: event.ts, end: event.ts + SESSION_GAP_MS, bids: 1 }
    for (const other of open) {
      if (other.bidder !== event.bidder || other.start >= session.end || other.end <= session.start) continue
      session.start = Math.min(session.start, other.start)
      session.end = Math.max(session.end, other.end)
      session.bids += other.bids
      other.bids = 0
    }
    open = open.filter((other) => other.bids > 0)
    if (session.end > watermark) open.push(session)
  }
  return [...over, ...open]
}

/** By the clock at which each bid arrives. */
const q12: Oracle = (input) => {
  const counts = new Map<string, { bidder: number; start: number; bids: number }>()
  for (const { event, clockMs } of only(input, 'bid')) {
    const start = startOf(clockMs)
    const name = `${event.bidder}@${start}`
    const { bids } = counts.get(name) ?? { bids: 0 }
    counts.set(name, { bidder: event.bidder, start, bids: bids + 1 })
  }
  return [...counts.values()]
}

const q13: Oracle = (input) =>
  bids(input).flatMap(({ auction, bidder, priceMinor }) =>
    input.side
      .filter(({ key }) => key === auction % input.side.length)
      .map(({ value }) => ({ auction, bidder, priceMinor, value })),
  )

export const oracles = { q0, q1, q2, q3, q4, q5, q6, q7, q8, q11, q12, q13 }

/** Rows in no order, each as often as it is there. */
export const multiset = (rows: readonly unknown[]): string[] =>
  rows.map((row) => JSON.stringify(row, (_, value: unknown) => sorted(value))).sort()

const sorted = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value
