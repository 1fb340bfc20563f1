/** Equal in content, for what structuredClone keeps. False in doubt: then something is written twice, nothing is missed. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (Array.isArray(a))
    return a.length === (b as unknown[]).length && a.every((v, i) => sameValue(v, (b as unknown[])[i]))
  if (a instanceof Map) return sameValue([...a], [...(b as Map<unknown, unknown>)])
  if (a instanceof Set) return sameValue([...a], [...(b as Set<unknown>)])
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime())
  if (a instanceof Uint8Array)
    return a.length === (b as Uint8Array).length && a.every((v, i) => v === (b as Uint8Array)[i])
  if (Object.getPrototypeOf(a) !== Object.prototype) return false
  const [ofA, ofB] = [Object.entries(a), Object.entries(b)]
  // The order of the fields is part of what is stored.
  return ofA.length === ofB.length && ofA.every(([k, v], i) => k === ofB[i]![0] && sameValue(v, ofB[i]![1]))
}
