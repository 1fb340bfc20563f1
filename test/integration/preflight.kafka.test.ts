/** Before a job starts, on a real broker, etcd and Redis: asked as a submit asks, by what a task-manager answers with. */
import { needsOf, type PlanSummary } from '@weir/dataflow'
import type { Janitor } from '@weir/job'
import { KafkaConnections } from '@weir/kafka'
import { etcdClient, etcdFacts } from '@weir/metadata'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleJob } from '../../apps/cli/src/bundle.ts'
import { Preflight } from '../../apps/job-manager/src/preflight.ts'
import { examineServers } from '../../apps/task-manager/src/examine.ts'
import { createTopics } from '../stack/topics.ts'
import { stackEndpoints } from '../stack/endpoints.ts'

const { kafka: broker, etcd } = stackEndpoints()
const kafka = new KafkaConnections({ brokers: [broker], clientId: 'weir-preflight' }, { clock: systemClock })
const admin = kafka.admin()
const address = { hosts: [etcd], cluster: `preflight-${systemRandom.nonce()}` }
const client = etcdClient(address)
beforeAll(() => admin.connect())
afterAll(async () => {
  client.close()
  await admin.disconnect()
  await kafka.close()
})

const job = new URL('../../apps/examples/src/01-orders.ts', import.meta.url).pathname
const janitor: Janitor = {
  ask: async (request) => {
    if (request.type !== 'examine') throw new Error(request.type)
    const options = { kafkaBrokers: [broker], dataDir: '/tmp' }
    return { type: 'examined', observed: await examineServers(request.needs, options) } as never
  },
}
const deps = {
  metadata: { etcdFacts: () => etcdFacts(client, address, { clock: systemClock, random: systemRandom }) },
  clock: systemClock,
  log: { info: () => {}, warn: () => {} },
}

test('one broker: refused in production with what to do, started with what the job accepts, taken in development', async () => {
  const run = systemRandom.nonce().slice(0, 8)
  const plan = await planned(`orders-${run}`)
  const { reads, writes } = needsOf(plan)
  await createTopics(admin, [...new Set([...reads, ...writes])], 1)
  const [production, development] = [new Preflight('production', deps), new Preflight('development', deps)]
  const refused = await production.check(plan, janitor).then(
    () => null,
    (error: { code: string; message: string }) => error,
  )
  expect(refused).toMatchObject({ code: 'JOB_UNSAFE', kind: 'invalid' })
  for (const topic of [...reads, ...writes]) expect(refused!.message).toContain(`KAFKA_REPLICATION: topic "${topic}"`)
  expect(refused!.message).toContain("acceptUnsafe: ['KAFKA_TRANSACTION_LOG', 'KAFKA_REPLICATION']")

  const settings = { ...plan.settings, acceptUnsafe: ['KAFKA_TRANSACTION_LOG', 'KAFKA_REPLICATION'] as const }
  const notes = await production.check({ ...plan, settings }, janitor)
  expect(notes.filter((note) => note.startsWith('accepted although')).length).toBe(2 + reads.length + writes.length)
  expect(await development.check(plan, janitor)).toEqual([])
})

test('a transaction timeout that the broker refuses is refused in development too', async () => {
  const plan = await planned('orders')
  const settings = { ...plan.settings, transactionTimeoutMs: 1_200_000 }
  const check = new Preflight('development', deps).check({ ...plan, settings }, janitor)
  await expect(check).rejects.toMatchObject({
    message: expect.stringContaining('set transaction.max.timeout.ms to at least 1200000 at every broker') as string,
  })
})

async function planned(orders: string): Promise<PlanSummary> {
  return (await bundleJob(job, { orders })).plan.summary
}
