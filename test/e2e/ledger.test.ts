/**
 * The transaction ledger on a real fleet: every open and prepared transaction is known, and however a job ends, none stays
 * open and no reader is stuck. What goes to S3 is kept back to kill the fleet between publish and commit.
 */
import { endTxn, initProducerId } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { produce } from '../../libs/kafka/src/wire/apis.ts'
import { BatchBuilder } from '../../libs/kafka/src/wire/records.ts'
import { InOrder, broken } from '../checkers/index.ts'
import { Fleet, UNTIL_TIMEOUT_MS, type JobAnswer } from './fleet.ts'
import { stuckReaders } from './judge.ts'
import { orderAt } from './orders.ts'
import { Toxic } from './toxic.ts'
import { killInTheWindow } from './window.ts'

const ORDERS = 40_000
/** Longer than this test: nothing here is ended by the broker. */
const TRANSACTION_TIMEOUT_MS = 120_000
const job = new URL('expiring.job.ts', import.meta.url).pathname
const never = new AbortController().signal

const fleet = new Fleet()
let toxic: Toxic
let orders: string
beforeAll(async () => {
  const { hostname, port } = new URL(fleet.s3)
  toxic = await Toxic.before(hostname, Number(port))
  await fleet.start({ managers: 0, workers: 0 })
  await fleet.addManager(null, throughToxic())
  for (let i = 0; i < 2; i++) await fleet.addWorker()
  orders = (await fleet.topics(['orders']))['orders']!
  fleet.produce(
    orders,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
})
afterAll(async () => {
  await fleet.stop()
  await toxic.close()
})
const throughToxic = (): Record<string, string> => ({ WEIR_S3_ENDPOINT: `http://${toxic.address}` })

interface Submitted {
  readonly jobId: string
  readonly topics: readonly [sums: string, counts: string]
}
async function submit(name: string, parameters: Record<string, unknown> = {}): Promise<Submitted> {
  const jobId = `${name}-${fleet.run}`
  const { [`${name}-sums`]: sums, [`${name}-counts`]: counts } = await fleet.topics([`${name}-sums`, `${name}-counts`])
  const all = { orders, sums, counts, rate: 2_000, transactionTimeoutMs: TRANSACTION_TIMEOUT_MS, ...parameters }
  const set = Object.entries(all).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  expect((await fleet.cli('submit', job, '--id', jobId, ...set)).stderr).toBe('')
  return { jobId, topics: [sums!, counts!] }
}

/** What a producer with this id opens, and nobody ends. */
async function openTransaction(id: string, topic: string): Promise<{ producerId: bigint; producerEpoch: number }> {
  const identity = await fleet.kafka.toTransaction(id, initProducerId(id, TRANSACTION_TIMEOUT_MS, null), never)
  await fleet.kafka.partitions(topic)
  const batch = new BatchBuilder()
  batch.append(Buffer.from('late'), Buffer.from('{}'), Date.now())
  const { errorCode } = await fleet.kafka.toLeader(
    topic,
    0,
    produce('v2', id, [{ topic, partition: 0, records: batch.finish(identity, 0) }]),
    never,
  )
  expect(errorCode).toBe(0)
  return identity
}
async function nothingOpen({ jobId, topics }: Submitted): Promise<void> {
  expect(await fleet.openTransactions(jobId)).toEqual([])
  expect(broken(await stuckReaders(fleet.kafka, topics))).toEqual([])
  expect((await fleet.transactions(jobId)).filter((t) => t.atServer !== null)).toEqual([])
}
const sinks = (j: JobAnswer): string[] => j.sinks.map((s) => `${s.sink} ${s.subtask} ${s.state}`).sort()
const refusal = async (...args: string[]): Promise<string> => {
  const { status, stderr } = await fleet.cli(...args, '--json')
  expect(status).toBe(2)
  return (JSON.parse(stderr) as { code: string }).code
}

let cancelled: Submitted
let abandoned: Submitted
let leaderAt: Awaited<ReturnType<typeof killInTheWindow>>
test('every transaction is known; by hand nothing can be ended that the job still needs, or that is not its own', async () => {
  cancelled = await submit('cancelled', { rate: 500 }) // for a minute and more
  const { jobId } = cancelled
  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  const foreign = `weir.nobody-${fleet.run}.sums.0.0`
  const { foreign: elsewhere } = await fleet.topics(['foreign'])
  const identity = await openTransaction(foreign, elsewhere!)

  const atBroker = new Set((await fleet.openTransactions(jobId)).map((t) => t.split(' ')[0]))
  const known = await fleet.transactions(jobId)
  for (const id of atBroker) expect(known.map((t) => t.transactionalId)).toContain(id)
  // Within two seconds of checkpoints every state of a healthy job is seen.
  const seen = new Set<string>()
  while (!['open', 'committed'].every((s) => seen.has(s)) || !(seen.has('prepared') || seen.has('published')))
    for (const t of await fleet.transactions(jobId)) seen.add(t.state)
  expect((await fleet.transactions()).find((t) => t.transactionalId === foreign)).toMatchObject({
    jobId: null,
    state: 'foreign',
    atServer: 'open',
  })

  const list = await fleet.cli('txn', 'list', jobId)
  expect(list.stdout).toMatch(new RegExp(`^weir\\.${jobId}\\.sums\\.\\d\\.\\d\\t`, 'm'))
  const running = async (): Promise<string> => {
    for (;;) {
      const found = (await fleet.transactions(jobId)).find((t) => t.state === 'open' && t.atServer === 'open')
      if (found) return found.transactionalId
    }
  }
  for (let code = ''; code !== 'TRANSACTION_IN_USE';) {
    code = await refusal('txn', 'abort', await running())
    // Published, or over, since it was listed.
    expect(code).toMatch(/^TRANSACTION_(IN_USE|PUBLISHED|NOT_FOUND)$/)
  }
  expect(await refusal('txn', 'commit', foreign)).toBe('TRANSACTION_FOREIGN')
  expect(await refusal('txn', 'abort', foreign)).toBe('TRANSACTION_FOREIGN')
  expect(await refusal('txn', 'abort', `weir.${jobId}.sums.0.9`)).toBe('TRANSACTION_NOT_FOUND')
  const { http } = (await fleet.leader()).ready
  const post = await fetch(`http://${http}/api/v1/transactions/${foreign}/abort`, { method: 'POST' })
  expect(post.status).toBe(409)
  expect(await post.json()).toMatchObject({ code: 'TRANSACTION_FOREIGN', type: 'urn:weir:error:TRANSACTION_FOREIGN' })
  await fleet.kafka.toTransaction(foreign, endTxn('v2', foreign, identity, false), never)
})

test('a cancelled job leaves nothing open, also when a late recovery opens a transaction after the end', async () => {
  const { jobId, topics } = cancelled
  expect((await fleet.cli('cancel', jobId)).status).toBe(0)
  await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  await nothingOpen(cancelled)
  // InitProducerId without an epoch goes through whenever it comes.
  const late = `weir.${jobId}.sums.1.0`
  await openTransaction(late, topics[0])
  const deadline = performance.now() + UNTIL_TIMEOUT_MS
  while ((await fleet.openTransactions(jobId)).length > 0) {
    expect(performance.now()).toBeLessThan(deadline)
    await systemClock.sleep(50)
  }
  await nothingOpen(cancelled)
  // The broker knows before the leader has the answer.
  const metrics = async (): Promise<string> =>
    (await fetch(`http://${(await fleet.leader()).ready.http}/metrics`)).text()
  await expect
    .poll(metrics)
    .toMatch(new RegExp(`weir_transactions_decided_total{job="${jobId}",decision="abort",by="reaper",.*} 1`))
})

test('C5: one transaction lost and the job failed: the others are committed, and the ledger says which is which', async () => {
  const failed = await submit('failed', { onLost: 'fail' })
  const { jobId } = failed
  const at = await killInTheWindow(fleet, toxic, jobId)
  // What the broker's own sweep does, to the ids of one subtask.
  for (const id of [0, 1].map((n) => `weir.${jobId}.sums.0.${n}`))
    await fleet.kafka.toTransaction(id, initProducerId(id, TRANSACTION_TIMEOUT_MS, null), never)
  await fleet.addManager(at, throughToxic())
  for (let i = 0; i < 2; i++) await fleet.addWorker()
  await fleet.until(jobId, 'FAILED', (j) => j.state === 'FAILED')
  const verdicts = ['counts 0 CLEAN', 'counts 1 CLEAN', 'sums 0 LOST', 'sums 1 CLEAN']
  const end = await fleet.until(jobId, 'FAILED, settled', (j) => !sinks(j).some((s) => s.includes('UNS')))
  expect(sinks(end)).toEqual(verdicts)
  await nothingOpen(failed)
  const known = (await fleet.transactions(jobId)).map((t) => `${t.sink} ${t.subtask} ${t.state}`)
  expect(new Set(known)).toContain('sums 0 lost')
  expect(known.filter((t) => t.endsWith('lost')).length).toBe(1)
  expect(known.every((t) => t.endsWith('lost') || t.endsWith('committed'))).toBe(true)
  const lost = (await fleet.transactions(jobId)).find((t) => t.state === 'lost')!.transactionalId
  expect(await refusal('txn', 'commit', lost)).toBe('TRANSACTION_LOST')
  expect((await fleet.cli('get', jobId)).stdout).toMatch(/sink sums, subtask 0: LOST: transaction \d+ of weir/)
})

test('killed between publish and commit, with too few slots left: by hand, what is published is committed and the rest aborted', async () => {
  abandoned = await submit('abandoned')
  const { jobId, topics } = abandoned
  leaderAt = await killInTheWindow(fleet, toxic, jobId)
  const before = fleet.read(topics[0]).length
  await fleet.addManager(leaderAt, throughToxic())
  await fleet.addWorker({ WEIR_SLOTS: '1' })
  await fleet.until(jobId, 'waiting for slots', (j) => j.error?.facts['free'] === 1)

  const known = await fleet.transactions(jobId)
  const published = known.filter((t) => t.sink === 'sums' && t.state === 'published' && t.atServer === 'open')
  const open = known.filter((t) => t.state === 'open')
  expect([published.length, open.length]).toEqual([2, expect.any(Number)])
  for (const { transactionalId } of published) {
    expect(await refusal('txn', 'abort', transactionalId)).toBe('TRANSACTION_PUBLISHED')
    expect(await fleet.cli('txn', 'commit', transactionalId)).toMatchObject({ status: 0, stderr: '' })
  }
  for (const { transactionalId } of open)
    expect(await fleet.cli('txn', 'abort', transactionalId)).toMatchObject({ status: 0, stderr: '' })
  const left = await fleet.openTransactions(jobId)
  for (const { transactionalId } of [...published, ...open]) expect(left.join(' ')).not.toContain(transactionalId)
  expect(broken(await stuckReaders(fleet.kafka, [topics[0]]))).toEqual([])
  expect(fleet.read(topics[0]).length).toBeGreaterThan(before)
})

test('cancelled with no task-manager left: the first one to come settles it, also under the next leader', async () => {
  const { jobId, topics } = abandoned
  await fleet.kill(fleet.workers[0]!)
  expect(await fleet.cli('cancel', jobId)).toMatchObject({ status: 0, stderr: '' })
  const end = await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  expect(sinks(end).filter((s) => s.endsWith('UNSETTLED')).length).toBe(4)
  const { http } = (await fleet.leader()).ready
  const nobody = await fetch(`http://${http}/api/v1/jobs/${jobId}/transactions`)
  expect([nobody.status, ((await nobody.json()) as { code: string }).code]).toEqual([503, 'JANITOR_MISSING'])

  // The next leader knows it from the job's record.
  await fleet.kill(fleet.managers[0]!)
  await fleet.addManager(leaderAt)
  await fleet.addWorker()
  await fleet.until(jobId, 'settled', (j) => j.sinks.length === 4 && sinks(j).every((s) => s.endsWith('CLEAN')))
  await nothingOpen(abandoned)
  const order = new InOrder()
  for (const [user, value] of fleet.read(topics[0])) order.saw(user, (value as { count: number }).count)
  expect(broken(order)).toEqual([])
})
