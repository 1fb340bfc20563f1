/** What `weir doctor` asks a PostgreSQL that keeps claims. Reads only. */
import type { PostgresFacts } from '@weir/dataflow'
import { aborting } from './aborting.ts'
import { POSTGRES_CONNECTIONS_MAX } from './postgres-pool.ts'
import { postgresTierError } from './postgres-tier-error.ts'

interface Row {
  readonly max: number
  readonly reserved: number
  readonly used: number
}

/** Throws `CLAIM_TIER_UNAVAILABLE` (retry), `CLAIM_TIER_REFUSED` (invalid). @param url postgres://… */
export async function observePostgres(url: string, signal: AbortSignal): Promise<PostgresFacts> {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url, application_name: 'weir-doctor' })
  client.on('error', () => undefined) // told to the question
  const asked = (async (): Promise<PostgresFacts> => {
    await client.connect()
    const { rows } = await client.query<Row>(
      `SELECT current_setting('max_connections')::int AS max,
              current_setting('superuser_reserved_connections')::int
                + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
              (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used`,
    )
    const { max, reserved, used } = rows[0]!
    return {
      connectionsMax: max - reserved,
      // This one is gone before a job has its own.
      connectionsUsed: used - 1,
      connectionsPerSlot: POSTGRES_CONNECTIONS_MAX,
    }
  })().catch((error: unknown) => {
    throw postgresTierError(error)
  })
  try {
    return await aborting(asked, signal)
  } finally {
    await client.end().catch(() => undefined)
  }
}
