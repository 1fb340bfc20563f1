import { expect, test } from 'vitest'
import { parsePoolId, poolGroup } from './janitor.ts'

test.each([
  ['weir.orders.sums.0.1', { jobId: 'orders', sink: 'sums', subtask: 0, slot: 1 }],
  // B5: a job whose name begins like another one's is another job.
  ['weir.orders-2.sums.0.1', { jobId: 'orders-2', sink: 'sums', subtask: 0, slot: 1 }],
  ['weir.orders.eu.sums.7.12.3', { jobId: 'orders', sink: 'eu.sums.7', subtask: 12, slot: 3 }],
  ['weir.orders.sums.0', null],
  ['weir.orders.sums.00.1', null],
  ['weir.Orders.sums.0.1', null],
  ['somebody-else', null],
])('%s', (transactionalId, parsed) => {
  expect(parsePoolId(transactionalId)).toEqual(parsed)
  if (parsed) {
    expect(`${poolGroup(parsed.jobId, parsed.sink, parsed.subtask)}.${parsed.slot}`).toBe(transactionalId)
  }
})
