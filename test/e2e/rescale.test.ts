/**
 * A job under load goes from 2 to 4 to 1 subtasks. A task-manager is killed in the middle of each move: while sources stand
 * behind the last barrier, and so that transactions of subtasks that will be no more are open. An outside reader recounts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet, mainJob, type JobAnswer } from './fleet.ts'
import { differences, expectation, orderAt } from './orders.ts'

const ORDERS = 70_000
const RATE = 1_000
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

const at =
  (parallelism: number) =>
  (j: JobAnswer): boolean =>
    j.state === 'RUNNING' && j.slices.length === parallelism
const problem = async (answer: Response): Promise<unknown> => ((await answer.json()) as { code: string }).code

test('exactly once through 2 → 4 → 1 with a kill -9 in each move; B4: what subtasks leave behind is resolved', async () => {
  const jobId = `rescale-${fleet.run}`
  const topics = await fleet.topics(['orders', 'sums', 'counts'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const parameters = { bounded: true, rate: RATE, parallelism: 2, intervalMs: 500, everyRecords: 1_000_000, ...topics }
  const set = Object.entries(parameters).flatMap(([name, value]) => ['--set', `${name}=${String(value)}`])
  expect((await fleet.cli('submit', mainJob, '--id', jobId, ...set)).stderr).toBe('')
  const url = `http://${fleet.managers[0]!.ready.http}/api/v1/jobs/${jobId}`
  const patch = (body: unknown): Promise<Response> =>
    fetch(url, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json', 'if-match': '*' },
      body: JSON.stringify(body),
    })

  // Refused, and the job goes on.
  expect(await problem(await patch({ parallelism: 129 }))).toBe('RESCALE_TOO_WIDE')
  expect(await problem(await patch({ parallelism: 9 }))).toBe('RESCALE_NO_SLOTS')

  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  expect((await patch({ parallelism: 4 })).status).toBe(202)
  await fleet.kill(fleet.workers[0]!)
  await fleet.addWorker()
  await fleet.until(jobId, 'four subtasks', at(4))
  const four = await fleet.job(jobId)
  await fleet.until(jobId, 'an epoch of four', (j) => j.finalEpoch > four.finalEpoch)
  expect(new Set((await fleet.transactions(jobId)).map((t) => t.subtask)).size).toBe(4)

  const narrower = await fleet.cli('rescale', jobId, '1')
  expect([narrower.stderr, narrower.status]).toEqual(['', 0])
  await fleet.kill(fleet.workers[0]!)
  const one = await fleet.until(jobId, 'one subtask', at(1))
  expect(one.sinks.map((s) => s.subtask).sort()).toEqual([0, 0, 1, 1, 2, 2, 3, 3])
  // Before it ends by itself: nothing of the others is open.
  expect((await fleet.openTransactions(jobId)).filter((t) => !/\.0\.\d+ /.test(t))).toEqual([])

  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(differences(expectation(ORDERS), fleet.read(topics['sums']!), fleet.read(topics['counts']!))).toEqual([])
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
