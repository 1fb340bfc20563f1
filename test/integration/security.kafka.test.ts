/** A broker that lets nobody in without a password, proven by PLAIN (inside TLS) or SCRAM: what is let in, and what is told to those who are not. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contextOf } from '@weir/dataflow/testing'
import { KafkaConnections, KafkaDurableLog, KafkaSink, kafkaSecurity, type KafkaSecurity } from '@weir/kafka'
import { epoch } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Audit } from '../../apps/job-manager/src/audit/audit.ts'
import type { AuditEntry } from '../../apps/job-manager/src/audit/entry.ts'
import { AuditFile } from '../../apps/job-manager/src/audit/file.ts'
import { AuditTopic } from '../../apps/job-manager/src/audit/topic.ts'
import { TestAuthority } from '../../libs/wire/src/tls/testing.ts'
import { freePorts, kafkaConfigs } from '../../tools/stack/servers.mjs'
import { PrivateServer } from '../stack/private-server.ts'
import { createTopics } from '../stack/topics.ts'

const PASSWORD = 'only-for-this-test'
let broker: PrivateServer<'kafka'>
/** SASL_SSL. */
let address = ''
/** SASL_PLAINTEXT: SCRAM sends no password. */
let inTheClear = ''
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
  const [secured, clear] = await freePorts(2)
  address = `127.0.0.1:${secured}`
  inTheClear = `127.0.0.1:${clear}`
  const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
  const scram = ['secured', 'clear'].flatMap((listener) =>
    [256, 512].map(
      (bits) =>
        `listener.name.${listener}.scram-sha-${bits}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;`,
    ),
  )
  broker = await PrivateServer.start('kafka', ({ port, controller }) => [
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller},SECURED://${address},CLEAR://${inTheClear}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port},SECURED://${address},CLEAR://${inTheClear}`,
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL,CLEAR:SASL_PLAINTEXT',
    'ssl.keystore.type=PEM',
    `ssl.keystore.location=${store}`,
    'listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.clear.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512',
    ...scram,
    `listener.name.secured.plain.sasl.jaas.config=${login} user_weir="${PASSWORD}";`,
  ])
  const open = new KafkaConnections({ brokers: [broker.endpoint], clientId: 'weir-test' }, { clock: systemClock })
  const admin = open.admin()
  await admin.connect()
  await createTopics(admin, ['secured', 'audit'], 3)
  await admin.disconnect()
  await open.close()
  for (const bits of [256, 512] as const) {
    await scramPassword(bits, PASSWORD)
    while (!Array.isArray(await asked(`scram-sha-${bits}`, `file:${password}`)));
  }
}, 240_000)
afterAll(() => broker.close())

const settings = (over: Record<string, string> = {}): KafkaSecurity =>
  kafkaSecurity({
    ...{ WEIR_KAFKA_TLS_CA: ca, WEIR_KAFKA_SASL: 'plain', WEIR_KAFKA_USERNAME: 'weir' },
    ...{ WEIR_KAFKA_PASSWORD: `file:${password}`, ...over },
  })
const connections = (security: KafkaSecurity): KafkaConnections =>
  new KafkaConnections(
    { brokers: [security.tls === null ? inTheClear : address], clientId: 'weir-test', security },
    { clock: systemClock },
  )
/** What who comes with this password is told. */
async function asked(mechanism: string, of: string): Promise<unknown> {
  const kafka = connections(settings({ WEIR_KAFKA_SASL: mechanism, WEIR_KAFKA_PASSWORD: of }))
  const answer = await kafka.partitions('secured').then(undefined, (error: unknown) => error)
  await kafka.close()
  return answer
}
/** As an administrator sets it; the broker takes one hash per request, and knows it a moment after its answer. */
const scramPassword = (bits: 256 | 512, of: string): Promise<unknown> => {
  const user = ['--alter', '--entity-type', 'users', '--entity-name', 'weir', '--add-config']
  return kafkaConfigs(broker.endpoint, ...user, `SCRAM-SHA-${bits}=[password=${of}]`)
}

