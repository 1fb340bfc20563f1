/** `weir topics` on a real Kafka. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { bundleJob } from './bundle.ts'
import { topics, type TopicsCommand } from './topics.ts'

const { kafka } = stackEndpoints()
const job = new URL('../../examples/src/01-orders.ts', import.meta.url).pathname
const run = `topics-${randomUUID().slice(0, 8)}`
const ours = { orders: `${run}-in`, sums: `${run}-sums`, counts: `${run}-counts` }

async function ask(over: Partial<TopicsCommand>, params: Record<string, string> = ours): Promise<unknown> {
  const { plan } = await bundleJob(job, params)
  const printed: unknown[] = []
  const command = { plan: plan.summary, brokers: kafka, create: false, partitions: undefined, env: {} }
  const exitCode = await topics({ ...command, ...over }, (value) => printed.push(value))
  return { exitCode, rows: printed[0] }
}
const rows = (partitions: number | null, created: boolean): object[] => [
  { topic: ours.orders, use: 'reads', partitions, created },
  { topic: ours.sums, use: 'writes', partitions, created },
  { topic: ours.counts, use: 'writes', partitions, created },
]

test('says what is missing, creates it when told to, and leaves what is there', async () => {
  expect(await ask({})).toEqual({ exitCode: 1, rows: rows(null, false) })
  expect(await ask({ create: true, partitions: 3 })).toEqual({ exitCode: 0, rows: rows(3, true) })
  expect(await ask({ create: true, partitions: 5 })).toEqual({ exitCode: 0, rows: rows(3, false) })
  // As wide as what the job reads.
  const wider = { ...ours, sums: `${run}-more` }
  expect(await ask({ create: true }, wider)).toMatchObject({
    rows: [{}, { topic: wider.sums, partitions: 3, created: true }, {}],
  })
})

test('a name that cannot be one is no broker that is away', async () => {
  await expect(ask({}, { ...ours, orders: 'no such name' })).rejects.toMatchObject({
    code: 'TOPIC_NAME_INVALID',
    kind: 'invalid',
  })
})

test('without brokers it says where they are looked for', async () => {
  await expect(ask({ brokers: undefined })).rejects.toThrow('WEIR_KAFKA_BROKERS')
})
