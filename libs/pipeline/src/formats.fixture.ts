/** Pairs about how topics are written, and where claims are kept. */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import {
  avro,
  env,
  job,
  json,
  kafka,
  messageType,
  postgres,
  protoJson,
  redis,
  schemaRegistry,
  tiered,
  tikv,
  withNamedHeaders,
  type Claims,
  type Codec,
} from '@weir/sdk'
import type { Order, Pair } from './pairs.fixture.ts'

const ORDER_AVRO = {
  type: 'record',
  name: 'Order',
  fields: [
    ...['id', 'user', 'status'].map((name) => ({ name, type: 'string' })),
    ...['amount', 'ts'].map((name) => ({ name, type: 'long' })),
  ],
}
const SPENT_AVRO = {
  type: 'record',
  name: 'Spent',
  fields: [
    { name: 'user', type: 'string' },
    { name: 'amount', type: 'long' },
  ],
}

/** A FileDescriptorSet of one message, as buf makes it. */
export const DESCRIPTOR_SET = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, {
    file: [
      create(FileDescriptorProtoSchema, {
        ...{ name: 'shop.proto', package: 'shop', syntax: 'proto3' },
        messageType: [
          {
            name: 'Order',
            field: [
              ...(['id', 'user', 'status'] as const).map((name) => [name, Type.STRING] as const),
              ...(['amount', 'ts'] as const).map((name) => [name, Type.DOUBLE] as const),
            ].map(([name, type], i) => ({ name, jsonName: name, number: i + 1, type, label: Label.OPTIONAL })),
          },
        ],
      }),
    ],
  }),
)
const BASE64 = Buffer.from(DESCRIPTOR_SET).toString('base64')

const TYPES = 'types:\n  Order: { id: string, user: string, amount: int, status: string, ts: int }\n'
const whole = (yaml: string, of: Pair['job']): Pair => ({ yaml: `version: 1\nname: twin\n${yaml}`, job: of })
/** Orders are read by one codec, and what is spent is written by another. */
const spent = (format: string, read: Codec<Order>, to: string, write: Codec<unknown>): Pair =>
  whole(
    `${TYPES}steps:
  - from: { kafka: { topic: orders, value: Order, format: ${format}, timestamp: value.ts, outOfOrder: 1s } }
    uid: orders
  - filter: value.status == "PAID"
    uid: paid
  - map: { user: value.user, amount: value.amount }
  - to: { kafka: { topic: out, format: ${to} } }`,
    job('twin', (flow) =>
      flow
        .from(kafka.topic('orders', { value: read, timestamp: ({ ts }) => ts, outOfOrder: '1s' }), 'orders')
        .filter(({ status }) => status === 'PAID', 'paid')
        .map(({ user, amount }) => ({ user, amount }))
        .to(kafka.sink('out', { value: write })),
    ),
  )

/** Run with records, too. */
export const runningFormats: Readonly<Record<string, Pair>> = {
  'Avro to Avro': spent(
    `{ avro: ${JSON.stringify(ORDER_AVRO)} }`,
    avro<Order>(ORDER_AVRO),
    `{ avro: ${JSON.stringify(JSON.stringify(SPENT_AVRO))} }`,
    avro(SPENT_AVRO),
  ),
  'Protobuf to JSON': spent(
    `{ protobuf: { descriptorSet: ${BASE64}, message: shop.Order } }`,
    protoJson<Order>(messageType(DESCRIPTOR_SET, 'shop.Order')),
    'json',
    json(),
  ),
}

const registry = schemaRegistry({ url: 'https://registry:8081', auth: { token: env('REGISTRY') } })
const claims = (yaml: string, store: Claims): Pair =>
  whole(
    `steps:
  - from: { kafka: { topic: in } }
  - idempotent: { bizKey: value.id, store: ${yaml} }
    uid: once
  - to: { kafka: out }`,
    job('twin', (flow) =>
      flow
        .from(kafka.topic('in', { value: json<{ id: string }>() }))
        .idempotent('once', { bizKey: ({ id }) => id, store })
        .to(kafka.sink('out')),
    ),
  )

/** What needs servers: only their graphs are compared. */
export const plannedFormats: Readonly<Record<string, Pair>> = {
  'a schema registry, Avro and JSON': spent(
    `{ registry: { url: https://registry:8081, auth: { token: env:REGISTRY }, schema: ${JSON.stringify(ORDER_AVRO)} } }`,
    registry.avro<Order>(ORDER_AVRO),
    `{ registry: { url: https://registry:8081, auth: { token: env:REGISTRY }, as: json, schema: { title: Spent }, autoRegister: true } }`,
    registry.json(undefined, { jsonSchema: { title: 'Spent' }, autoRegister: true }),
  ),
  'a schema registry, Protobuf': spent(
    `{ registry: { url: https://registry:8081, auth: { token: env:REGISTRY }, as: protobuf, schema: { descriptorSet: ${BASE64}, message: shop.Order } } }`,
    registry.protoJson<Order>(messageType(DESCRIPTOR_SET, 'shop.Order')),
    `{ registry: { url: https://registry:8081, auth: { token: env:REGISTRY }, as: protobuf, schema: { descriptorSet: ${BASE64}, message: shop.Order }, autoRegister: true } }`,
    registry.protoJson(messageType(DESCRIPTOR_SET, 'shop.Order'), { autoRegister: true }),
  ),
  'headers that are read and written': whole(
    `steps:
  - from: { kafka: { topic: in, headers: { region: x-region } } }
  - filter: value.headers.region == "eu"
  - map: { id: value.value.id, region: value.headers.region }
  - to: { kafka: { topic: out, headers: { x-region: value.region, x-kind: '"order"' } } }`,
    job('twin', (flow) =>
      flow
        .from(kafka.topic('in', { value: withNamedHeaders(json<{ id: string }>(), { region: 'x-region' }) }))
        .filter(({ headers }) => headers.region === 'eu')
        .map(({ value, headers }) => ({ id: value.id, region: headers.region }))
        .to(
          kafka.sink('out', {
            headers: ({ region }) => [...(region === null ? [] : [['x-region', region] as const]), ['x-kind', 'order']],
          }),
        ),
    ),
  ),
  'claims in TiKV': claims(
    '{ tikv: { pd: [pd-0:2379, pd-1:2379], namespace: pay, keyspace: k, tls: { ca: file:/tls/ca.pem }, deadline: 200ms } }',
    tikv({
      ...{ pd: ['pd-0:2379', 'pd-1:2379'], namespace: 'pay', keyspace: 'k' },
      ...{ tls: { ca: 'file:/tls/ca.pem' }, deadline: '200ms' },
    }),
  ),
  'claims in tiers': claims(
    '{ tiered: { remote: { redis: { url: env:REDIS } }, localDir: /var/claims, soleWriter: true, entriesMax: 1000 } }',
    tiered({ remote: redis({ url: 'env:REDIS' }), localDir: '/var/claims', soleWriter: true, entriesMax: 1_000 }),
  ),
  'claims in PostgreSQL': claims(
    '{ postgres: { url: env:DB, table: pay.claims } }',
    postgres.claims({ url: 'env:DB', table: 'pay.claims' }),
  ),
}
