/** Reading entries ahead: those of a key group lie anywhere in memory, and a row is packed in less time than the memory takes to answer. */
import type { Entry } from './layer.ts'

/** Entries looked at at once: their rows still fit the processor's nearest cache when they are packed. */
export const AHEAD = 64

/** What was read goes here, else a compiler would leave the reading out. Nobody looks at it. */
const seen = new Float64Array(1)

/**
 * Reads a little of each of the next entries. The processor asks for many of them at once here, and for one after the other
 * where each is packed: packing takes half the time.
 */
export function lookAhead(entries: readonly Entry[], from: number): void {
  const to = Math.min(from + AHEAD, entries.length)
  let sum = 0
  for (let i = from; i < to; i++) sum += entries[i]!.since
  for (let i = from; i < to; i++) {
    const { key, value } = entries[i]!
    if (typeof key === 'string') sum += key.length
    if (typeof value === 'object') sum++
  }
  seen[0] = sum
}
