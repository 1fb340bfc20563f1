/** `weir topics`: the Kafka topics a job reads and writes, and whether they are there. Creates those that are missing when told to. */
import { needsOf, type PlanSummary } from '@weir/dataflow'
import { KafkaConnections, createTopics, kafkaSecurity } from '@weir/kafka'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { usage } from './usage.ts'

export interface TopicsCommand {
  readonly plan: PlanSummary
  readonly brokers: string | undefined
  readonly create: boolean
  /** Of those that are created; absent: as many as the widest topic that the job reads has, its parallelism where none is there. */
  readonly partitions: number | undefined
  readonly env: Readonly<Record<string, string | undefined>>
}

interface Topic {
  readonly topic: string
  readonly use: 'reads' | 'writes' | 'reads, writes'
  /** Null: it is not there. */
  readonly partitions: number | null
  readonly created: boolean
}

/** @returns the exit code: 0 all are there, 1 some are missing. Throws `KAFKA_UNAVAILABLE` (retry), `TOPIC_NOT_CREATED` (invalid). */
export async function topics(command: TopicsCommand, print: (value: unknown, text: string) => void): Promise<number> {
  const { plan, brokers, create, env } = command
  const { reads, writes } = needsOf(plan)
  const names = [...new Set([...reads, ...writes])]
  if (names.length > 0 && !brokers) throw usage('give --kafka HOST:PORT, or WEIR_KAFKA_BROKERS')
  const of = { brokers: (brokers ?? '').split(','), clientId: 'weir-topics', security: kafkaSecurity(env) }
  const kafka = new KafkaConnections(of, { clock: systemClock })
  try {
    const found = new Map<string, number | null>()
    for (const name of names) found.set(name, await partitionsOf(kafka, name))
    const missing = names.filter((name) => found.get(name) === null)
    const widest = Math.max(0, ...reads.map((name) => found.get(name) ?? 0))
    const partitions = command.partitions ?? (widest || plan.settings.parallelism)
    const made =
      create && missing.length > 0 ? await createTopics(missing, partitions, { kafka, clock: systemClock }) : null
    const rows = names.map((topic): Topic => {
      const use = [reads.includes(topic) ? 'reads' : '', writes.includes(topic) ? 'writes' : ''].filter(Boolean)
      return {
        topic,
        use: use.join(', ') as Topic['use'],
        partitions: made?.get(topic) ?? found.get(topic)!,
        created: made?.has(topic) === true,
      }
    })
    print(rows, rows.map(line).join('\n') || `${plan.name} reads and writes no Kafka topic`)
    return rows.some((row) => row.partitions === null) ? 1 : 0
  } finally {
    await kafka.close().catch(() => undefined)
  }
}

async function partitionsOf(kafka: KafkaConnections, topic: string): Promise<number | null> {
  try {
    return (await kafka.partitions(topic)).length
  } catch (thrown) {
    if (thrown instanceof WeirError && thrown.code === 'UNKNOWN_TOPIC') return null
    throw thrown
  }
}

const line = ({ topic, use, partitions, created }: Topic): string =>
  [
    topic,
    use,
    partitions === null ? 'missing: --create creates it' : `${partitions} partitions${created ? ', created' : ''}`,
  ].join('\t')
