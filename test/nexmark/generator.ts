/**
 * Events of an auction house, a function of the seed: of 50 events in a row 1 is a person, 3 are auctions, 46 are bids. Half of the
 * bids go to one hot auction, three quarters of sellers and bidders are a hot one; ids begin at 1,000, there are 5 categories
 * from 10 on, prices are spread over six powers of ten. Ids a little ahead of the newest are used too: a bid may come before
 * its auction, an auction before its seller.
 *
 * Events come out of order within `OUT_OF_ORDER_MS`, some far later than that, in portions: a source says how far event time has
 * come behind each portion, so a portion's watermark is a fact of the input.
 */
import { SeededRandom } from '@weir/model/testing'
import { OUT_OF_ORDER_MS, SIDE_ROWS, type Auction, type Bid, type Event, type Person, type Side } from './model.ts'

export interface GeneratorOptions {
  readonly seed: number
  readonly events: number
  /** Event time between two events, ms. */
  readonly stepMs?: number
  /** Of 100 events, those that come later than their source waits. */
  readonly latePercent?: number
}

/** An event where it arrives. */
export interface Arrival {
  readonly event: Event
  /** Every event of the portions before this one is behind this time, less what a source waits; `-Infinity` in the first. */
  readonly watermark: number
  /** Wall clock of the arrival, ms since 1970. */
  readonly clockMs: number
}
export interface Portion {
  readonly events: readonly Event[]
  readonly clockMs: number
}

export const START_MS = Date.UTC(2026, 0, 1)
const FIRST_ID = 1_000
const PER_ROUND = 50
const AUCTIONS_PER_ROUND = 3
/** The newest that is a multiple of it is hot. In the field it is 100; here there are fewer. */
const HOT_EVERY = 10
const IN_FLIGHT_AUCTIONS = 20
const ACTIVE_PEOPLE = 40
const AHEAD = 3
const CATEGORIES = 5
const PLACES = [
  ['AZ', 'Phoenix'],
  ['CA', 'Los Angeles'],
  ['CA', 'San Francisco'],
  ['ID', 'Boise'],
  ['OR', 'Portland'],
  ['OR', 'Bend'],
  ['WA', 'Redmond'],
  ['WA', 'Seattle'],
  ['WA', 'Kent'],
  ['WY', 'Cheyenne'],
] as const
const NAMES = ['Ada', 'Bob', 'Cyd', 'Dan', 'Eve', 'Fay', 'Gus', 'Hal']
const PORTION_MAX = 25
/** Longest time an auction is open. */
const OPEN_MS_MAX = 20_000
const LATER_MS_MAX = 25_000

export class Generator {
  readonly #random: SeededRandom
  readonly #options: Required<GeneratorOptions>

  constructor(options: GeneratorOptions) {
    this.#options = { stepMs: 80, latePercent: 6, ...options }
    this.#random = new SeededRandom(options.seed)
  }

  /** In the order of arrival. */
  portions(): readonly Portion[] {
    const { events, latePercent } = this.#options
    const arriving = Array.from({ length: events }, (_, n) => {
      const event = this.#event(n)
      const isLate = this.#below(100) < latePercent
      const later = isLate ? OUT_OF_ORDER_MS + 1 + this.#below(LATER_MS_MAX) : this.#below(OUT_OF_ORDER_MS + 1)
      return { event, at: event.ts + later, n }
    })
    arriving.sort((a, b) => a.at - b.at || a.n - b.n)
    const portions: Portion[] = []
    for (let from = 0; from < arriving.length;) {
      const to = Math.min(arriving.length, from + 1 + this.#below(PORTION_MAX))
      portions.push({ events: arriving.slice(from, to).map(({ event }) => event), clockMs: arriving[to - 1]!.at })
      from = to
    }
    return portions
  }

  side(): readonly Side[] {
    return Array.from({ length: SIDE_ROWS }, (_, key) => ({ key, value: `side-${key}-${this.#below(1_000)}` }))
  }

  #event(n: number): Event {
    const ts = START_MS + n * this.#options.stepMs
    const round = Math.floor(n / PER_ROUND)
    const place = n % PER_ROUND
    if (place === 0) return this.#person(FIRST_ID + round, ts)
    const people = round + 1
    const auctions = round * AUCTIONS_PER_ROUND + Math.min(place, AUCTIONS_PER_ROUND)
    if (place <= AUCTIONS_PER_ROUND) return this.#auction(FIRST_ID + auctions - 1, people, ts)
    return this.#bid(auctions, people, ts)
  }

  #person(id: number, ts: number): Person {
    const [state, city] = PLACES[this.#below(PLACES.length)]!
    return { kind: 'person', id, name: NAMES[this.#below(NAMES.length)]!, city, state, ts }
  }

  #auction(id: number, people: number, ts: number): Auction {
    const seller = this.#someone(people, 4)
    const expires = ts + 1 + this.#below(OPEN_MS_MAX)
    return { kind: 'auction', id, seller, category: 10 + this.#below(CATEGORIES), ts, expires }
  }

  #bid(auctions: number, people: number, ts: number): Bid {
    const auction = this.#one(auctions, 2, IN_FLIGHT_AUCTIONS)
    const priceMinor = Math.round(10 ** (this.#random.next() * 6) * 100)
    return { kind: 'bid', auction, bidder: this.#someone(people, 4), priceMinor, ts }
  }

  #someone(people: number, hotOf: number): number {
    return this.#one(people, hotOf, ACTIVE_PEOPLE)
  }

  /** Of so many there are: the hot one in `hotOf` − 1 of `hotOf` cases, else one of the last `active`, or of those to come. */
  #one(count: number, hotOf: number, active: number): number {
    const newest = count - 1
    if (this.#below(hotOf) > 0) return FIRST_ID + newest - (newest % HOT_EVERY)
    const oldest = Math.max(0, count - active)
    return FIRST_ID + oldest + this.#below(count - oldest + AHEAD)
  }

  #below(n: number): number {
    return Math.floor(this.#random.next() * n)
  }
}

/** What a source that waits for `OUT_OF_ORDER_MS` knows when each event comes. */
export function arrivalsOf(portions: readonly Portion[]): readonly Arrival[] {
  const arrivals: Arrival[] = []
  let newest = Number.NEGATIVE_INFINITY
  for (const { events, clockMs } of portions) {
    const watermark = newest - OUT_OF_ORDER_MS
    for (const event of events) {
      arrivals.push({ event, watermark, clockMs })
      newest = Math.max(newest, event.ts)
    }
  }
  return arrivals
}
