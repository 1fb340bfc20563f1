/**
 * Which keys a canary processes and is judged by: those whose hash falls below a share. The same on both sides of the comparison: the
 * shadow's filter asks by a record's key, the comparer by the key that a sink has written, so both ask by its text.
 */
import { hashKey, type Key } from '@weir/model'

/** Of the keys, in the order they are gone through; the last one is what a promotion needs. */
export const CANARY_SHARES = [0.05, 0.25, 0.5, 1] as const

const HASHES = 2 ** 32

/** `share`: above 0, up to 1 = all of them. Growing it keeps the keys that were in it. */
export const inShare = (key: Key, share: number): boolean => share >= 1 || hashKey(String(key)) < share * HASHES

/** Undefined: this was the last one. */
export const nextShare = (share: number): number | undefined => CANARY_SHARES.find((one) => one > share)
