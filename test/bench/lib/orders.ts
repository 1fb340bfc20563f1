/** Users come in an order without a pattern. */
export const userOf = (i: number, users: number): number => (i * 7_919) % users
export const amountOf = (i: number): number => (i * 31) % 10_000

/** Orders of 170 bytes, as in the field's comparisons. */
export function order(i: number, users: number): string {
  const head = `{"id":${i},"user":"user-${userOf(i, users)}","amountMinor":${amountOf(i)},"status":"PAID","note":"`
  return `${head}${'x'.repeat(Math.max(0, 168 - head.length))}"}`
}
