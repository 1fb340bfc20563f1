/**
 * Key → key group → subtask. The same on every machine and for ever: stored state is found by it.
 * The hash is murmur3's 32-bit mixing over UTF-16 code units (strings) or the IEEE-754 bits (numbers).
 */
import type { Key } from './element.ts'
import type { KeyGroup, Subtask } from './ids.ts'

/** Upper bound of a job's parallelism for its whole life. */
export const DEFAULT_MAX_PARALLELISM = 128

const scratch = new DataView(new ArrayBuffer(8))

/** Unsigned 32-bit hash of a key; `1` and `'1'` are different keys. */
export function hashKey(key: Key): number {
  let h: number
  if (typeof key === 'string') {
    h = hashBegin(key.length)
    for (let i = 0; i < key.length; i++) h = hashUnit(h, key.charCodeAt(i))
  } else {
    scratch.setFloat64(0, key === 0 ? 0 : key) // −0 and 0 are one key
    h = 0x3c6ef372 ^ scratch.getInt32(0)
    h = Math.imul(h, 0xcc9e2d51)
    h = (h << 15) | (h >>> 17)
    h ^= scratch.getInt32(4)
  }
  return hashEnd(h)
}

/** The hash of a text in steps, for who looks at its code units for something else, too: `hashEnd` of all units, one after the other. */
export const hashBegin = (length: number): number => 0x9747b28c ^ length
export function hashUnit(h: number, unit: number): number {
  let k = Math.imul(unit, 0xcc9e2d51)
  k = (k << 15) | (k >>> 17)
  h ^= Math.imul(k, 0x1b873593)
  h = (h << 13) | (h >>> 19)
  return (Math.imul(h, 5) + 0xe6546b64) | 0
}
export function hashEnd(h: number): number {
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export const keyGroupOf = (key: Key, maxParallelism: number): KeyGroup => keyGroupOfHash(hashKey(key), maxParallelism)

/** By the hash of the key. Both are told to be whole: V8 divides any other numbers by a call that takes ten times as long. */
export const keyGroupOfHash = (hash: number, maxParallelism: number): KeyGroup =>
  ((hash >>> 0) % (maxParallelism >>> 0)) as KeyGroup

/** Owner of a key group: contiguous ranges, as even as possible. */
export const ownerOf = (group: KeyGroup, parallelism: number, maxParallelism: number): Subtask =>
  Math.floor((group * parallelism) / maxParallelism) as Subtask

/** The key groups a subtask owns: `from` inclusive, `to` exclusive. JSON; stands in manifests. */
export interface KeyGroupRange {
  readonly from: number
  readonly to: number
  /** Only the groups g with g % modulus = remainder, for each pair: splits are dealt out to the subtasks in turn. */
  readonly every?: readonly (readonly [modulus: number, remainder: number])[]
}
/** The key groups of a stage that is keyed by source: there a group is a split. */
export const EVERY_SPLIT: KeyGroupRange = { from: 0, to: 2 ** 31 }

/** The splits a subtask reads: those with split % parallelism = subtask, in every connector. */
export const splitRange = (subtask: number, parallelism: number): KeyGroupRange =>
  parallelism === 1 ? EVERY_SPLIT : { ...EVERY_SPLIT, every: [[parallelism, subtask]] }

export function inRange({ from, to, every }: KeyGroupRange, group: number): boolean {
  return group >= from && group < to && (every?.every(([modulus, remainder]) => group % modulus === remainder) ?? true)
}

/** The groups that are in both; null: none can be. */
export function intersection(a: KeyGroupRange, b: KeyGroupRange): KeyGroupRange | null {
  const from = Math.max(a.from, b.from)
  const to = Math.min(a.to, b.to)
  if (from >= to) return null
  const every = [...(a.every ?? [])]
  for (const [modulus, remainder] of b.every ?? []) {
    const same = every.find(([m]) => m === modulus)
    if (same === undefined) every.push([modulus, remainder])
    else if (same[1] !== remainder) return null
  }
  return every.length === 0 ? { from, to } : { from, to, every }
}

export function keyGroupRange(subtask: number, parallelism: number, maxParallelism: number): KeyGroupRange {
  return {
    from: Math.ceil((subtask * maxParallelism) / parallelism),
    to: Math.ceil(((subtask + 1) * maxParallelism) / parallelism),
  }
}
