/** When a stored value was written, where the value itself says it: for states with a TTL whose keys are many and values small. */

/** ms; `Infinity`: it does not say. @param value a time, or a list that begins with one */
export function timeIn(value: unknown): number {
  const time: unknown = Array.isArray(value) ? value[0] : value
  return typeof time === 'number' ? time : Number.POSITIVE_INFINITY
}
