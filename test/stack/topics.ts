/** Topics for tests. */
import type { KafkaConnections } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'

const LEADERS_TIMEOUT_MS = 15_000

/** Resolves when they have leaders. kafkajs' own waiting gives up when a new topic is not known yet to the broker it asks. */
export async function createTopics(
  admin: ReturnType<KafkaConnections['admin']>,
  topics: readonly string[],
  numPartitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  const wanted = topics.map((topic) => ({ topic, numPartitions, replicationFactor: 1, configEntries }))
  await admin.createTopics({ topics: wanted, waitForLeaders: false })
  for (const deadline = performance.now() + LEADERS_TIMEOUT_MS; ;) {
    const known = await admin.fetchTopicMetadata({ topics: [...topics] }).catch((error: unknown) => {
      if (performance.now() > deadline) throw error
      return null
    })
    if (known?.topics.every((t) => t.partitions.every((p) => p.leader >= 0))) return
    await systemClock.sleep(20)
  }
}
