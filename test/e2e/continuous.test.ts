/**
 * The continuous scope on a real fleet: a task-manager is killed, then the leader; a job goes on as another one; the last
 * task-manager is killed, and the offsets are set back by another tool before anybody takes its part over: the job stops and
 * says so.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { broken } from '../checkers/index.ts'
import { Fleet, recoveries, type JobAnswer } from './fleet.ts'
import { judge } from './judge.ts'
import { expectation, orderAt } from './orders.ts'

const ORDERS = 60_000
const RATE = 1_000
const PARTITIONS = 4
const jobFile = new URL('./by-source.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 2, workers: 2 }))
afterAll(() => fleet.stop())

async function submitted(jobId: string): Promise<{ orders: string; sums: string; counts: string }> {
  const topics = (await fleet.topics(['orders', 'sums', 'counts'].map((t) => `${jobId}-${t}`))) as Record<
    string,
    string
  >
  const [orders, sums, counts] = Object.values(topics)
  const partition = (line: string): number => Number(/user-(\d+)/.exec(line)![1]) % PARTITIONS
  const lines = Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id)))
  fleet.produce(orders!, lines, PARTITIONS, partition)
  const of = { orders: orders!, sums: sums!, counts: counts! }
  expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set(of))).stderr).toBe('')
  return of
}
const set = (of: Record<string, string | number>): string[] =>
  Object.entries({ rate: RATE, scope: 'continuous', parallelism: 2, ...of }).flatMap(([k, v]) => ['--set', `${k}=${v}`])

test('exactly once with the right state under kill -9 of a task-manager and of the leader', async () => {
  const jobId = `continuous-${fleet.run}`
  const topics = await submitted(jobId)
  const second = await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  await fleet.kill(fleet.workers[0]!)
  const again = (j: JobAnswer): boolean => recoveries(j) >= 1 && j.finalEpoch > second.finalEpoch
  await fleet.until(jobId, 'to run again', again)
  await fleet.addWorker()
  const before = await fleet.job(jobId)
  const leader = await fleet.leader()
  await fleet.kill(leader)
  await fleet.until(jobId, 'the new leader to go on', (j) => j.finalEpoch > before.finalEpoch)
  await fleet.addManager({ grpc: leader.ready.grpc!, http: leader.ready.http })
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.error).toBeNull()
  const judged = await judge(fleet, topics, expectation(ORDERS))
  expect(broken(...Object.values(judged))).toEqual([])
  expect(judged.fencing.acts).toBeGreaterThan(10)
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('stopped with a savepoint, it goes on under another id and at another parallelism: nothing lost or doubled', async () => {
  const [jobId, other] = [`left-${fleet.run}`, `taken-${fleet.run}`]
  const topics = await submitted(jobId)
  await fleet.until(jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
  expect((await fleet.cli('stop', jobId, 'cut')).stderr).toBe('')
  expect((await fleet.job(jobId)).recordsIn).toBeLessThan(ORDERS)
  const from = ['--from', `${jobId}/cut`]
  const taken = await fleet.cli('submit', jobFile, '--id', other, ...from, ...set({ ...topics, parallelism: 3 }))
  expect(taken.stderr).toBe('note: parallelism is 3, the state is of 2: keys and splits are dealt out anew\n')
  const first = await fleet.until(other, 'its first epoch', (j) => j.finalEpoch >= 1)
  await fleet.kill(fleet.workers[0]!)
  await fleet.addWorker()
  await fleet.until(other, 'to run again', (j) => j.restarts + j.regionRestarts >= 1 && j.finalEpoch > first.finalEpoch)
  await fleet.unlimited(other)
  const end = await fleet.until(other, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.recordsIn).toBe(ORDERS)
  const judged = await judge(fleet, topics, expectation(ORDERS))
  expect(broken(...Object.values(judged))).toEqual([])
  expect(await fleet.openTransactions(other)).toEqual([])
})

test('offsets set back by another tool while the job is down: it stops and names them', async () => {
  const jobId = `reset-${fleet.run}`
  const { orders } = await submitted(jobId)
  await fleet.until(jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
  while (fleet.workers.length > 0) await fleet.kill(fleet.workers[0]!)
  await fleet.setOffsets(`weir.${jobId}.orders`, orders, [{ partition: 1, offset: '100' }])
  await fleet.addWorker()
  const failed = await fleet.until(jobId, 'FAILED', (j) => j.state === 'FAILED')
  expect(failed.error).toMatchObject({
    code: 'COMMITTED_OFFSET_FOREIGN',
    facts: { group: `weir.${jobId}.orders`, topic: orders, partition: 1, committed: { offset: 100 } },
  })
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
