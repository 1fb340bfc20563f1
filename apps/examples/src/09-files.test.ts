import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import files from './09-files.ts'

const payment = (user: string, ts: number): Payment => ({ id: 'p', user, amountMinor: 100, status: 'PAID', ts })

test('a row per user and 10 s; a sink without a topic is called by its name', async () => {
  const t = testJob(files, { parallelism: 2 })
  await t.feed('payments', [payment('ada', 1_000), payment('ada', 2_000), payment('bob', 3_000)])
  await t.checkpoint()
  await t.restart()
  await t.end()
  const rows = t.committed('files').map(({ value }) => value)
  expect(rows).toHaveLength(2)
  expect(rows).toEqual(
    expect.arrayContaining([
      { user: 'ada', start: 0, sumMinor: 200 },
      { user: 'bob', start: 0, sumMinor: 100 },
    ]),
  )
})
