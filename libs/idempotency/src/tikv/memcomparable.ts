/**
 * TiKV's order-preserving encoding of byte strings: groups of 8 bytes, padded with zeros, each followed by 255 minus the
 * number of padding bytes; a full group is followed by another one. In api v2 the boundaries of regions are encoded so,
 * the keys in requests are not.
 */
const GROUP = 8
const FULL = 0xff

export function encodeMemcomparable(key: Buffer): Buffer {
  const groups = Math.floor(key.length / GROUP) + 1
  const out = Buffer.alloc(groups * (GROUP + 1))
  for (let group = 0; group < groups; group++) {
    const from = group * GROUP
    const length = Math.min(GROUP, key.length - from)
    key.copy(out, group * (GROUP + 1), from, from + length)
    out[group * (GROUP + 1) + GROUP] = FULL - (GROUP - length)
  }
  return out
}
