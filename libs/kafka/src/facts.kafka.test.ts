/** The doctor asks real brokers: what it sees is what was configured. */
import { OFFSETS_LOG, TRANSACTION_LOG, examine, needsOf, type PlanSummary, defaultSettings } from '@weir/dataflow'
import { systemClock, systemRandom } from '@weir/model'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { brokersByProtocol, stackEndpoints } from '../../../test/stack/endpoints.ts'
import { KafkaConnections, kafkaFacts } from './index.ts'

const connected = (broker: string): KafkaConnections =>
  new KafkaConnections({ brokers: [broker], clientId: 'weir-facts' }, { clock: systemClock })
const kafka = connected(stackEndpoints().kafka)
const admin = kafka.admin()
const { signal } = new AbortController()
beforeAll(() => admin.connect())
afterAll(async () => {
  await admin.disconnect()
  await kafka.close()
})

test('topics with their configuration, a topic that is not there, and the brokers', async () => {
  const run = systemRandom.nonce().slice(0, 8)
  const topic = `facts-${run}`
  const configs = {
    'cleanup.policy': 'compact',
    'retention.ms': '60000',
    'unclean.leader.election.enable': 'true',
    'message.timestamp.type': 'LogAppendTime',
  }
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1, configEntries }] })
  const facts = await kafkaFacts(kafka, [topic, `${topic}-gone`], signal)
  expect(facts).toMatchObject({ brokers: 1, transactionVersion: 2, verifiesTransactions: true })
  expect(facts.topics[topic]).toMatchObject({
    replicas: 1,
    inSync: 1,
    configs: { ...configs, 'min.insync.replicas': '1' },
  })
  expect(facts.topics[`${topic}-gone`]).toBeNull()
  expect(facts.brokerConfigs['1']).toMatchObject({
    'transaction.max.timeout.ms': '900000',
    'offsets.retention.minutes': '10080',
  })
  const plan = {
    nodes: [{ uid: 'in', kind: 'source', config: { descriptor: { connector: 'kafka', topic } }, stage: 0 }],
    settings: defaultSettings,
  } as unknown as PlanSummary
  const told = examine({ kafka: { name: 'kafka', facts } }, needsOf(plan))
    .filter(({ severity, what }) => severity !== 'ok' && what.includes(topic))
    .map(({ code, severity }) => `${code} ${severity}`)
  expect(told).toEqual([
    'KAFKA_REPLICATION unsafe',
    'KAFKA_UNCLEAN_ELECTION unsafe',
    'KAFKA_COMPACTION warning',
    'KAFKA_TIMESTAMPS warning',
  ])
})

test.each(brokersByProtocol())('a cluster of protocol %s is told from the other', async (protocol, broker) => {
  const of = connected(broker)
  try {
    const facts = await kafkaFacts(of, [], signal)
    expect(facts.transactionVersion).toBe(protocol === 'v2' ? 2 : 1)
    expect(facts.metadataVersion).toBeGreaterThanOrEqual(30) // what the check takes for 4.3
    expect(Object.keys(facts.topics).sort()).toEqual([OFFSETS_LOG, TRANSACTION_LOG])
  } finally {
    await of.close()
  }
})
