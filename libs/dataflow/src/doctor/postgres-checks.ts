/** PostgreSQL as a store of claims: each slot of a job has connections of its own, and a server has only so many. */
import { looker, type Diagnosis } from './diagnosis.ts'
import type { PostgresFacts } from './facts.ts'

/** @param slots of all jobs' operators that claim there, as far as they are known here: those of one job */
export function checkPostgres(name: string, facts: PostgresFacts, slots: number): readonly Diagnosis[] {
  const { connectionsMax, connectionsUsed, connectionsPerSlot } = facts
  const { ok, warning, unsafe } = looker('POSTGRES_CONNECTIONS', name)
  const needed = slots * connectionsPerSlot
  const why = `${slots} slots with up to ${connectionsPerSlot} connections each, and the server has ${connectionsMax} for all, of which ${connectionsUsed} are used`
  const remedy = 'raise max_connections, lower the parallelism of the job, or put a pooler (transaction mode) in front'
  if (needed > connectionsMax) return [unsafe(`${why}: claims fail while the job is busy`, remedy)]
  if (needed > connectionsMax - connectionsUsed)
    return [warning(`${why}: together with what others use they may run out, and claims wait`, remedy)]
  return [ok(why)]
}
