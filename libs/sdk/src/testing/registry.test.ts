/** Codecs of a schema registry in a test: no server, and the same bytes in their wire format. */
import { expect, test } from 'vitest'
import { job, json, kafka, schemaRegistry } from '../index.ts'
import { MemoryRegistry, testJob } from './index.ts'

interface Order {
  readonly id: string
  readonly amountMinor: number
}
const schema = {
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'amountMinor', type: 'long' },
  ],
}
const registry = schemaRegistry({ url: 'https://registry.invalid' })
const sums = job('sums', (flow) => {
  flow
    .from(kafka.topic('orders', { value: registry.avro<Order>(schema) }))
    .keyBy((order) => order.id)
    .reduce('sum', { id: '', amountMinor: 0 }, (sum, { id, amountMinor }) => ({
      id,
      amountMinor: sum.amountMinor + amountMinor,
    }))
    .to(kafka.sink('sums', { key: registry.avro({ type: 'string' }), value: registry.avro<Order>(schema) }))
})

test('what is fed goes through the registry, and so does what is written, also behind a restart', async () => {
  const own = new MemoryRegistry()
  const t = testJob(sums, { registry: own })
  await t.feed<Order>('orders', [{ id: 'ada', amountMinor: 3 }])
  await t.checkpoint()
  await t.restart()
  await t.feed<Order>('orders', [{ id: 'ada', amountMinor: 4 }])
  expect(t.output<Order>('sums').map(({ value }) => value)).toEqual([
    { id: 'ada', amountMinor: 3 },
    { id: 'ada', amountMinor: 7 },
  ])
  const { key, value } = t.records('sums')[0]!
  expect((await own.version('sums-value', 'latest')).id).toBe(Buffer.from(value!).readInt32BE(1))
  const { id } = await own.version('sums-key', 'latest')
  expect([...key!]).toEqual([0, 0, 0, 0, id, 6, ...Buffer.from('ada')])
  await t.close()
})

test('a codec of a registry that only the key has', async () => {
  const t = testJob(
    job('keys', (flow) => {
      flow
        .from(kafka.topic('words', { value: json<string>() }))
        .keyBy((word) => word)
        .reduce('n', 0, (n) => n + 1)
        .to(kafka.sink('counts', { key: registry.json(undefined, { jsonSchema: { type: 'string' } }) }))
    }),
  )
  await t.feed('words', ['a', 'a'])
  expect(t.output('counts').map(({ value }) => value)).toEqual([1, 2])
  expect(Buffer.from(t.records('counts')[0]!.key!).subarray(5).toString()).toBe('"a"')
  await t.close()
})

test('a schema another writer has registered is read; an id nobody has is none', async () => {
  const own = new MemoryRegistry()
  const older = { ...schema, fields: [...schema.fields, { name: 'note', type: 'string' }] }
  const { id } = await own.register('orders-value', {
    schemaType: 'AVRO',
    schema: JSON.stringify(older),
    references: [],
  })
  const t = testJob(sums, { registry: own })
  const payload = Buffer.from([2, 'a'.charCodeAt(0), 14, 0])
  await t.feed('orders', [Buffer.from([0, 0, 0, 0, id, ...payload])])
  expect(t.output<Order>('sums').map(({ value }) => value)).toEqual([{ id: 'a', amountMinor: 7 }])
  await expect(own.byId(99)).rejects.toMatchObject({ code: 'SCHEMA_UNKNOWN' })
  await expect(own.version('nobody', 1)).rejects.toMatchObject({ code: 'SCHEMA_UNKNOWN' })
  await t.close()
})
