import { expect, test } from 'vitest'
import { job, json, kafka } from '../index.ts'
import { testJob } from './index.ts'

const numbers = kafka.topic('numbers', { value: json<number>(), timestamp: (n) => n })

test('what is fed has come out when its calls have answered, in the order that was asked for', async () => {
  const later = job('later', (flow) => {
    flow
      .from(numbers)
      .asyncMap('twice', async (n) => {
        await new Promise((resolve) => setTimeout(resolve, n % 7))
        return n * 2
      })
      .to(kafka.sink('out'))
  })
  const t = testJob(later, { parallelism: 2 })
  await t.feed('numbers', [6, 1, 3, 2])
  await t.checkpoint()
  await t.restart()
  await t.feed('numbers', [5])
  expect(t.output('out').map(({ value }) => value)).toEqual([12, 2, 6, 4, 10])
})

test('a call that never answers fails by the clock of the test', async () => {
  const stuck = job('stuck', { deadLetters: kafka.sink('dead') }, (flow) => {
    flow
      .from(numbers)
      .asyncMap('stuck', () => new Promise<number>(() => {}), { timeout: '2s', retries: 1, backoff: '100ms' })
      .to(kafka.sink('out'))
  })
  const t = testJob(stuck, { settleMs: 200 })
  await expect(t.feed('numbers', [1])).rejects.toMatchObject({ code: 'TEST_NOT_SETTLED' })
  const passed = [t.clock.advance(2_000), t.clock.advance(100), t.clock.advance(2_000)]
  await Promise.allSettled(passed)
  expect(t.deadLetters()).toMatchObject([{ operator: 'stuck', value: '1' }])
})
