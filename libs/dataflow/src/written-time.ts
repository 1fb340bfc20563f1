/** When a stored value was written, where the value itself says it: for states with a TTL whose keys are many and values small. */

/** Of a text: base64url of 6 bytes. */
const TIME_CHARS = 8
const HALF_BITS = 24
const DIGITS = new Int8Array(128).fill(-1)
for (const [digit, letter] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].entries())
  DIGITS[letter.charCodeAt(0)] = digit

/** ms; `Infinity`: it does not say. @param value a time, a list that begins with one, or a text that does (`claim-row.ts`) */
export function timeIn(value: unknown): number {
  if (typeof value === 'string') return timeInText(value)
  const time: unknown = Array.isArray(value) ? value[0] : value
  return typeof time === 'number' ? time : Number.POSITIVE_INFINITY
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
