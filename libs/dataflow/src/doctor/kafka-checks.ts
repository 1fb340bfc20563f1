/** Kafka, held against what a job needs of it. Rules named B1, C3, C7 are those of PROTOCOL.md. */
import type { JobSettings } from '../graph.ts'
import { looker, type Diagnosis } from './diagnosis.ts'
import type { Configs, KafkaFacts, TopicFacts } from './facts.ts'
import type { JobNeeds } from './needs.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Replicas of a topic that survive the loss of one broker while another one is being replaced. */
const REPLICAS = 3
/** `metadata.version` of the first release that has both repairs named below: 4.3. */
const METADATA_4_3 = 30

export const TRANSACTION_LOG = '__transaction_state'
export const OFFSETS_LOG = '__consumer_offsets'

export function checkKafka(facts: KafkaFacts, needs: JobNeeds): readonly Diagnosis[] {
  return [
    ...protocol(facts),
    transactionTimeout(facts, needs.settings),
    ...internalTopics(facts),
    idExpiry(facts, needs.settings),
    offsetsRetention(facts),
    ...isolation(needs),
    ...[...new Set([...needs.reads, ...needs.writes])].flatMap((topic) => ofTopic(topic, facts, needs)),
  ]
}

function protocol({ transactionVersion, verifiesTransactions, metadataVersion }: KafkaFacts): readonly Diagnosis[] {
  const { ok, warning, unsafe } = looker('KAFKA_PROTOCOL', 'transaction protocol')
  if (!verifiesTransactions && transactionVersion < 2) {
    return [
      unsafe(
        'the brokers are older than Kafka 3.6 and do not verify transactional writes: a delayed one could block every read_committed reader of a topic for ever',
        'upgrade the brokers to Kafka 4.0 or later, with transaction.version=2',
      ),
    ]
  }
  if (transactionVersion < 2) {
    return [
      warning(
        `transaction.version is ${transactionVersion}: each commit is followed by a renewal of the producer epoch, one round trip more`,
        'kafka-features.sh --bootstrap-server … upgrade --feature transaction.version=2 (brokers of 4.0 and later)',
      ),
    ]
  }
  const release = looker('KAFKA_RELEASE', 'release of the brokers')
  return [
    ok('transaction.version is 2: a producer epoch of its own for every transaction'),
    metadataVersion >= METADATA_4_3
      ? release.ok(`metadata.version is ${metadataVersion}: 4.3 or later`)
      : release.warning(
          `metadata.version is ${metadataVersion}: brokers before 4.3 may lack KAFKA-19367 and KAFKA-20090, by which a transactional id whose producer epoch has come to its end cannot go on`,
          'run 4.3 or later, and finalize its metadata.version (kafka-features.sh upgrade)',
        ),
  ]
}

function transactionTimeout({ brokerConfigs }: KafkaFacts, settings: JobSettings): Diagnosis {
  const { ok, warning, unsafe } = looker('KAFKA_TRANSACTION_TIMEOUT', 'transaction.max.timeout.ms')
  const { transactionTimeoutMs, checkpoint, recoveryBudgetMs } = settings
  const [lowest, node] = lowestOf(brokerConfigs, 'transaction.max.timeout.ms')
  if (lowest === null) {
    return warning(
      'the brokers do not let their configuration be read',
      'allow DescribeConfigs on the cluster to this user, or make sure of it by hand',
    )
  }
  const longest =
    `a prepared transaction may have to live for ${transactionTimeoutMs} ms: ${checkpoint.toleratedAborts + 1} epochs of ` +
    `${checkpoint.intervalMs + checkpoint.alignTimeoutMs} ms and a recovery of ${recoveryBudgetMs} ms`
  if (transactionTimeoutMs <= lowest) return ok(`${lowest} at broker ${node}; ${longest}`)
  return unsafe(
    `${lowest} at broker ${node}; ${longest}: the broker refuses such a timeout, and a shorter one would let it abort published output`,
    `set transaction.max.timeout.ms to at least ${transactionTimeoutMs} at every broker, or lower checkpoint.alignTimeoutMs, toleratedAborts or recoveryBudgetMs and with them transactionTimeoutMs in the job`,
  )
}

/** The outcome of every transaction, and the markers that count them. */
function internalTopics({ topics, brokerConfigs }: KafkaFacts): readonly Diagnosis[] {
  const planned = (prefix: string, isr: string): TopicFacts | null => {
    const [replicas] = lowestOf(brokerConfigs, `${prefix}.replication.factor`)
    const [min] = lowestOf(brokerConfigs, isr)
    return replicas === null
      ? null
      : { replicas, inSync: replicas, configs: { 'min.insync.replicas': String(min ?? 1) } }
  }
  const of: readonly (readonly [string, TopicFacts | null])[] = [
    [TRANSACTION_LOG, topics[TRANSACTION_LOG] ?? planned('transaction.state.log', 'transaction.state.log.min.isr')],
    [OFFSETS_LOG, topics[OFFSETS_LOG] ?? planned('offsets.topic', 'min.insync.replicas')],
  ]
  return of.flatMap(([topic, facts]) => {
    const look = looker('KAFKA_TRANSACTION_LOG', topic)
    if (facts === null) return []
    const consequence = 'losing it forgets which transactions are committed'
    return [durability(look, facts, consequence), ...uncleanElection(topic, facts)]
  })
}

