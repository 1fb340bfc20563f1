/** Redis as a store of claims: what it forgets is a duplicate that passes (PROTOCOL A24). */
import type { RedisFacts } from './facts.ts'
import { looker, type Diagnosis } from './diagnosis.ts'

const MEMORY_WARNING = 0.8

export function checkRedis(name: string, facts: RedisFacts, waits: boolean): readonly Diagnosis[] {
  return [eviction(name, facts), memory(name, facts), persistence(name, facts), failover(name, facts, waits)]
}

function eviction(name: string, { evictionPolicy, maxmemoryBytes }: RedisFacts): Diagnosis {
  const { ok, warning, unsafe } = looker('REDIS_EVICTION', name)
  const why = `maxmemory-policy is ${evictionPolicy}, maxmemory ${maxmemoryBytes}`
  const remedy = 'CONFIG SET maxmemory-policy noeviction: a full Redis then refuses a claim, which the job waits out'
  if (evictionPolicy === 'noeviction') return ok(why)
  if (maxmemoryBytes === 0) return warning(`${why}: as soon as somebody sets maxmemory, claims are evicted`, remedy)
  return unsafe(`${why}: a full Redis evicts claims, and their duplicates pass`, remedy)
}

function memory(name: string, { maxmemoryBytes, usedBytes }: RedisFacts): Diagnosis {
  const { ok, warning } = looker('REDIS_MEMORY', name)
  if (maxmemoryBytes === 0) {
    return warning(
      'maxmemory is not set: the machine kills Redis when its memory is full',
      'set maxmemory below what the machine has',
    )
  }
  const why = `${usedBytes} bytes of ${maxmemoryBytes} are used`
  if (usedBytes < MEMORY_WARNING * maxmemoryBytes) return ok(why)
  return warning(`${why}: jobs that claim will stand still`, 'raise maxmemory, or shorten the ttl of .idempotent')
}

function persistence(name: string, { appendOnly, appendFsync, snapshots }: RedisFacts): Diagnosis {
  const { ok, warning, unsafe } = looker('REDIS_PERSISTENCE', name)
  const remedy = 'CONFIG SET appendonly yes, and appendfsync always where no claim may be forgotten'
  if (appendOnly && appendFsync === 'always') return ok('appendonly, fsync before each answer')
  if (appendOnly) {
    const how = appendFsync === null ? 'appendonly' : `appendonly, appendfsync ${appendFsync}`
    return warning(`${how}: a crash forgets the claims of its last moments, and their duplicates pass`, remedy)
  }
  const why =
    snapshots === false
      ? 'nothing is written to a disk'
      : 'snapshots at most: what was claimed since the last one is gone'
  return unsafe(`${why} when Redis restarts, and every duplicate passes`, remedy)
}

function failover(name: string, { replicas, minReplicasToWrite }: RedisFacts, waits: boolean): Diagnosis {
  const { ok, warning } = looker('REDIS_FAILOVER', name)
  if (replicas === 0) return ok('no replicas: nobody is promoted that lacks a claim')
  if (waits) return ok(`${replicas} replicas, and claims wait for them`)
  return warning(
    `${replicas} replicas, min-replicas-to-write ${minReplicasToWrite ?? 'unknown'}: one that has not got a claim yet may be promoted`,
    'give redis(…) `wait: { replicas: 1 }`, or keep what must not be lost in the job (`.idempotent` without a store)',
  )
}
