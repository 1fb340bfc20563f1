/** Currency: prices in euros, 0.908 of a dollar, in whole cents: money is not multiplied by fractions. */
import type { Query } from '../job.ts'
import { isBid } from '../model.ts'

const PER_MILLE = 908

export const q1: Query = ({ events }) =>
  events.filter(isBid).map((bid) => ({ ...bid, priceMinor: Math.floor((bid.priceMinor * PER_MILLE) / 1_000) }))
