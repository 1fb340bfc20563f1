/** The three kinds of events of an online auction (Nexmark), in one stream. Money in minor units, times in ms since 1970. */
export interface Person {
  readonly kind: 'person'
  readonly id: number
  readonly name: string
  readonly city: string
  readonly state: string
  readonly ts: number
}
export interface Auction {
  readonly kind: 'auction'
  readonly id: number
  readonly seller: number
  readonly category: number
  readonly ts: number
  /** The last ms in which a bid is taken. */
  readonly expires: number
}
export interface Bid {
  readonly kind: 'bid'
  readonly auction: number
  readonly bidder: number
  readonly priceMinor: number
  readonly ts: number
}
export type Event = Person | Auction | Bid

export const isPerson = (event: Event): event is Person => event.kind === 'person'
export const isAuction = (event: Event): event is Auction => event.kind === 'auction'
export const isBid = (event: Event): event is Bid => event.kind === 'bid'

/** Of q13: what is known of an auction id modulo `SIDE_ROWS`. */
export interface Side {
  readonly key: number
  readonly value: string
}
export const SIDE_ROWS = 16

/** How far a source of events waits for those that come late. */
export const OUT_OF_ORDER_MS = 2_000
export const WINDOW_MS = 10_000
export const HOP_MS = 2_000
export const SESSION_GAP_MS = 3_000

/** Of one that won, at the moment its auction was over. */
export interface Winner {
  readonly auction: number
  readonly category: number
  readonly seller: number
  readonly priceMinor: number
}
