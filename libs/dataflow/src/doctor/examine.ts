/** All checks over all that was observed. Pure; what was not asked for is not spoken of. */
import type { Asked, Observed } from './facts.ts'
import { notExamined, type Diagnosis } from './diagnosis.ts'
import { checkEtcd, checkObjects } from './etcd-checks.ts'
import { checkKafka } from './kafka-checks.ts'
import { checkClock, checkMachine } from './machine-checks.ts'
import { NEEDS_OF_ANY, type JobNeeds } from './needs.ts'
import { checkPostgres } from './postgres-checks.ts'
import { checkRedis } from './redis-checks.ts'

export function examine(observed: Observed, needs: JobNeeds = NEEDS_OF_ANY): readonly Diagnosis[] {
  const { kafka, etcd, objects, redis = [], postgres = [], machines = [], clocks = [] } = observed
  const waits = needs.redis.length > 0 && needs.redis.every((one) => one.waits)
  return [
    ...of(kafka, 'check WEIR_KAFKA_BROKERS, and that the brokers are up', (facts) => checkKafka(facts, needs)),
    ...of(etcd, 'check WEIR_ETCD, and that etcd is up', checkEtcd),
    ...of(objects, 'check WEIR_S3_ENDPOINT, WEIR_S3_BUCKET and the keys', checkObjects),
    ...redis.flatMap((one) =>
      of(one, 'check its URL, and that Redis is up', (facts) => checkRedis(one.name, facts, waits)),
    ),
    ...postgres.flatMap((one) =>
      of(one, 'check its URL, and that PostgreSQL is up', (facts) =>
        checkPostgres(one.name, facts, needs.settings.parallelism),
      ),
    ),
    ...machines.flatMap(checkMachine),
    ...clocks.map(checkClock),
  ]
}

function of<T>(
  asked: Asked<T> | undefined,
  remedy: string,
  check: (facts: T) => readonly Diagnosis[],
): readonly Diagnosis[] {
  if (asked === undefined) return []
  if ('unanswered' in asked) return [notExamined(asked.name, asked.unanswered.message, remedy)]
  return check(asked.facts)
}