function idExpiry({ brokerConfigs }: KafkaFacts, { transactionTimeoutMs }: JobSettings): Diagnosis {
  const name = 'transactional.id.expiration.ms'
  const { ok, warning, unsafe } = looker('KAFKA_TRANSACTIONAL_ID_EXPIRY', name)
  const [lowest] = lowestOf(brokerConfigs, name)
  if (lowest === null) return warning(`${name} cannot be read`, 'allow DescribeConfigs on the cluster to this user')
  if (lowest <= transactionTimeoutMs) {
    return unsafe(
      `${lowest} ms, and a transaction may stay prepared for ${transactionTimeoutMs} ms: the broker may forget whose it is`,
      `set ${name} to at least a day (default: seven days)`,
    )
  }
  if (lowest < DAY_MS) {
    return warning(
      `${lowest} ms: a zombie of a job that was stopped for longer is fenced no more`,
      'set it to at least a day',
    )
  }
  return ok(`${lowest} ms`)
}

/** Markers are offsets of groups without members: they expire by the time of their last commit. */
function offsetsRetention({ brokerConfigs }: KafkaFacts): Diagnosis {
  const name = 'offsets.retention.minutes'
  const { ok, warning, unsafe } = looker('KAFKA_OFFSETS_RETENTION', name)
  const [minutes] = lowestOf(brokerConfigs, name)
  if (minutes === null) return warning(`${name} cannot be read`, 'allow DescribeConfigs on the cluster to this user')
  const ms = minutes * 60_000
  const why = `${minutes} min: a job that was stopped for longer finds its commit markers gone, and whether its last transaction was committed may be UNKNOWN`
  if (ms < DAY_MS) return unsafe(why, `set ${name} to 10080 (seven days, the default) or more`)
  if (ms < 7 * DAY_MS) return warning(why, `set ${name} to 10080 (seven days, the default) or more`)
  return ok(`${minutes} min`)
}

const isolation = ({ uncommitted, reads }: JobNeeds): readonly Diagnosis[] => {
  if (reads.length === 0) return []
  const { ok, unsafe } = looker('KAFKA_ISOLATION', 'isolation of the sources')
  if (uncommitted.length === 0) return [ok('read_committed')]
  return [
    unsafe(
      `${uncommitted.join(', ')} read what is not committed: what an aborted transaction wrote would have effects that stay`,
      "leave isolation out: 'read_committed' is the default",
    ),
  ]
}

function ofTopic(topic: string, { topics }: KafkaFacts, needs: JobNeeds): readonly Diagnosis[] {
  const facts = topics[topic]
  const what = `topic "${topic}"`
  if (facts === undefined) return []
  if (facts === null) {
    const { warning } = looker('KAFKA_TOPIC_MISSING', what)
    return [
      warning(
        'it is not there: the job ends with UNKNOWN_TOPIC',
        'create it before the job starts: weir topics JOB.ts --create',
      ),
    ]
  }
  const isWritten = needs.writes.includes(topic)
  const loss = isWritten ? 'losing it loses committed output' : 'losing it loses input that a restart reads again'
  return [
    durability(looker('KAFKA_REPLICATION', what), facts, loss),
    ...uncleanElection(what, facts),
    ...(needs.reads.includes(topic) ? [retention(what, facts, needs.settings), ...compaction(what, facts)] : []),
    ...timestamps(what, facts, isWritten),
  ]
}

/** Transactional writes are acknowledged by all replicas in sync; how many that are at least is the topic's. */
function durability(
  look: ReturnType<typeof looker>,
  { replicas, inSync, configs }: TopicFacts,
  loss: string,
): Diagnosis {
  const min = Number(configs['min.insync.replicas'] ?? '1')
  const is = `${replicas} ${replicas === 1 ? 'replica' : 'replicas'}, min.insync.replicas ${min}`
  const remedy = `give it ${REPLICAS} replicas (kafka-reassign-partitions.sh) and min.insync.replicas 2`
  if (replicas < 2) return look.unsafe(`${is}: ${loss}, and it is on one broker alone`, remedy)
  if (min < 2) {
    return look.unsafe(
      `${is}: what all replicas in sync have may be on one broker alone; ${loss}`,
      `${remedy} (kafka-configs.sh --alter --add-config min.insync.replicas=2)`,
    )
  }
  if (min >= replicas) return look.warning(`${is}: one broker away stops every write`, remedy)
  if (inSync < replicas) {
    return look.warning(`${is}, and ${inSync} in sync at present`, 'bring back the broker that is away or behind')
  }
  return look.ok(is)
}

