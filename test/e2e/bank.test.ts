/**
 * The bank of the tour (`apps/examples/src/10-bank.ts`) while its processes are killed: whatever is lost or comes twice would be money.
 * Balances are looked at from outside as every checkpoint has them; at the end its statements are read like any other topic.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { balancesOf, booksOf, mustBalance } from '../../apps/cli/src/bank-audit.ts'
import { OPENING_MINOR, type Statement, type Transfer } from '../../apps/examples/src/10-bank.ts'
import { Fleet } from './fleet.ts'

const TRANSFERS = 20_000
const ACCOUNTS = 200
const RATE = 500
const PARTITIONS = 4
const job = new URL('../../apps/examples/src/10-bank.ts', import.meta.url).pathname
const example = new URL('../../apps/cli/dist/example.js', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 2, workers: 2 }))
afterAll(() => fleet.stop())

const transferAt = (n: number): Transfer => ({
  id: `t-${n}`,
  from: `a-${(n * 31) % ACCOUNTS}`,
  to: `a-${(n * 7 + 3) % ACCOUNTS}`,
  amountMinor: (n * 7_919) % 5_000,
})

test('no money comes or goes while a task-manager and the leader are killed', async () => {
  const jobId = `bank-${fleet.run}`
  const { transfers, statements } = await fleet.topics(['transfers', 'statements'], PARTITIONS)
  const lines = Array.from({ length: TRANSFERS }, (_, n) => JSON.stringify(transferAt(n)))
  fleet.produce(transfers!, lines, PARTITIONS)
  const set = Object.entries({ transfers, statements, rate: RATE }).flatMap(([name, value]) => [
    '--set',
    `${name}=${value}`,
  ])
  expect((await fleet.cli('submit', job, '--id', jobId, ...set)).stderr).toBe('')

  const audited = new Set<number>()
  const audit = async (): Promise<void> => {
    const { http } = (await fleet.leader()).ready
    const balances = await balancesOf(`http://${http}/api/v1/jobs/${jobId}`)
    if (balances === null) return
    mustBalance(balances, OPENING_MINOR)
    audited.add(balances.epoch)
  }
  await fleet.until(jobId, 'the second epoch', (view) => view.finalEpoch >= 2)
  await audit()
  await fleet.kill(fleet.workers[0]!)
  const { finalEpoch } = await fleet.until(jobId, 'to run again', (view) => view.restarts >= 1)
  await audit()
  await fleet.addWorker()
  await fleet.until(jobId, 'to go on', (view) => view.finalEpoch > finalEpoch || view.state === 'FINISHED')
  await audit()
  await fleet.kill(await fleet.leader())
  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (view) => view.state === 'FINISHED')
  await audit()

  expect(audited.size).toBeGreaterThan(1)
  const books = booksOf(
    fleet.read(statements!).map(([, value]) => value as Statement),
    OPENING_MINOR,
  )
  expect(books).toEqual({
    ...{ statements: 2 * TRANSFERS, accounts: ACCOUNTS },
    ...{ missing: 0, repeated: 0, halves: 0, driftMinor: 0 },
  })
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('the example says by its exit code that the bank is sound, after a kill -9', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [example, '10'])
  expect(stdout).toContain('kill -9 of a task-manager')
  expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({ sound: true, driftMinor: 0, transfers: 20_000 })
})
