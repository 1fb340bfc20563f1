/** The job as it is, with its real state and checkpoints, in this process: no server, nothing to wait for. */
import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import job from './job.ts'

const payment = (id: string, of: Partial<Payment> = {}): Payment => {
  return { id, user: 'ada', amountMinor: 500, status: 'PAID', ts: 1_000, ...of }
}

test('a balance is the sum of what was paid', async () => {
  const t = testJob(job)
  await t.feed('payments', [payment('1'), payment('2', { status: 'FAILED' }), payment('3', { amountMinor: 250 })])
  expect(t.output('balances').at(-1)).toEqual({ key: 'ada', value: 750 })
})

test('nothing is lost and nothing counted twice when the job restarts', async () => {
  const t = testJob(job)
  await t.feed('payments', [payment('1'), payment('2')])
  await t.checkpoint()
  await t.feed('payments', [payment('3')]) // behind the checkpoint: read again
  await t.restart()
  await t.feed('payments', [payment('4', { ts: 12_000 })])
  await t.end()
  expect(t.committed('balances').map(({ value }) => value)).toEqual([500, 1_000, 1_500, 2_000])
  expect(t.committed('counts').map(({ value }) => value)).toEqual([
    { start: 0, end: 10_000, value: 3 },
    { start: 10_000, end: 20_000, value: 1 },
  ])
})
