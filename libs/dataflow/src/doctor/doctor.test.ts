import { describe, expect, test } from 'vitest'
import { defaultSettings } from '../settings.ts'
import type { PlanSummary } from '../plan.ts'
import { examine } from './examine.ts'
import type {
  ClockFacts,
  Configs,
  EtcdFacts,
  KafkaFacts,
  MachineFacts,
  ObjectsFacts,
  Observed,
  PostgresFacts,
  RedisFacts,
} from './facts.ts'
import { DIAGNOSIS_CODES, judge, type Diagnosis, type DiagnosisCode, type Severity } from './diagnosis.ts'
import { needsOf, usesKafka, type JobNeeds } from './needs.ts'

const DAY_MS = 86_400_000
const durable: Configs = {
  'min.insync.replicas': '2',
  'unclean.leader.election.enable': 'false',
  'retention.ms': String(7 * DAY_MS),
  'retention.bytes': '-1',
  'cleanup.policy': 'delete',
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.before.max.ms': '9223372036854775807',
  'message.timestamp.after.max.ms': '3600000',
}
const topic = { replicas: 3, inSync: 3, configs: durable }
const broker: Configs = {
  'transaction.max.timeout.ms': '900000',
  'transactional.id.expiration.ms': String(7 * DAY_MS),
  'offsets.retention.minutes': '10080',
}
const kafka: KafkaFacts = {
  ...{ brokers: 3, transactionVersion: 2, metadataVersion: 30, verifiesTransactions: true },
  brokerConfigs: { 1: broker, 2: broker, 3: broker },
  topics: { __transaction_state: topic, __consumer_offsets: topic, orders: topic, sums: topic },
}
const needs: JobNeeds = { settings: defaultSettings, reads: ['orders'], writes: ['sums'], uncommitted: [], redis: [] }

/** Codes of what is not well, in the order they are told. */
const told = (observed: Observed, of: JobNeeds = needs): readonly string[] =>
  examine(observed, of).flatMap(({ code, severity }) => (severity === 'ok' ? [] : [`${code} ${severity}`]))
const ofKafka = (over: Partial<KafkaFacts>, of: JobNeeds = needs): readonly string[] =>
  told({ kafka: { name: 'kafka', facts: { ...kafka, ...over } } }, of)
const withTopic = (name: string, over: Partial<typeof topic> & { configs?: Configs }): Partial<KafkaFacts> => ({
  topics: { ...kafka.topics, [name]: { ...topic, ...over, configs: { ...durable, ...over.configs } } },
})
const withBroker = (name: string, value: string): Partial<KafkaFacts> => ({
  brokerConfigs: { ...kafka.brokerConfigs, 2: { ...broker, [name]: value } },
})

test('a cluster as it should be', () => {
  const diagnoses = examine({ kafka: { name: 'kafka', facts: kafka } }, needs)
  expect(diagnoses.map(({ severity }) => severity)).toEqual(diagnoses.map((): Severity => 'ok'))
  expect(new Set(diagnoses.map(({ code }) => code))).toContain('KAFKA_RETENTION')
})

