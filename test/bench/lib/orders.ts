/** Orders of 170 bytes, as in the field's comparisons; users come in an order without a pattern. */
export function order(i: number, users: number): string {
  const head = `{"id":${i},"user":"user-${(i * 7919) % users}","amountMinor":${(i * 31) % 10_000},"status":"PAID","note":"`
  return `${head}${'x'.repeat(Math.max(0, 168 - head.length))}"}`
}
