/** The doctor asks real brokers: what it sees is what was configured. */
import { OFFSETS_LOG, TRANSACTION_LOG, examine, needsOf, type PlanSummary, defaultSettings } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { brokersByProtocol } from '../../../test/stack/endpoints.ts'
import { connect, testKafka } from '../../../test/stack/kafka.ts'
import { kafkaFacts } from './index.ts'

const { kafka, run, createTopics } = testKafka()
const { signal } = new AbortController()

test('topics with their configuration, a topic that is not there, and the brokers', async () => {
  const topic = `facts-${run}`
  const configs = {
    'cleanup.policy': 'compact',
    'retention.ms': '60000',
    'unclean.leader.election.enable': 'true',
    'message.timestamp.type': 'LogAppendTime',
  }
  await createTopics([topic], { partitions: 3, configs })
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
  const of = connect(broker)
  try {
    const facts = await kafkaFacts(of, [], signal)
    expect(facts.transactionVersion).toBe(protocol === 'v2' ? 2 : 1)
    expect(facts.metadataVersion).toBeGreaterThanOrEqual(30) // what the check takes for 4.3
    expect(Object.keys(facts.topics).sort()).toEqual([OFFSETS_LOG, TRANSACTION_LOG])
  } finally {
    await of.close()
  }
})