describe('Kafka', () => {
  test.each<[string, Partial<KafkaFacts>, readonly string[]]>([
    ['before 3.6', { transactionVersion: 0, verifiesTransactions: false }, ['KAFKA_PROTOCOL unsafe']],
    ['the older protocol', { transactionVersion: 1 }, ['KAFKA_PROTOCOL warning']],
    ['4.0', { metadataVersion: 25 }, ['KAFKA_RELEASE warning']],
    [
      'a timeout of one broker',
      withBroker('transaction.max.timeout.ms', '899999'),
      ['KAFKA_TRANSACTION_TIMEOUT unsafe'],
    ],
    [
      'ids that expire at once',
      withBroker('transactional.id.expiration.ms', '900000'),
      ['KAFKA_TRANSACTIONAL_ID_EXPIRY unsafe'],
    ],
    [
      'ids that expire soon',
      withBroker('transactional.id.expiration.ms', '3600000'),
      ['KAFKA_TRANSACTIONAL_ID_EXPIRY warning'],
    ],
    [
      'markers that expire in an hour',
      withBroker('offsets.retention.minutes', '60'),
      ['KAFKA_OFFSETS_RETENTION unsafe'],
    ],
    [
      'markers that expire in three days',
      withBroker('offsets.retention.minutes', '4320'),
      ['KAFKA_OFFSETS_RETENTION warning'],
    ],
    [
      'transactions on one broker',
      withTopic('__transaction_state', { replicas: 1, inSync: 1 }),
      ['KAFKA_TRANSACTION_LOG unsafe'],
    ],
    [
      'markers on one broker',
      withTopic('__consumer_offsets', { replicas: 1, inSync: 1 }),
      ['KAFKA_TRANSACTION_LOG unsafe'],
    ],
    ['output on one broker', withTopic('sums', { replicas: 1, inSync: 1 }), ['KAFKA_REPLICATION unsafe']],
    [
      'one acknowledgement',
      withTopic('sums', { configs: { 'min.insync.replicas': '1' } }),
      ['KAFKA_REPLICATION unsafe'],
    ],
    ['no broker to spare', withTopic('sums', { replicas: 2, inSync: 2 }), ['KAFKA_REPLICATION warning']],
    ['a replica behind', withTopic('sums', { inSync: 2 }), ['KAFKA_REPLICATION warning']],
    [
      'any leader',
      withTopic('orders', { configs: { 'unclean.leader.election.enable': 'true' } }),
      ['KAFKA_UNCLEAN_ELECTION unsafe'],
    ],
    [
      'input gone before a restart reads it',
      withTopic('orders', { configs: { 'retention.ms': '2000000' } }),
      ['KAFKA_RETENTION unsafe'],
    ],
    [
      'input gone overnight',
      withTopic('orders', { configs: { 'retention.ms': '43200000' } }),
      ['KAFKA_RETENTION warning'],
    ],
    [
      'input gone by size',
      withTopic('orders', { configs: { 'retention.bytes': '1073741824' } }),
      ['KAFKA_RETENTION warning'],
    ],
    ['input kept for ever', withTopic('orders', { configs: { 'retention.ms': '-1' } }), []],
    [
      'output kept for a minute is the reader’s business',
      withTopic('sums', { configs: { 'retention.ms': '60000' } }),
      [],
    ],
    [
      'compacted input',
      withTopic('orders', { configs: { 'cleanup.policy': 'compact' } }),
      ['KAFKA_COMPACTION warning'],
    ],
    ['compacted output', withTopic('sums', { configs: { 'cleanup.policy': 'compact' } }), []],
    [
      'times of the broker',
      withTopic('orders', { configs: { 'message.timestamp.type': 'LogAppendTime' } }),
      ['KAFKA_TIMESTAMPS warning'],
    ],
    [
      'times that are refused',
      withTopic('sums', { configs: { 'message.timestamp.before.max.ms': '3600000' } }),
      ['KAFKA_TIMESTAMPS warning'],
    ],
    ['a topic that is not there', { topics: { ...kafka.topics, sums: null } }, ['KAFKA_TOPIC_MISSING warning']],
    [
      'nothing may be read',
      { brokerConfigs: {}, topics: {} },
      ['KAFKA_TRANSACTION_TIMEOUT warning', 'KAFKA_TRANSACTIONAL_ID_EXPIRY warning', 'KAFKA_OFFSETS_RETENTION warning'],
    ],
  ])('%s', (_, over, expected) => {
    expect(ofKafka(over)).toEqual(expected)
  })

  test('internal topics that are not there yet are judged by what they will be', () => {
    const will = (replicas: string): Partial<KafkaFacts> => {
      const log = { 'transaction.state.log.replication.factor': replicas, 'transaction.state.log.min.isr': '2' }
      const offsets = { 'offsets.topic.replication.factor': replicas, 'min.insync.replicas': '2' }
      return { topics: { orders: topic, sums: topic }, brokerConfigs: { 1: { ...broker, ...log, ...offsets } } }
    }
    expect(ofKafka(will('3'))).toEqual([])
    expect(ofKafka(will('1'))).toEqual(['KAFKA_TRANSACTION_LOG unsafe', 'KAFKA_TRANSACTION_LOG unsafe'])
  })

  test('a longer recovery needs a longer timeout at the broker', () => {
    const settings = { ...defaultSettings, recoveryBudgetMs: 600_000, transactionTimeoutMs: 1_200_000 }
    expect(ofKafka({}, { ...needs, settings })).toEqual(['KAFKA_TRANSACTION_TIMEOUT unsafe'])
  })

  test('sources that read what is not committed', () => {
    expect(ofKafka({}, { ...needs, uncommitted: ['orders'] })).toEqual(['KAFKA_ISOLATION unsafe'])
  })
})

