/** A task-manager that is frozen for 30 s and woken: its slices run elsewhere meanwhile, it may do nothing any more. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '@weir/model'
import { Fleet, mainJob } from './fleet.ts'
import { differences, expectation, orderAt } from './orders.ts'

const ORDERS = 100_000
const RATE = 2_500
const FROZEN_MS = 30_000
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

test('SIGSTOP for 30 s, then SIGCONT: fenced, and part of the fleet again under a new name', async () => {
  const jobId = `zombie-${fleet.run}`
  const topics = await fleet.topics(['orders', 'sums', 'counts'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const set = (name: string, value: unknown): string[] => ['--set', `${name}=${String(value)}`]
  const submitted = await fleet.cli(
    ...['submit', mainJob, '--id', jobId, ...set('bounded', true), ...set('rate', RATE), ...set('intervalMs', 1_000)],
    ...Object.entries(topics).flatMap(([name, topic]) => set(name, topic)),
  )
  expect(submitted.stderr).toBe('')
  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2, 30_000)
  const frozen = fleet.workers[0]!
  const joined = async (): Promise<string | undefined> =>
    ((await (await fetch(`http://${frozen.ready.http}/healthz`)).json()) as { joined: { id: string } | null }).joined
      ?.id
  const nameBefore = await joined()
  frozen.child.kill('SIGSTOP')
  const frozenAt = performance.now()
  const recovered = await fleet.until(
    jobId,
    'recovery elsewhere',
    (j) => j.state === 'RUNNING' && j.restarts > 0,
    30_000,
  )
  // The other one has room for all of it.
  expect(new Set(recovered.slices.map((s) => s.taskManagerId)).size).toBe(1)
  expect(recovered.slices.map((s) => s.taskManagerId)).not.toContain(nameBefore)
  await systemClock.sleep(FROZEN_MS - (performance.now() - frozenAt)) // the time itself is what is tested
  const whileFrozen = (await fleet.job(jobId)).finalEpoch
  frozen.child.kill('SIGCONT')
  let nameAfter = await joined()
  while (nameAfter === undefined || nameAfter === nameBefore) {
    await systemClock.sleep(20)
    nameAfter = await joined()
  }
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED', 60_000)
  expect(end.finalEpoch).toBeGreaterThan(whileFrozen)
  // It broke nothing: no second restart, and the outside recount is exact.
  expect(end.restarts).toBe(1)
  expect(differences(expectation(ORDERS), fleet.read(topics['sums']!), fleet.read(topics['counts']!))).toEqual([])
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
