/** Freezes plain objects and arrays all the way down; typed arrays, Map and Set cannot be frozen and are left. */
export function deepFrozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value
  Object.freeze(value)
  for (const member of Object.values(value)) deepFrozen(member)
  return value
}
