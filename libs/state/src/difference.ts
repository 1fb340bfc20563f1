/** What a number has grown or shrunk by. */

/** Null: it would not be exact. */
export function differenceOf(value: unknown, before: number | bigint): number | bigint | null {
  if (typeof value === 'bigint' && typeof before === 'bigint') return value - before
  if (typeof before !== 'number' || !Number.isSafeInteger(value)) return null
  // The difference of two safe integers need not be one.
  const by = (value as number) - before
  return Number.isSafeInteger(by) ? by : null
}