test('who has the password, from a file, reads and writes', async () => {
  const kafka = connections(settings())
  expect(await kafka.partitions('secured')).toEqual([0, 1, 2])
  expect(await kafka.transactionProtocol()).toBe('v2')
  await kafka.close()
  const log = new KafkaDurableLog({ brokers: [address], clientId: 'weir-test', security: settings() })
  await log.append('secured', [{ key: null, value: Buffer.from('x'), timestamp: 1, headers: [] }])
  await log.close()
})

test.each([
  ['scram-sha-256', 'TLS'],
  ['scram-sha-512', 'TLS'],
  ['scram-sha-256', 'the clear'],
  ['scram-sha-512', 'the clear'],
])('%s in %s: reads, and writes in a transaction', async (mechanism, by) => {
  const security = settings({ WEIR_KAFKA_SASL: mechanism, ...(by === 'the clear' && { WEIR_KAFKA_TLS: 'off' }) })
  expect([security.tls === null, security.sasl?.mechanism]).toEqual([by === 'the clear', mechanism])
  const kafka = connections(security)
  expect(await kafka.partitions('secured')).toEqual([0, 1, 2])
  const word = `${mechanism} in ${by}`
  const context = contextOf(word.replaceAll(' ', '-').toLowerCase(), 'out')
  const sink = new KafkaSink(
    { topic: 'secured', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String },
    { context, kafka, clock: systemClock, staged: null },
  )
  await sink.recover(null)
  await sink.write({ keys: ['k'], values: [word], timestamps: [1_700_000_000_000] })
  await sink.prepare({ ...context.attempt, epoch: epoch(1) })
  await sink.commit(1)
  await sink.close('leave')
  const committed = ['-C', '-t', 'secured', '-e', '-q', '-X', 'isolation.level=read_committed']
  const seen = (): string => execFileSync('kcat', ['-b', broker.endpoint, ...committed]).toString()
  await expect.poll(seen).toContain(word)
  await kafka.close()
})

test('a SCRAM password that was changed: who connects with the old one is not let in, with the new one is', async () => {
  await scramPassword(512, 'another-one')
  await expect.poll(() => asked('scram-sha-512', `file:${password}`)).toMatchObject({ code: 'KAFKA_UNAVAILABLE' })
  expect(await asked('scram-sha-512', 'another-one')).toEqual([0, 1, 2])
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

test('the audit log comes into its topic in order, also what was changed while the broker was dead', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'weir-audit-')), 'audit.ndjson')
  const log = { info: () => undefined, warn: () => undefined }
  const open = async (): Promise<Audit> => {
    const file = await AuditFile.open(path, true)
    const topics = new KafkaDurableLog({ brokers: [address], clientId: 'weir-audit', security: settings() })
    const options = { path, topic: 'audit', key: 'job-manager-0', waitingBytesMax: 1 << 20 }
    const topic = await AuditTopic.open(options, { topics, clock: systemClock, log })
    return new Audit({ file, topic, log: log as never, clock: systemClock, random: systemRandom })
  }
  const change = (audit: Audit, target: string): Promise<void> =>
    audit.change(
      { who: { name: 'oidc:anna', role: 'admin' }, from: '', what: 'job.cancel', target, facts: () => undefined },
      () => Promise.resolve(),
    )
  /** As an outside client sees it, without what a crash has repeated. */
  const sent = (): string[] => {
    const args = ['-b', broker.endpoint, '-C', '-t', 'audit', '-e', '-q', '-o', 'beginning']
    const entries = execFileSync('kcat', args)
      .toString()
      .split('\n')
      .filter((line) => line !== '')
    const unique = new Map(
      entries.map((line) => JSON.parse(line) as AuditEntry).map((of) => [`${of.id} ${of.step}`, of]),
    )
    return [...unique.values()].filter(({ step }) => step === 'done').map(({ target }) => target)
  }
  const first = await open()
  for (const target of ['a', 'b']) await change(first, target)
  await expect.poll(sent).toEqual(['a', 'b'])
  await broker.kill()
  for (const target of ['c', 'd']) await change(first, target)
  await first.close()
  const second = await open()
  await change(second, 'e')
  await broker.start()
  await expect.poll(sent, { timeout: 60_000, interval: 500 }).toEqual(['a', 'b', 'c', 'd', 'e'])
  await second.close()
}, 180_000)
