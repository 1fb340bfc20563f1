import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { afterEach, expect, test, vi } from 'vitest'
import enrichment, { service, type Converted } from './07-enrichment.ts'

const payment = (id: string): Payment => ({ id, user: 'ada', amountMinor: 1_001, status: 'PAID', ts: 1_000 })
const rate = vi.spyOn(service, 'ratePerMillion')
afterEach(() => rate.mockReset())

test('a payment comes out converted when the service has answered', async () => {
  rate.mockResolvedValue(900_000)
  const t = testJob(enrichment, { parallelism: 2 })
  await t.feed('payments', [payment('a'), payment('b')])
  const converted = t.output<Converted>('converted').map(({ value }) => value)
  expect(converted.map(({ id, convertedMinor }) => `${id} ${convertedMinor}`).sort()).toEqual(['a 900', 'b 900'])
})

test('a call that fails is made again, later by the clock; what fails for good goes aside', async () => {
  rate.mockRejectedValueOnce(new Error('away')).mockResolvedValueOnce(1_000_000)
  const t = testJob(enrichment)
  await t.feed('payments', [payment('a')])
  expect(t.output('converted')).toEqual([])
  await t.clock.advance(100)
  expect(t.output<Converted>('converted').map(({ value }) => value.convertedMinor)).toEqual([1_001])

  rate.mockRejectedValue(new Error('away'))
  await t.feed('payments', [payment('b')])
  await t.clock.advance(100)
  await t.clock.advance(200)
  expect(t.deadLetters().map(({ operator, message }) => [operator, message.includes('away')])).toEqual([['rate', true]])
  expect(t.output('converted')).toHaveLength(1)
})
