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
    h = 0x9747b28c ^ key.length
    for (let i = 0; i < key.length; i++) {
      let k = Math.imul(key.charCodeAt(i), 0xcc9e2d51)
      k = (k << 15) | (k >>> 17)
      h ^= Math.imul(k, 0x1b873593)
      h = (h << 13) | (h >>> 19)
      h = (Math.imul(h, 5) + 0xe6546b64) | 0
    }
  } else {
    scratch.setFloat64(0, key === 0 ? 0 : key) // −0 and 0 are one key
    h = 0x3c6ef372 ^ scratch.getInt32(0)
    h = Math.imul(h, 0xcc9e2d51)
    h = (h << 15) | (h >>> 17)
    h ^= scratch.getInt32(4)
  }
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export const keyGroupOf = (key: Key, maxParallelism: number): KeyGroup => (hashKey(key) % maxParallelism) as KeyGroup

/** Owner of a key group: contiguous ranges, as even as possible. */
export const ownerOf = (group: KeyGroup, parallelism: number, maxParallelism: number): Subtask =>
  Math.floor((group * parallelism) / maxParallelism) as Subtask

/** The key groups a subtask owns: `from` inclusive, `to` exclusive. */
export interface KeyGroupRange {
  readonly from: number
  readonly to: number
}
/** The key groups of a stage that is keyed by source: there a group is a split. */
export const EVERY_SPLIT: KeyGroupRange = { from: 0, to: 2 ** 31 }

export function keyGroupRange(subtask: number, parallelism: number, maxParallelism: number): KeyGroupRange {
  return {
    from: Math.ceil((subtask * maxParallelism) / parallelism),
    to: Math.ceil(((subtask + 1) * maxParallelism) / parallelism),
  }
}
