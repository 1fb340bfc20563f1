/**
 * Records what passes a place in a stream and changes nothing:
 *
 *     const paid = new Probe<Order>()
 *     flow.from(orders).filter(isPaid).map(paid.pass)…
 *
 * In the order of arrival, over all slices. What a restart reads again passes again.
 */
export class Probe<T> {
  readonly seen: T[] = []

  readonly pass = (value: T): T => {
    this.seen.push(value)
    return value
  }

  clear(): void {
    this.seen.length = 0
  }
}
