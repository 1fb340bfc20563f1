/**
 * Servers that go away under load and come back: etcd, the object store, Kafka, and both keepers of the metadata. Private
 * servers, killed without a word; an outside reader recounts everything at the end.
 */
import { Etcd3 } from 'etcd3'
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PrivateServer } from '../stack/private-server.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { Fleet, type JobAnswer } from './fleet.ts'
import { differences, expectation, orderAt } from './orders.ts'

const ORDERS = 150_000
/** Enough for all that is done to the fleet. */
const RATE = 500
const FEW = 20_000
/** The lease is 3 s. */
const ETCD_AWAY_MS = 8_000
const AWAY_MS = 6_000
const job = new URL('expiring.job.ts', import.meta.url).pathname
const patient = { alignTimeoutMs: 20_000, transactionTimeoutMs: 60_000 }

let etcd: PrivateServer<'etcd'>
let s3: PrivateServer<'s3'>
let kafka: PrivateServer<'kafka'>
let fleet: Fleet
let topics: Record<string, string>
let jobId: string
beforeAll(async () => {
  ;[etcd, s3, kafka] = await Promise.all([
    PrivateServer.start('etcd'),
    PrivateServer.start('s3'),
    PrivateServer.start('kafka'),
  ])
  fleet = new Fleet({ ...stackEndpoints(), etcd: etcd.endpoint, s3: s3.endpoint, kafka: kafka.endpoint })
  await fleet.start({ managers: 2, workers: 2 })
  jobId = `outages-${fleet.run}`
  topics = await submit(jobId, ORDERS, patient)
})
afterAll(async () => {
  await fleet.stop()
  await Promise.all([etcd, s3, kafka].map((server) => server.close()))
})

async function submit(id: string, orders: number, settings: Record<string, unknown>): Promise<Record<string, string>> {
  const made = await fleet.topics([`${id}-orders`, `${id}-sums`, `${id}-counts`])
  const [input, sums, counts] = Object.values(made)
  const lines = Array.from({ length: orders }, (_, n) => JSON.stringify(orderAt(n)))
  fleet.produce(input!, lines)
  const parameters = { orders: input, sums, counts, rate: RATE, ...settings }
  const set = Object.entries(parameters).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  expect((await fleet.cli('submit', job, '--id', id, ...set)).stderr).toBe('')
  return { sums: sums!, counts: counts! }
}
const alerts = (j: JobAnswer): string[] => j.alerts.map((a) => a.code)
const recount = (orders: number, of: Record<string, string>): string[] =>
  differences(expectation(orders), fleet.read(of['sums']!), fleet.read(of['counts']!))

test('etcd away for longer than the lease: checkpoints go on, also across a restart; then etcd is raised', async () => {
  const before = await fleet.until(jobId, 'the third epoch', (j) => j.finalEpoch >= 3)
  const leader = await fleet.leader()
  await etcd.kill()
  const degraded = await fleet.until(jobId, 'the alert', (j) => alerts(j).includes('ARBITER_DEGRADED'))
  await systemClock.sleep(ETCD_AWAY_MS) // the time itself is what is tested
  const caretaken = await fleet.until(jobId, 'five epochs more', (j) => j.finalEpoch >= degraded.finalEpoch + 5)
  expect(caretaken.restarts).toBe(0)
  expect(await fleet.leader()).toBe(leader)
  // A failure inside the outage: the caretaker restarts the job on a fresh swap of head.json.
  await fleet.kill(fleet.workers[0]!)
  await fleet.until(jobId, 'the restart', (j) => j.restarts === 1 && j.finalEpoch > caretaken.finalEpoch)
  expect((await fleet.job(jobId)).generation).toBe(before.generation)

  await etcd.start()
  await fleet.until(jobId, 'reconciliation', (j) => j.alerts.length === 0)
  const client = new Etcd3({ hosts: `http://${etcd.endpoint}` })
  const head = JSON.parse((await client.get(`/weir/${fleet.cluster}/heads/${jobId}`).string()) ?? '{}') as {
    epoch: number
  }
  client.close()
  expect(head.epoch).toBeGreaterThan(caretaken.finalEpoch)
  await fleet.addWorker()
})

test('the object store away: no epoch, no restart, and the epoch in flight is finished when it is back', async () => {
  await fleet.until(jobId, 'running', (j) => j.state === 'RUNNING')
  await s3.kill()
  const before = await fleet.job(jobId)
  await systemClock.sleep(AWAY_MS) // the time itself is what is tested
  const away = await fleet.job(jobId)
  expect(away.finalEpoch).toBeLessThanOrEqual(before.finalEpoch + 2)
  await s3.start()
  const after = await fleet.until(jobId, 'an epoch more', (j) => j.finalEpoch > away.finalEpoch + 1)
  expect(after.restarts).toBe(before.restarts)
})

test('Kafka away: the job waits', async () => {
  const before = await fleet.until(jobId, 'running', (j) => j.state === 'RUNNING')
  await kafka.kill()
  await systemClock.sleep(AWAY_MS) // the time itself is what is tested
  await kafka.start()
  await fleet.until(jobId, 'two epochs more', (j) => j.finalEpoch > before.finalEpoch + 2)
})

test('etcd and the object store away for longer than is tolerated: nothing is committed, and the reason is said', async () => {
  const id = `both-${fleet.run}`
  const out = await submit(id, FEW, { alignTimeoutMs: 1_500 })
  await fleet.until(id, 'the second epoch', (j) => j.finalEpoch >= 2)
  await Promise.all([etcd.kill(), s3.kill()])
  const failed = await fleet.until(id, 'the end of the attempt', (j) => alerts(j).includes('CLAIM_WAITING'))
  expect(failed).toMatchObject({ state: 'RESTARTING', error: { code: 'CHECKPOINTS_EXHAUSTED' } })
  expect(failed.alerts.find((a) => a.code === 'CLAIM_WAITING')?.message).toMatch(/object store/)
  const visible = fleet.read(out['sums']!).length
  await systemClock.sleep(2_000) // longer than several epochs
  expect(fleet.read(out['sums']!)).toHaveLength(visible)
  await Promise.all([etcd.start(), s3.start()])
  await fleet.unlimited(id)
  await fleet.until(id, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(recount(FEW, out)).toEqual([])
})

test('after all of it an outside reader sees every result once and in order', async () => {
  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(recount(ORDERS, topics)).toEqual([])
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