function uncleanElection(what: string, { configs }: TopicFacts): readonly Diagnosis[] {
  const name = 'unclean.leader.election.enable'
  const { ok, unsafe } = looker('KAFKA_UNCLEAN_ELECTION', what)
  if (configs[name] === undefined) return []
  if (configs[name] !== 'true') return [ok(`${name} is false`)]
  return [
    unsafe(
      `${name} is true: a replica that is behind may become the leader, and committed records are gone without a word`,
      `set ${name}=false for the topic (and the brokers)`,
    ),
  ]
}

/** A restart reads from the oldest kept epoch on; so does a job that somebody starts again in the morning. */
function retention(
  what: string,
  { configs }: TopicFacts,
  { checkpoint, transactionTimeoutMs }: JobSettings,
): Diagnosis {
  const { ok, warning, unsafe } = looker('KAFKA_RETENTION', what)
  const ms = Number(configs['retention.ms'] ?? '-1')
  const bytes = Number(configs['retention.bytes'] ?? '-1')
  const deletes = (configs['cleanup.policy'] ?? 'delete').includes('delete')
  const kept = checkpoint.retained ?? 3
  const epochMs = checkpoint.intervalMs + checkpoint.alignTimeoutMs
  const neededMs = kept * (checkpoint.toleratedAborts + 1) * epochMs + transactionTimeoutMs
  if (!deletes || (ms < 0 && bytes < 0)) return ok('nothing is deleted')
  if (ms >= 0 && ms < neededMs) {
    return unsafe(
      `retention.ms is ${ms}, and the oldest of ${kept} kept epochs may be ${neededMs} ms old after a restart: its input would be gone`,
      `set retention.ms to a day or more, at least ${neededMs}; or lower checkpoint.retained`,
    )
  }
  if (bytes >= 0) {
    return warning(
      `retention.bytes is ${bytes}: a burst may delete what has not been read, whatever retention.ms says`,
      'leave retention.bytes out, and watch the disk instead',
    )
  }
  if (ms < DAY_MS)
    return warning(`retention.ms is ${ms}: a job that stands still for longer loses input`, 'keep a day or more')
  return ok(`retention.ms is ${ms}; the oldest kept epoch may be ${neededMs} ms old`)
}

function compaction(what: string, { configs }: TopicFacts): readonly Diagnosis[] {
  if (!(configs['cleanup.policy'] ?? 'delete').includes('compact')) return []
  const { warning } = looker('KAFKA_COMPACTION', what)
  return [
    warning(
      'it is compacted: what a restart reads again may lack records it had read before, and a replay is not the same',
      'read a topic that is not compacted, or compact it later than any restart reads back (min.compaction.lag.ms)',
    ),
  ]
}

function timestamps(what: string, { configs }: TopicFacts, isWritten: boolean): readonly Diagnosis[] {
  const type = 'message.timestamp.type'
  const { ok, warning } = looker('KAFKA_TIMESTAMPS', what)
  if (configs[type] === undefined) return []
  if (configs[type] === 'LogAppendTime') {
    const why = isWritten
      ? `${type} is LogAppendTime: the event time of what the job writes is replaced by the time of the write`
      : `${type} is LogAppendTime: without a \`timestamp\` of its own the source reads when records were written, not when things happened`
    return [warning(why, `set ${type}=CreateTime for the topic`)]
  }
  const bounds = boundsOf(configs)
  if (isWritten && bounds !== '') {
    return [
      warning(
        `it refuses event times by ${bounds}: such a record becomes a dead letter, or stops the job`,
        'raise them where the job may be behind by more (a backlog, a replay)',
      ),
    ]
  }
  return [ok('CreateTime')]
}

/** An hour ahead is what brokers have by default; who is further ahead than that has a wrong clock. */
const NARROW = { 'message.timestamp.before.max.ms': DAY_MS, 'message.timestamp.after.max.ms': HOUR_MS }
const boundsOf = (configs: Configs): string =>
  Object.entries(NARROW)
    .filter(([name, narrowMs]) => Number(configs[name] ?? Infinity) < narrowMs)
    .map(([name]) => `${name} ${configs[name]}`)
    .join(' and ')

/** Over the brokers, and where it is; null: none of them tells. */
function lowestOf(brokers: KafkaFacts['brokerConfigs'], name: string): readonly [number | null, string] {
  let lowest: readonly [number | null, string] = [null, '']
  for (const [node, { [name]: text }] of Object.entries(brokers)) {
    if (text !== undefined && Number(text) < (lowest[0] ?? Infinity)) lowest = [Number(text), node]
  }
  return lowest
}
