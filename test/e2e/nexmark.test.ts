/**
 * Two of Nexmark's queries on a real fleet at once: killed twice, and every result of the recomputation is read by an outside client
 * exactly as often as it should be. Others by name: `NEXMARK_QUERIES=q0,q13`. (q12 goes by the clock, and has no recomputation.)
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Generator, arrivalsOf } from '../nexmark/generator.ts'
import { multiset, oracles } from '../nexmark/oracle.ts'
import type { QueryName } from '../nexmark/queries/index.ts'
import { Fleet } from './fleet.ts'

const EVENTS = 12_000
const RATE = 2_000
const PARTITIONS = 4
const jobFile = new URL('./nexmark.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

/** Winning bids per category, and hot items of sliding windows: they keep most. */
const names = (process.env['NEXMARK_QUERIES'] ?? 'q4,q5').split(',') as QueryName[]

test(`${names.join(' and ')} are what the recomputation says, under kill -9`, async () => {
  const topics = await fleet.topics(['events', 'side', ...names], PARTITIONS)
  const generator = new Generator({ seed: 20_261_128, events: EVENTS, stepMs: 20, latePercent: 0 })
  const [portions, side] = [generator.portions(), generator.side()]
  fleet.produce(
    topics['side']!,
    side.map((row) => JSON.stringify(row)),
    PARTITIONS,
  )
  const arrivals = arrivalsOf(portions)
  // In every partition as much out of order as a source waits for, and no more.
  fleet.produce(
    topics['events']!,
    arrivals.map(({ event }) => JSON.stringify(event)),
    PARTITIONS,
  )
  const jobs = names.map((query) => ({ query, jobId: `nexmark-${query}-${fleet.run}` }))
  for (const { query, jobId } of jobs) {
    const set = Object.entries({
      query,
      events: topics['events'],
      side: topics['side'],
      results: topics[query],
      rate: RATE,
    })
    const args = set.flatMap(([name, value]) => ['--set', `${name}=${value}`])
    expect((await fleet.cli('submit', jobFile, '--id', jobId, ...args)).stderr).toBe('')
  }
  const until = (what: string, is: Parameters<Fleet['until']>[2]): Promise<unknown> =>
    Promise.all(jobs.map(({ jobId }) => fleet.until(jobId, what, is)))
  await until('an epoch', (job) => job.finalEpoch >= 1)
  await fleet.kill(fleet.workers[0]!)
  await until('to run again', (job) => job.state === 'FINISHED' || job.restarts >= 1)
  await fleet.addWorker()
  await fleet.kill(fleet.workers[0]!)
  await until('the end of the input', (job) => job.state === 'FINISHED')

  for (const { query, jobId } of jobs) {
    const rows = fleet.read(topics[query]!).map(([, value]) => value)
    expect(multiset(rows)).toEqual(multiset(oracles[query]({ arrivals, side })))
    expect(await fleet.openTransactions(jobId)).toEqual([])
  }
})
