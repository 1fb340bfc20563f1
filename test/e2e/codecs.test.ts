/**
 * Codecs that have to be opened, on a real fleet: CloudEvents of Avro by a schema registry, written under kill -9 and read by a
 * second job. Every order is there once, under the id that its place in the input gives it.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PrivateServer } from '../stack/private-server.ts'
import { Fleet } from './fleet.ts'
import { orderAt, type Order } from './orders.ts'

const ORDERS = 20_000
const RATE = 1_000
const jobFile = new URL('./codecs.job.ts', import.meta.url).pathname
const worker = { E2E_REGISTRY_TOKEN: 'of the workers alone' }
const fleet = new Fleet()
let registry: PrivateServer<'registry'>

beforeAll(async () => {
  registry = await PrivateServer.start('registry')
  await fleet.start({ managers: 1, workers: 0 })
  for (let i = 0; i < 2; i++) await fleet.addWorker(worker)
}, 240_000)
afterAll(async () => {
  await fleet.stop()
  await registry?.close()
})

test('events of a schema registry are written once under kill -9, and read by another job', async () => {
  const topics = await fleet.topics(['orders', 'events', 'plain'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const submit = async (stage: string, id: string, more: { rate?: number } = {}): Promise<void> => {
    const set = Object.entries({ ...topics, stage, registry: registry.endpoint, ...more })
    const args = set.flatMap(([k, v]) => ['--set', `${k}=${v}`])
    expect((await fleet.cli('submit', jobFile, '--id', id, ...args)).stderr).toBe('')
  }
  const [write, read] = [`write-${fleet.run}`, `read-${fleet.run}`]
  await submit('write', write, { rate: RATE })
  await fleet.until(write, 'the first epoch with records', (j) => j.finalEpoch >= 1 && j.recordsIn > 1_000)
  await fleet.kill(fleet.workers[0]!)
  await fleet.addWorker(worker)
  await fleet.unlimited(write)
  await fleet.until(write, 'the end of the input', (j) => j.state === 'FINISHED')
  expect((await fleet.job(write)).restarts).toBeGreaterThanOrEqual(1)

  await submit('read', read)
  await fleet.until(read, 'the end of the events', (j) => j.state === 'FINISHED')
  const events = fleet.read(topics['plain']!).map(([, event]) => event as { id: string; type: string; data: Order })
  expect(events.map(({ data }) => data).toSorted((a, b) => a.id - b.id)).toEqual(
    Array.from({ length: ORDERS }, (_, id) => orderAt(id)),
  )
  const places = Array.from({ length: ORDERS }, (_, i) => `events:${topics['orders']}-${i % 4}-${Math.floor(i / 4)}`)
  expect(events.map(({ id }) => id).toSorted()).toEqual(places.toSorted())
}, 180_000)
