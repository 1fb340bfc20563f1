/** Topics that are made: for good, or for a while, as wide as others. */
import { WeirError, type Clock } from '@weir/model'
import { unknownTopic, type KafkaConnections } from './connections.ts'

/** Until all brokers know of a new topic. */
const KNOWN_WITHIN_MS = 30_000
const LOOK_MS = 50

export interface MadeTopicsDeps {
  readonly kafka: KafkaConnections
  readonly clock: Clock
}

/** The broker's own number of replicas, and its settings. */
const OF_THE_BROKER = -1

/**
 * One that somebody else has made meanwhile is left as it is.
 * @returns topic → partitions it has, when brokers know them all. Throws `TOPIC_NOT_CREATED` (invalid), `KAFKA_UNAVAILABLE` (retry).
 */
export async function createTopics(
  topics: readonly string[],
  numPartitions: number,
  deps: MadeTopicsDeps,
): Promise<ReadonlyMap<string, number>> {
  const admin = deps.kafka.admin()
  await admin.connect()
  try {
    const of = topics.map((topic) => ({ topic, numPartitions, replicationFactor: OF_THE_BROKER }))
    await admin.createTopics({ topics: of, waitForLeaders: false })
  } catch (thrown) {
    const { message, errors = [] } = thrown as Error & { readonly errors?: readonly (Error & { topic: string })[] }
    const why = errors.map((error) => `${error.topic}: ${error.message}`).join('; ') || message
    throw new WeirError(
      { code: 'TOPIC_NOT_CREATED', kind: 'invalid', topics },
      `the brokers did not create ${topics.join(', ')} (${why}): ask who administers them`,
    )
  } finally {
    await admin.disconnect()
  }
  const partitions = new Map<string, number>()
  for (const topic of topics) partitions.set(topic, await known(topic, deps))
  return partitions
}

/**
 * Each with as many partitions as the one it stands for: equal keys, equal partitions. Those that are there stay as they are.
 * @param wanted name → the topic it stands for
 * @returns those that were not there. Throws `UNKNOWN_TOPIC`, `TOPIC_PARTITIONS`, `TOPIC_NOT_CREATED` (invalid), `KAFKA_UNAVAILABLE` (retry).
 */
export async function makeTopics(
  wanted: ReadonlyMap<string, string>,
  { kafka, clock }: MadeTopicsDeps,
): Promise<readonly string[]> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const there = new Set(await admin.listTopics())
    for (const model of wanted.values()) if (!there.has(model)) throw unknownTopic(model)
    const made: string[] = []
    for (const [topic, model] of wanted) {
      const numPartitions = (await kafka.partitions(model)).length
      if (!there.has(topic)) {
        await createTopics([topic], numPartitions, { kafka, clock })
        made.push(topic)
      }
      const partitions = await known(topic, { kafka, clock })
      if (partitions !== numPartitions) {
        throw new WeirError(
          { code: 'TOPIC_PARTITIONS', kind: 'invalid', topic, partitions, model, expected: numPartitions },
          `topic "${topic}" has ${partitions} partitions and stands for "${model}", which has ${numPartitions}: delete it, or take another name`,
        )
      }
    }
    return made
  } finally {
    await admin.disconnect()
  }
}

/** Those that are not there are passed over. */
export async function deleteTopics(topics: readonly string[], { kafka }: Pick<MadeTopicsDeps, 'kafka'>): Promise<void> {
  if (topics.length === 0) return
  const admin = kafka.admin()
  await admin.connect()
  try {
    const there = new Set(await admin.listTopics())
    const left = topics.filter((topic) => there.has(topic))
    if (left.length > 0) await admin.deleteTopics({ topics: left })
  } finally {
    await admin.disconnect()
  }
}

/** Partitions of a topic, as soon as it is known. */
async function known(topic: string, { kafka, clock }: MadeTopicsDeps): Promise<number> {
  for (const deadline = clock.monotonic() + KNOWN_WITHIN_MS; ;) {
    try {
      return (await kafka.partitions(topic)).length
    } catch (error) {
      if (clock.monotonic() > deadline) throw error
      await clock.sleep(LOOK_MS)
    }
  }
}
