/** A broker that lets nobody in without TLS and a password: what is let in, and what is told to those who are not. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KafkaConnections, KafkaDurableLog, kafkaSecurity, type KafkaSecurity } from '@weir/kafka'
import { systemClock } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestAuthority } from '../../libs/wire/src/tls/testing.ts'
import { freePorts } from '../../tools/stack/servers.mjs'
import { PrivateServer } from '../stack/private-server.ts'

const PASSWORD = 'only-for-this-test'
let broker: PrivateServer<'kafka'>
let address = ''
let ca = ''
let password = ''

beforeAll(async () => {
  const authority = new TestAuthority('kafka')
  ca = authority.ca
  const { certificate, key } = authority.issue()
  const store = join(authority.dir, 'store.pem')
  writeFileSync(store, `${readFileSync(key, 'utf8')}${readFileSync(certificate, 'utf8')}`)
  password = join(authority.dir, 'password')
  writeFileSync(password, `${PASSWORD}\n`)
  const [secured] = await freePorts(1)
  address = `127.0.0.1:${secured}`
  const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
  broker = await PrivateServer.start('kafka', ({ port, controller }) => [
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller},SECURED://${address}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port},SECURED://${address}`,
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL',
    'ssl.keystore.type=PEM',
    `ssl.keystore.location=${store}`,
    'listener.name.secured.sasl.enabled.mechanisms=PLAIN',
    `listener.name.secured.plain.sasl.jaas.config=${login} user_weir="${PASSWORD}";`,
  ])
  const open = new KafkaConnections({ brokers: [broker.endpoint], clientId: 'weir-test' }, { clock: systemClock })
  const admin = open.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'secured', numPartitions: 1, replicationFactor: 1 }] })
  await admin.disconnect()
  await open.close()
})
afterAll(() => broker.close())

const settings = (over: Record<string, string> = {}): KafkaSecurity =>
  kafkaSecurity({
    ...{ WEIR_KAFKA_TLS_CA: ca, WEIR_KAFKA_SASL: 'plain', WEIR_KAFKA_USERNAME: 'weir' },
    ...{ WEIR_KAFKA_PASSWORD: `file:${password}`, ...over },
  })
const connections = (security: KafkaSecurity): KafkaConnections =>
  new KafkaConnections({ brokers: [address], clientId: 'weir-test', security }, { clock: systemClock })

test('who has the password, from a file, reads and writes', async () => {
  const kafka = connections(settings())
  expect(await kafka.partitions('secured')).toEqual([0])
  expect(await kafka.transactionProtocol()).toBe('v2')
  await kafka.close()
  const log = new KafkaDurableLog({ brokers: [address], clientId: 'weir-test', security: settings() })
  await log.append('secured', [{ key: null, value: Buffer.from('x'), timestamp: 1, headers: [] }])
  await log.close()
})

test.each([
  ['a wrong password', () => settings({ WEIR_KAFKA_PASSWORD: 'another-secret' })],
  ['no password', () => ({ ...settings(), sasl: null })],
  ['another authority', () => settings({ WEIR_KAFKA_TLS_CA: new TestAuthority('strange').ca })],
])('%s: not let in, and the error has no secret', async (_, security) => {
  const kafka = connections(security())
  // Without a password the first question that needs one is refused.
  const error = await kafka.partitions('secured').then(undefined, (e: unknown) => e)
  expect(error).toMatchObject({
    code: 'KAFKA_UNAVAILABLE',
    message: expect.stringContaining('WEIR_KAFKA_SASL') as string,
  })
  expect(JSON.stringify(error)).not.toMatch(/another-secret|only-for-this-test/)
  await kafka.close()
})
