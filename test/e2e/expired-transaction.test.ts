/**
 * The hole other engines leave open: the whole fleet is killed after an epoch is published and before its transactions
 * are committed, and stays down until the broker has aborted them. window.ts has how.
 */
import { initProducerId } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Fleet } from './fleet.ts'
import { differences, expectation, orderAt } from './orders.ts'
import { Toxic } from './toxic.ts'
import { killInTheWindow } from './window.ts'

const ORDERS = 40_000
const RATE = 1_500
const job = new URL('expiring.job.ts', import.meta.url).pathname
const never = new AbortController().signal

let fleet: Fleet
let toxic: Toxic
let topics: Record<string, string>
let jobId: string
beforeEach(async () => {
  fleet = new Fleet()
  jobId = `expired-${fleet.run}`
  const { hostname, port } = new URL(fleet.s3)
  toxic = await Toxic.before(hostname, Number(port))
  await fleet.start({ managers: 0, workers: 0 })
  await fleet.addManager(null, { WEIR_S3_ENDPOINT: `http://${toxic.address}` })
  for (let i = 0; i < 2; i++) await fleet.addWorker()
  topics = await fleet.topics(['orders', 'sums', 'counts'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
})
afterEach(async () => {
  await fleet.stop()
  await toxic.close()
})

async function submit(parameters: Record<string, unknown> = {}): Promise<void> {
  const set = Object.entries({ ...topics, rate: RATE, ...parameters }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
  expect((await fleet.cli('submit', job, '--id', jobId, ...set)).stderr).toBe('')
}

async function kill(): Promise<() => Promise<void>> {
  const at = await killInTheWindow(fleet, toxic, jobId)
  expect((await fleet.openTransactions(jobId)).length).toBeGreaterThan(0)
  return async () => {
    await fleet.addManager(at)
    for (let i = 0; i < 2; i++) await fleet.addWorker()
  }
}
async function allExpired(): Promise<void> {
  while ((await fleet.openTransactions(jobId)).length > 0) await systemClock.sleep(200)
}

test('heal: an outside reader sees every result once and in order; REST and metrics say what was healed', async () => {
  await submit()
  const restart = await kill()
  await allExpired()
  await restart()
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(differences(expectation(ORDERS), fleet.read(topics['sums']!), fleet.read(topics['counts']!))).toEqual([])
  expect(end.healedTransactions).toBeGreaterThan(0)
  const metrics = await (await fetch(`http://${(await fleet.leader()).ready.http}/metrics`)).text()
  expect(metrics).toMatch(new RegExp(`weir_transactions_healed_total{job="${jobId}",sink="sums",.*} [12]`))
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('only the job-manager is away, for longer than a transaction may be open: what was open is read again', async () => {
  await submit()
  await fleet.until(jobId, 'the third epoch', (j) => j.finalEpoch >= 3)
  const { grpc, http } = fleet.managers[0]!.ready
  await fleet.kill(fleet.managers[0]!)
  await allExpired()
  await fleet.addManager({ grpc: grpc!, http })
  await fleet.unlimited(jobId)
  await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(differences(expectation(ORDERS), fleet.read(topics['sums']!), fleet.read(topics['counts']!))).toEqual([])
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('fail: the job ends saying exactly what is missing, and nothing is written behind the gap', async () => {
  await submit({ onLost: 'fail' })
  const restart = await kill()
  await allExpired()
  const before = fleet.read(topics['sums']!)
  await restart()
  const end = await fleet.until(jobId, 'FAILED', (j) => j.state === 'FAILED')
  expect(end.error).toMatchObject({ code: 'TRANSACTION_LOST' })
  const { topic, transactionalId, records, firstOffsets, sequence } = end.error!.facts
  expect([topics['sums'], topics['counts']]).toContain(topic)
  expect(transactionalId).toMatch(new RegExp(`^weir\\.${jobId}\\.(sums|counts)\\.[01]\\.\\d$`))
  expect(records).toBeGreaterThan(0)
  expect(sequence).toBeGreaterThan(1)
  expect(Object.keys(firstOffsets as object).length).toBeGreaterThan(0)
  expect(fleet.read(topics['sums']!)).toEqual(before)
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('only one of two transactions expired: that one is healed, the other one committed', async () => {
  await submit({ transactionTimeoutMs: 60_000 })
  const restart = await kill()
  // What the broker's own sweep does, for the two ids of one subtask.
  for (const id of [0, 1].map((n) => `weir.${jobId}.sums.0.${n}`))
    await fleet.kafka.toTransaction(id, initProducerId(id, 60_000, null), never)
  expect((await fleet.openTransactions(jobId)).length).toBeGreaterThan(0)
  await restart()
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(differences(expectation(ORDERS), fleet.read(topics['sums']!), fleet.read(topics['counts']!))).toEqual([])
  expect(end.healedTransactions).toBe(1)
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('expired, and the log truncated below the first offsets: the marker proves it, and it is healed', async () => {
  await submit()
  const restart = await kill()
  await allExpired()
  const before = [fleet.read(topics['sums']!), fleet.read(topics['counts']!)] as const
  for (const name of ['sums', 'counts']) await fleet.truncate(topics[name]!)
  await restart()
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  const sums = [...before[0], ...fleet.read(topics['sums']!)]
  const counts = [...before[1], ...fleet.read(topics['counts']!)]
  expect(differences(expectation(ORDERS), sums, counts)).toEqual([])
  expect(end.healedTransactions).toBeGreaterThan(0)
})
