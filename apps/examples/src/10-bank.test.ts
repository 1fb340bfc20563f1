import type { Payment } from '@weir/sdk'
import { testJob } from '@weir/sdk/testing'
import { expect, test } from 'vitest'
import bank, { OPENING_MINOR, type Statement } from './10-bank.ts'

const payments = (from: number, to: number): Payment[] =>
  Array.from({ length: to - from }, (_, i) => {
    const n = from + i
    return { id: `p-${n}`, user: `u-${(n * 7) % 10}`, amountMinor: (n * 7_919) % 5_000, status: 'PAID', ts: n }
  })

test('no money comes or goes, whenever and however often the bank is restarted', async () => {
  const t = testJob(bank, { parallelism: 3, partitions: 4 })
  await t.feed('transfers', payments(0, 200))
  await t.checkpoint()
  await t.feed('transfers', payments(200, 300))
  await t.restart({ parallelism: 1 })
  await t.feed('transfers', payments(300, 400))
  await t.checkpoint()
  await t.restart({ parallelism: 2 })
  await t.end()

  const statements = t.committed<Statement>('statements').map(({ value }) => value)
  expect(statements).toHaveLength(800)
  const byAccount = Map.groupBy(statements, ({ account }) => account)
  for (const [, of] of byAccount) expect(of.map(({ number }) => number)).toEqual(of.map((_, i) => i + 1))
  const balances = [...byAccount.values()].map((of) => of.at(-1)!.balanceMinor)
  expect(balances.reduce((sum, balance) => sum + balance, 0)).toBe(byAccount.size * OPENING_MINOR)
})
