/** When a stored value was written, where the value itself says it: for states with a TTL whose keys are many and values small. */

const TIME_BYTES = 6
/** Of a text: base64url of these bytes. */
const TIME_CHARS = 8
const HALF_BITS = 24
const DIGITS = new Int8Array(128).fill(-1)
for (const [digit, letter] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].entries())
  DIGITS[letter.charCodeAt(0)] = digit

/** ms; `Infinity`: it does not say. @param value a time, or a list, bytes or a text that begin with one (`claim-row.ts`) */
export function timeIn(value: unknown): number {
  if (value instanceof Uint8Array) return timeInBytes(value, 0, value.length)
  if (typeof value === 'string') return timeInText(value)
  const time: unknown = Array.isArray(value) ? value[0] : value
  return typeof time === 'number' ? time : Number.POSITIVE_INFINITY
}

/** Of what lies from `at` to `end`: 6 bytes, the highest first. */
export function timeInBytes(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < TIME_BYTES) return Number.POSITIVE_INFINITY
  const high = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
  const low = (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!
  return high * 2 ** HALF_BITS + low
}

function timeInText(text: string): number {
  if (text.length < TIME_CHARS) return Number.POSITIVE_INFINITY
  // In halves: shifts are of 32 bits.
  let high = 0
  let low = 0
  for (let i = 0; i < TIME_CHARS; i++) {
    const digit = DIGITS[text.charCodeAt(i)] ?? -1
    if (digit < 0) return Number.POSITIVE_INFINITY
    if (i < TIME_CHARS / 2) high = (high << 6) | digit
    else low = (low << 6) | digit
  }
  return high * 2 ** HALF_BITS + low
}
