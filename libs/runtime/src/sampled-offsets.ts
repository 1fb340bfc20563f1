/**
 * Which records are sampled: one of each run of `every` offsets, drawn by the number of the run. So a record that is read again is
 * sampled again, a poll costs one draw per run it touches, and a producer whose transactions are of one size (a marker takes an offset,
 * too) cannot hide from it, as it could from every hundredth offset.
 */

/** @returns indices in the poll, ascending; `offsets` rise. */
export function sampledIn(offsets: ArrayLike<number>, count: number, every: number): number[] {
  if (count === 0 || every === Number.POSITIVE_INFINITY) return []
  const [first, last] = [offsets[0]!, offsets[count - 1]!]
  const found: number[] = []
  for (let run = Math.floor(first / every); run * every <= last; run++) {
    const offset = run * every + drawn(run, every)
    if (offset < first || offset > last) continue
    const index = indexOf(offsets, count, offset)
    if (index !== null) found.push(index)
  }
  return found
}

/** 0 … every − 1. Mixed as in murmur3: neighbours have nothing in common. */
function drawn(run: number, every: number): number {
  let h = Math.imul(run ^ (run >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) % every
}

/** Null: a log has gaps. */
function indexOf(offsets: ArrayLike<number>, count: number, offset: number): number | null {
  let [low, high] = [0, count - 1]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (offsets[middle]! < offset) low = middle + 1
    else high = middle
  }
  return offsets[low] === offset ? low : null
}
