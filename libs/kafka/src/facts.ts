/** What `weir doctor` asks a cluster. Reads only; what may not be read is left out. */
import { OFFSETS_LOG, TRANSACTION_LOG, type Configs, type KafkaFacts, type TopicFacts } from '@weir/dataflow'
import { ADD_PARTITIONS_TO_TXN, VERIFYING, type KafkaConnections } from './connections.ts'
import { apiVersions } from './wire/apis.ts'
import { describeConfigs, describeTopics, type ConfigResource, type DescribedTopic } from './wire/describe.ts'
import { errorName, mustWait } from './wire/errors.ts'

const OF_BROKERS = [
  'transaction.max.timeout.ms',
  'transactional.id.expiration.ms',
  'transaction.state.log.replication.factor',
  'transaction.state.log.min.isr',
  'offsets.topic.replication.factor',
  'offsets.retention.minutes',
  'min.insync.replicas',
]
const OF_TOPICS = [
  'min.insync.replicas',
  'unclean.leader.election.enable',
  'retention.ms',
  'retention.bytes',
  'cleanup.policy',
  'message.timestamp.type',
  'message.timestamp.before.max.ms',
  'message.timestamp.after.max.ms',
]
const UNKNOWN_TOPIC = 3

/** `topics`: beside the internal ones. Throws `KAFKA_UNAVAILABLE` (retry), or the reason of `signal`, which ends every wait. */
export async function kafkaFacts(
  kafka: KafkaConnections,
  topics: readonly string[],
  signal: AbortSignal,
): Promise<KafkaFacts> {
  const names = [...new Set([TRANSACTION_LOG, OFFSETS_LOG, ...topics])]
  const [{ requests, features }, described] = await Promise.all([
    kafka.anyBroker(apiVersions()),
    kafka.anyBroker(describeTopics(names)),
  ])
  const configsOf = async (of: ConfigResource, wanted: readonly string[], node: number): Promise<Configs> => {
    signal.throwIfAborted()
    const { errorCode, configs } = await kafka.toBroker(String(node), describeConfigs(of, wanted))
    if (mustWait(errorCode)) throw new Error(`DescribeConfigs: ${errorName(errorCode)}`)
    // Whoever may not read them hears of it from the doctor.
    if (errorCode !== 0) return {}
    return Object.fromEntries([...configs].flatMap(([name, value]) => (value === null ? [] : [[name, value]])))
  }
  const ofTopic = async (topic: DescribedTopic): Promise<readonly [string, TopicFacts | null]> => {
    const { name, errorCode, partitions } = topic
    if (errorCode === UNKNOWN_TOPIC || partitions.length === 0) return [name, null]
    const leader = partitions.find((one) => one.leader >= 0)?.leader ?? described.brokers[0]!
    const lowest = (of: 'replicas' | 'inSync'): number => Math.min(...partitions.map((one) => one[of]))
    const configs = await configsOf({ topic: name }, OF_TOPICS, leader)
    return [name, { replicas: lowest('replicas'), inSync: lowest('inSync'), configs }]
  }
  const [brokerConfigs, ofTopics] = await Promise.all([
    Promise.all(
      described.brokers.map(
        async (node) => [node, await configsOf({ broker: String(node) }, OF_BROKERS, node)] as const,
      ),
    ),
    Promise.all(described.topics.map(ofTopic)),
  ])
  return {
    brokers: described.brokers.length,
    transactionVersion: features.get('transaction.version') ?? 0,
    metadataVersion: features.get('metadata.version') ?? 0,
    verifiesTransactions: (requests.get(ADD_PARTITIONS_TO_TXN) ?? 0) >= VERIFYING,
    brokerConfigs: Object.fromEntries(brokerConfigs.filter(([, configs]) => Object.keys(configs).length > 0)),
    topics: Object.fromEntries(ofTopics),
  }
}
