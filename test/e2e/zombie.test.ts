/**
 * Who was taken for dead and is not: a frozen task-manager, a frozen job-manager, a task-manager behind a partition that
 * heals. Its part runs elsewhere meanwhile, and nothing it does afterwards may count: judged by `Fencing` on the history
 * of etcd and the brokers' logs, and by an outside recount.
 */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { FleetProcess } from '../../apps/cli/src/fleet.ts'
import { broken } from '../checkers/index.ts'
import { systemClock } from '@weir/runtime/system'
import { Fleet, mainJob } from './fleet.ts'
import { judge } from './judge.ts'
import { expectation, orderAt } from './orders.ts'
import { Toxic } from './toxic.ts'

const FROZEN_MS = 30_000
/** Enough for all that is done to the fleet. */
const RATE = 750

let fleet: Fleet
let topics: { orders: string; sums: string; counts: string }
let jobId: string
let toxic: Toxic | null = null
beforeEach(async () => {
  fleet = new Fleet()
  jobId = `zombie-${fleet.run}`
  await fleet.start({ managers: 0, workers: 0 })
  topics = (await fleet.topics(['orders', 'sums', 'counts'])) as typeof topics
})
afterEach(async () => {
  await fleet.stop()
  await toxic?.close()
  toxic = null
})

async function runJob(orders: number): Promise<void> {
  fleet.produce(
    topics.orders,
    Array.from({ length: orders }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const parameters = { ...topics, bounded: true, rate: RATE, intervalMs: 1_000 }
  const set = Object.entries(parameters).flatMap(([k, v]) => ['--set', `${k}=${v}`])
  expect((await fleet.cli('submit', mainJob, '--id', jobId, ...set)).stderr).toBe('')
}

async function expectHeld(orders: number): Promise<void> {
  const judged = await judge(fleet, topics, expectation(orders))
  expect(broken(...Object.values(judged))).toEqual([])
  expect(judged.fencing.acts).toBeGreaterThan(10)
  expect(await fleet.openTransactions(jobId)).toEqual([])
}

const joined = async (worker: FleetProcess): Promise<string | undefined> =>
  (await fleet.health<{ joined: { id: string } | null }>(worker))?.joined?.id
async function newName(worker: FleetProcess, old: string | undefined): Promise<void> {
  for (let name = await joined(worker); name === undefined || name === old; name = await joined(worker))
    await systemClock.sleep(20)
}

test('a task-manager under SIGSTOP for 30 s, then SIGCONT: fenced, and part of the fleet again under a new name', async () => {
  const orders = 100_000
  await fleet.addManager()
  const frozen = await fleet.addWorker()
  await fleet.addWorker()
  await runJob(orders)
  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  const nameBefore = await joined(frozen)
  frozen.child.kill('SIGSTOP')
  const frozenAt = performance.now()
  const recovered = await fleet.until(jobId, 'recovery elsewhere', (j) => j.state === 'RUNNING' && j.restarts > 0)
  // The other one has room for all of it.
  expect(new Set(recovered.slices.map((s) => s.taskManagerId)).size).toBe(1)
  expect(recovered.slices.map((s) => s.taskManagerId)).not.toContain(nameBefore)
  await systemClock.sleep(FROZEN_MS - (performance.now() - frozenAt)) // the time itself is what is tested
  const whileFrozen = (await fleet.job(jobId)).finalEpoch
  frozen.child.kill('SIGCONT')
  await newName(frozen, nameBefore)
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.finalEpoch).toBeGreaterThan(whileFrozen)
  // It broke nothing: no second restart.
  expect(end.restarts).toBe(1)
  await expectHeld(orders)
})

test('a job-manager frozen beyond its lease while its publish is on the wire: the publish arrives late and is refused', async () => {
  const orders = 40_000
  const [host, port] = fleet.servers.etcd.split(':')
  toxic = await Toxic.before(host!, Number(port))
  const old = await fleet.addManager(null, { WEIR_ETCD: toxic.address })
  const next = await fleet.addManager()
  for (let i = 0; i < 2; i++) await fleet.addWorker()
  expect(await fleet.leader()).toBe(old)
  await runJob(orders)
  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  const { generation } = await fleet.job(jobId)
  await toxic.holdFrom(`heads/${jobId}`)
  old.child.kill('SIGSTOP')
  while ((await fleet.leader()) !== next);
  await fleet.until(jobId, 'an epoch of the next leader', (j) => j.generation > generation && j.finalEpoch >= 4)
  toxic.release() // before it wakes: etcd decides alone
  old.child.kill('SIGCONT')
  const stands = (): Promise<{ leading: boolean; taskManagers: number } | null> => fleet.health(old)
  while ((await stands())?.leading !== false) await systemClock.sleep(20)
  expect(await stands()).toMatchObject({ taskManagers: 0 })
  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(await fleet.leader()).toBe(next)
  await expectHeld(orders)
})

test('a task-manager that only the job-manager cannot reach, until its slices run elsewhere: fenced, and back under a new name', async () => {
  const orders = 30_000
  const manager = await fleet.addManager()
  const [host, port] = manager.ready.grpc!.split(':')
  toxic = await Toxic.before(host!, Number(port))
  const parted = await fleet.addWorker({ WEIR_JOB_MANAGERS: toxic.address })
  await fleet.addWorker()
  await runJob(orders)
  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  const nameBefore = await joined(parted)
  toxic.part()
  await fleet.until(jobId, 'recovery elsewhere', (j) => j.state === 'RUNNING' && j.restarts > 0)
  toxic.release()
  await newName(parted, nameBefore)
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.restarts).toBe(1)
  await expectHeld(orders)
})
