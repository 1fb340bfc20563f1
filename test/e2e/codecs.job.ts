/** Orders as CloudEvents whose data is Avro by a schema registry (`stage=write`), and those events as plain JSON again (`read`). */
import { cloudEvents, env, job, json, kafka, params, schemaRegistry } from '@weir/sdk'
import type { Order } from './orders.ts'

const {
  registry: url,
  stage,
  orders,
  events,
  plain,
  rate,
} = params({
  ...{ registry: 'http://127.0.0.1:8081', stage: 'write', orders: 'orders', events: 'events', plain: 'plain' },
  rate: 50_000,
})
const registry = schemaRegistry({ url, auth: { token: env('E2E_REGISTRY_TOKEN') } })
const OrderSchema = {
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'user', type: 'string' },
    { name: 'amountMinor', type: 'long' },
    { name: 'status', type: { type: 'enum', name: 'Status', symbols: ['PAID', 'FAILED'] } },
    { name: 'ts', type: { type: 'long', logicalType: 'timestamp-millis' } },
  ],
}
const value = cloudEvents(registry.avro<Order>(OrderSchema, { autoRegister: true }), {
  source: '/shop/orders',
  type: 'shop.order',
})

export default job(`codecs-${stage}`, { parallelism: 2, traceContext: true }, (flow) => {
  if (stage === 'write') {
    flow
      .from(kafka.topic(orders, { value: json<Order>(), until: 'latest', recordsPerSecond: rate }), 'orders')
      .keyBy((order) => order.user, 'by-user')
      .reduce('order', { data: null as Order | null }, (_, data) => ({ data }))
      .to(kafka.sink(events, { value }), 'events')
  } else {
    flow.from(kafka.topic(events, { value, until: 'latest' }), 'events').to(kafka.sink(plain), 'plain')
  }
})
