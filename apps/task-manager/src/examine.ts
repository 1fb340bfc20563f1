/** What a job would find here: the servers it needs as this task-manager reaches them, and this machine. */
import { redacted, secretOf } from '@weir/connectors'
import { asked, usesKafka, type Asked, type JobNeeds, type Observed, type RedisFacts } from '@weir/dataflow'
import { observePostgres, observeRedis, redisAddress } from '@weir/idempotency'
import { KafkaConnections, kafkaFacts, kafkaSecurity } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'
import { machineFacts } from '@weir/telemetry'
import { hostname } from 'node:os'

/** Of all servers at once; whoever submits waits for it. */
const BOUND = { clock: systemClock, boundMs: 4_000 }

export interface ExamineOptions {
  readonly kafkaBrokers: readonly string[]
  readonly dataDir: string
}

/** Never rejects: what does not answer in time is said to be so. */
export async function examineServers(needs: JobNeeds, { kafkaBrokers, dataDir }: ExamineOptions): Promise<Observed> {
  const [kafka, redis, postgres, machine] = await Promise.all([
    usesKafka(needs) && kafkaBrokers.length > 0 ? askKafka(needs, kafkaBrokers) : undefined,
    Promise.all(needs.redis.map(askRedis)),
    Promise.all(
      (needs.postgres ?? []).map(({ uid, url }) =>
        asked(`PostgreSQL of "${uid}"`, BOUND, (signal) => observePostgres(secretOf(url, uid), signal)),
      ),
    ),
    machineFacts(`task-manager at ${hostname()}`, dataDir),
  ])
  // What a server or a driver says of itself goes to whoever submits.
  return redacted({ ...(kafka && { kafka }), redis, postgres, machines: [machine] })
}

function askKafka({ reads, writes }: JobNeeds, brokers: readonly string[]): Promise<NonNullable<Observed['kafka']>> {
  const security = kafkaSecurity(process.env)
  const kafka = new KafkaConnections({ brokers, security, clientId: 'weir-doctor' }, { clock: systemClock })
  return asked(`Kafka at ${brokers.join(',')}`, BOUND, (signal) =>
    kafkaFacts(kafka, [...reads, ...writes], signal),
  ).finally(() => void kafka.close().catch(() => undefined))
}

async function askRedis({ uid, url }: JobNeeds['redis'][number]): Promise<Asked<RedisFacts>> {
  return asked(`Redis of "${uid}"`, BOUND, async (signal) => {
    const { facts } = await observeRedis(redisAddress(secretOf(url, uid)), systemClock, signal)
    return facts
  })
}
