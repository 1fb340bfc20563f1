/**
 * Joins of two topics on a real fleet: a task-manager is killed while records of both sides wait for each other; every pair comes
 * out once, and so does every order and payment that has none in its window.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from './fleet.ts'
import { expectedPairs, partsOf } from './join-parts.ts'

const ORDERS = 24_000
const RATE = 1_000
const PARTITIONS = 4
const jobFile = new URL('./join.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

test('an interval join and a windowed join of two topics are exactly once under kill -9', async () => {
  const jobId = `join-${fleet.run}`
  const topics = await fleet.topics(['orders', 'payments', 'matched', 'pairs'], PARTITIONS)
  const parts = partsOf(ORDERS)
  for (const name of ['orders', 'payments'] as const) {
    const lines = parts[name].map((part) => JSON.stringify(part))
    fleet.produce(topics[name]!, lines, PARTITIONS)
  }
  const set = Object.entries({ ...topics, rate: RATE }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
  expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')

  const before = await fleet.until(jobId, 'an epoch with records', (j) => j.finalEpoch >= 3)
  await fleet.kill(fleet.workers[0]!)
  const isOn = (j: { restarts: number; finalEpoch: number }): boolean =>
    j.restarts >= 1 && j.finalEpoch > before.finalEpoch
  await fleet.until(jobId, 'to go on', isOn)
  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')

  const expected = expectedPairs(parts)
  const matched = fleet.read(topics['matched']!).map(([key, value]) => {
    const { order, payment } = value as { order: string; payment: string }
    expect(key).toBe(order)
    return `${order} ${payment}`
  })
  expect(matched.sort()).toEqual(expected.matched)
  const pairs = fleet.read(topics['pairs']!).map(([, value]) => {
    const { order, payment, start } = value as { order: string | null; payment: string | null; start: number }
    return `${order} ${payment} ${start}`
  })
  expect(pairs.sort()).toEqual(expected.pairs)
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