const etcd: EtcdFacts = { members: 3, alarms: [], dbBytes: 1e6, quotaBytes: 1e9, writeMs: 4, readMs: 2 }
const objects: ObjectsFacts = { conditions: true, stale: [], writeMs: 40 }
const redis: RedisFacts = {
  ...{ evictionPolicy: 'noeviction', maxmemoryBytes: 1e9, usedBytes: 1e6, appendOnly: true, appendFsync: 'always' },
  ...{ snapshots: true, replicas: 0, minReplicasToWrite: 0 },
}
const machine: MachineFacts = {
  ...{ name: 'tm-1', node: '24.1.0', openFilesMax: 65_536, disk: { folder: '/data', freeBytes: 50 * 1024 ** 3 } },
}
const clock: ClockFacts = { name: 'redis', offsetMs: 3, uncertaintyMs: 2 }

test.each<[string, Partial<EtcdFacts>, readonly string[]]>([
  ['as it should be', {}, []],
  ['without room', { alarms: ['NOSPACE'], dbBytes: 1e9 }, ['ETCD_ALARM unsafe', 'ETCD_SPACE unsafe']],
  ['nearly full', { dbBytes: 8e8 }, ['ETCD_SPACE warning']],
  ['of an unknown quota', { quotaBytes: null, dbBytes: 1.9e9 }, ['ETCD_SPACE warning']],
  ['on a busy disk', { writeMs: 100 }, ['ETCD_LATENCY warning']],
  ['far away', { readMs: 1_000 }, ['ETCD_LATENCY unsafe']],
  ['alone', { members: 1 }, ['ETCD_MEMBERS warning']],
  ['of four', { members: 4 }, ['ETCD_MEMBERS warning']],
])('etcd %s', (_, over, expected) => {
  expect(told({ etcd: { name: 'etcd', facts: { ...etcd, ...over } } })).toEqual(expected)
})

test.each<[string, Partial<ObjectsFacts>, readonly string[]]>([
  ['as it should be', {}, []],
  ['that takes any write', { conditions: false }, ['OBJECTS_CONDITIONS warning']],
  ['behind a cache', { stale: ['an overwritten object'] }, ['OBJECTS_READ_AFTER_WRITE unsafe']],
  ['far away', { writeMs: 2_000 }, ['OBJECTS_LATENCY warning']],
])('an object store %s', (_, over, expected) => {
  expect(told({ objects: { name: 's3', facts: { ...objects, ...over } } })).toEqual(expected)
})

test.each<[string, Partial<RedisFacts>, readonly string[]]>([
  ['as it should be', {}, []],
  ['that evicts', { evictionPolicy: 'allkeys-lru' }, ['REDIS_EVICTION unsafe']],
  [
    'that would evict',
    { evictionPolicy: 'volatile-ttl', maxmemoryBytes: 0 },
    ['REDIS_EVICTION warning', 'REDIS_MEMORY warning'],
  ],
  ['nearly full', { usedBytes: 9e8 }, ['REDIS_MEMORY warning']],
  ['that writes each second', { appendFsync: 'everysec' }, ['REDIS_PERSISTENCE warning']],
  ['whose fsync may not be asked for', { appendFsync: null }, ['REDIS_PERSISTENCE warning']],
  ['with snapshots alone', { appendOnly: false, appendFsync: null }, ['REDIS_PERSISTENCE unsafe']],
  ['in memory alone', { appendOnly: false, snapshots: false }, ['REDIS_PERSISTENCE unsafe']],
  ['with replicas nobody waits for', { replicas: 2 }, ['REDIS_FAILOVER warning']],
])('Redis %s', (_, over, expected) => {
  const asked = [{ name: 'redis', facts: { ...redis, ...over } }]
  const of: JobNeeds = { ...needs, redis: [{ uid: 'once', url: 'env:REDIS', waits: false }] }
  expect(told({ redis: asked }, of)).toEqual(expected)
})

