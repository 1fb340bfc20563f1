/**
 * State and timers by key on a real fleet: the main job, written with them, is killed in one process while timers are set and
 * in another later; every sum, every window and every user's one reminder come out exactly once.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { broken } from '../checkers/index.ts'
import { Fleet } from './fleet.ts'
import { judge } from './judge.ts'
import { expectation, orderAt } from './orders.ts'

const ORDERS = 24_000
const RATE = 500
const PARTITIONS = 4
const jobFile = new URL('./keyed-state.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

test('value, list, map and aggregating state and both kinds of timers are exactly once under kill -9', async () => {
  const jobId = `keyed-${fleet.run}`
  const names = ['orders', 'sums', 'counts', 'reminders']
  const topics = (await fleet.topics(names, PARTITIONS)) as Record<(typeof names)[number], string>
  const { orders, sums, counts, reminders } = topics as Record<string, string>
  fleet.produce(
    orders!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
    PARTITIONS,
  )
  const set = Object.entries({ ...topics, rate: RATE }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
  expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')

  // Reminders are set within the first seconds, and each is due a second later.
  const first = await fleet.until(jobId, 'the first epoch with records', (j) => j.finalEpoch >= 1)
  await fleet.kill(fleet.workers[0]!)
  const again = await fleet.until(jobId, 'to run again', (j) => j.restarts >= 1 && j.finalEpoch > first.finalEpoch)
  await fleet.addWorker()
  await fleet.until(jobId, 'to go on', (j) => j.finalEpoch > again.finalEpoch)
  await fleet.kill(fleet.workers[0]!)
  // Some users are reminded of an order behind the first thousand; a bounded job does not wait for timers when its input ends.
  const expected = expectation(ORDERS)
  const reminded = (): string[] => fleet.read(reminders!).map(([user]) => user)
  await expect.poll(() => new Set(reminded()).size).toBe(expected.sums.size)
  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')

  const judged = await judge(fleet, { sums: sums!, counts: counts! }, expected)
  expect(broken(...Object.values(judged))).toEqual([])
  expect(reminded().toSorted()).toEqual([...expected.sums.keys()].toSorted())
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
