/** Kafka's default partitioner hash (Java client), so that records of a key land where every other client puts them. */
export function murmur2(bytes: Uint8Array): number {
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ bytes.length
  let i = 0
  for (; i + 4 <= bytes.length; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const rest = bytes.length - i
  if (rest === 3) h ^= bytes[i + 2]! << 16
  if (rest >= 2) h ^= bytes[i + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ bytes[i]!, m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  return (h ^ (h >>> 15)) & 0x7fffffff
}

/** The same of text in UTF-8, where every character is one byte; −1: it is not. */
export function murmur2OfAscii(text: string): number {
  const m = 0x5bd1e995
  const length = text.length
  let h = 0x9747b28c ^ length
  let all = 0
  let i = 0
  for (; i + 4 <= length; i += 4) {
    const [a, b] = [text.charCodeAt(i), text.charCodeAt(i + 1)]
    const [c, d] = [text.charCodeAt(i + 2), text.charCodeAt(i + 3)]
    all |= a | b | c | d
    let k = Math.imul(a | (b << 8) | (c << 16) | (d << 24), m)
    k ^= k >>> 24
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const rest = length - i
  for (let r = i; r < length; r++) all |= text.charCodeAt(r)
  if (all > 0x7f) return -1
  if (rest === 3) h ^= text.charCodeAt(i + 2) << 16
  if (rest >= 2) h ^= text.charCodeAt(i + 1) << 8
  if (rest >= 1) h = Math.imul(h ^ text.charCodeAt(i), m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  return (h ^ (h >>> 15)) & 0x7fffffff
}