test.each<[string, Partial<PostgresFacts>, readonly string[]]>([
  ['with connections for all', {}, []],
  ['whose connections others have', { connectionsUsed: 95 }, ['POSTGRES_CONNECTIONS warning']],
  ['with fewer connections than the job may open', { connectionsMax: 7 }, ['POSTGRES_CONNECTIONS unsafe']],
])('PostgreSQL %s', (_, over, expected) => {
  const facts = { connectionsMax: 97, connectionsUsed: 5, connectionsPerSlot: 4, ...over }
  const of: JobNeeds = { ...needs, settings: { ...defaultSettings, parallelism: 2 } }
  expect(told({ postgres: [{ name: 'postgres', facts }] }, of)).toEqual(expected)
})

test('claims that wait for replicas survive a fail-over', () => {
  const of: JobNeeds = { ...needs, redis: [{ uid: 'once', url: 'env:REDIS', waits: true }] }
  expect(told({ redis: [{ name: 'redis', facts: { ...redis, replicas: 2 } }] }, of)).toEqual([])
})

test.each<[string, Partial<MachineFacts>, readonly string[]]>([
  ['as it should be', {}, []],
  ['of which little is told', { openFilesMax: null, disk: null }, []],
  ['with an old Node', { node: '20.11.1' }, ['MACHINE_NODE unsafe']],
  ['with a Node nobody repairs', { node: '20.19.0' }, ['MACHINE_NODE warning']],
  ['with few files', { openFilesMax: 256 }, ['MACHINE_OPEN_FILES unsafe']],
  ['with the shell’s files', { openFilesMax: 1_024 }, ['MACHINE_OPEN_FILES warning']],
  ['with a disk that is nearly full', { disk: { folder: '/data', freeBytes: 1e9 } }, ['MACHINE_DISK warning']],
  ['with a full disk', { disk: { folder: '/data', freeBytes: 1e8 } }, ['MACHINE_DISK unsafe']],
])('a machine %s', (_, over, expected) => {
  expect(told({ machines: [{ ...machine, ...over }] })).toEqual(expected)
})

test.each<[string, Partial<ClockFacts>, readonly string[]]>([
  ['that is right', {}, []],
  ['that is off by more than is known', { offsetMs: -700, uncertaintyMs: 100 }, ['CLOCK_SKEW warning']],
  ['that is off by less than is known', { offsetMs: 700, uncertaintyMs: 600 }, []],
  ['of another minute', { offsetMs: 60_000 }, ['CLOCK_SKEW unsafe']],
])('a clock %s', (_, over, expected) => {
  expect(told({ clocks: [{ ...clock, ...over }] })).toEqual(expected)
})

test('a server that did not answer is told of, and refuses nothing', () => {
  const kafka = { name: 'kafka at k:9092', unanswered: { message: 'no broker answers' } }
  const diagnoses = examine({ kafka }, needs)
  expect(diagnoses).toMatchObject([{ code: 'NOT_EXAMINED', severity: 'warning', what: 'kafka at k:9092' }])
  expect(judge(diagnoses, 'production').refused).toEqual([])
})

describe('the verdict', () => {
  const unsafe = (code: DiagnosisCode): Diagnosis => ({ code, severity: 'unsafe', what: 'x', why: 'w', remedy: 'r' })
  const all = DIAGNOSIS_CODES.map(unsafe)
  const codes = (diagnoses: readonly Diagnosis[]): readonly string[] => diagnoses.map(({ code }) => code)

  test('production refuses whatever is unsafe', () => {
    expect(codes(judge(all, 'production').refused)).toEqual(DIAGNOSIS_CODES)
  })

  test('development forgives what one machine cannot have, and nothing that loses output on any', () => {
    expect(codes(judge(all, 'development').refused)).toEqual([
      'KAFKA_PROTOCOL',
      'KAFKA_TRANSACTION_TIMEOUT',
      'KAFKA_ISOLATION',
      'ETCD_ALARM',
      'OBJECTS_READ_AFTER_WRITE',
    ])
  })

  test('a job accepts by name, and only what it names', () => {
    const { refused, accepted } = judge([unsafe('KAFKA_REPLICATION'), unsafe('REDIS_EVICTION')], 'production', [
      'KAFKA_REPLICATION',
    ])
    expect([codes(accepted), codes(refused)]).toEqual([['KAFKA_REPLICATION'], ['REDIS_EVICTION']])
  })

  test('every diagnosis that is not ok says what to do', () => {
    const bad: Observed = {
      kafka: {
        name: 'kafka',
        facts: {
          ...kafka,
          transactionVersion: 0,
          verifiesTransactions: false,
          ...withTopic('orders', { replicas: 1 }),
        },
      },
      etcd: { name: 'etcd', facts: { ...etcd, members: 1, alarms: ['CORRUPT'], dbBytes: 1e9, writeMs: 5_000 } },
      objects: { name: 's3', facts: { conditions: false, stale: ['x'], writeMs: 9_999 } },
      redis: [{ name: 'redis', facts: { ...redis, evictionPolicy: 'allkeys-lru', appendOnly: false, replicas: 1 } }],
      machines: [{ ...machine, node: '18.0.0', openFilesMax: 1, disk: { folder: '/', freeBytes: 0 } }],
      clocks: [{ ...clock, offsetMs: 1e6 }],
    }
    for (const { severity, remedy } of examine(bad, needs)) expect(remedy === '').toBe(severity === 'ok')
  })
})

test('what a job needs is read from its plan', () => {
  const node = (uid: string, kind: string, config: object): PlanSummary['nodes'][number] => ({
    uid,
    kind,
    config,
    stage: 0,
  })
  const of = (connector: string, name: string): object => ({ descriptor: { connector, topic: name } })
  const settings = { ...defaultSettings, deadLetters: { connector: 'kafka', topic: 'dead' }, audit: null }
  const nodes = [
    node('in', 'source', of('kafka', 'orders')),
    node('raw', 'source', { descriptor: { connector: 'kafka', topic: 'raw', isolation: 'read_uncommitted' } }),
    node('once', 'idempotent', { claims: { store: 'redis', url: 'env:CLAIMS', wait: null } }),
    // Tiers over each other: the lowest decides.
    node('tiers', 'idempotent', {
      claims: { store: 'tiered', remote: { store: 'redis', url: 'env:TIERS', wait: { replicas: 1 } } },
    }),
    node('rows', 'idempotent', { claims: { store: 'postgres', url: 'env:ROWS' } }),
    node('more rows', 'idempotent', { claims: { store: 'tiered', remote: { store: 'postgres', url: 'env:ROWS' } } }),
    node('out', 'sink', of('kafka', 'sums')),
    node('also', 'sink', of('log', 'elsewhere')),
  ]
  const found = needsOf({ nodes, settings } as unknown as PlanSummary)
  expect(found).toEqual({
    ...{ settings, reads: ['orders', 'raw'], writes: ['sums', 'dead'], uncommitted: ['raw'] },
    redis: [
      { uid: 'once', url: 'env:CLAIMS', waits: false },
      { uid: 'tiers', url: 'env:TIERS', waits: true },
    ],
    postgres: [{ uid: 'rows', url: 'env:ROWS' }],
  })
  expect(usesKafka(found)).toBe(true)
  expect(usesKafka({ ...found, reads: [], writes: [] })).toBe(false)
})
