/**
 * Connections to one PostgreSQL, shared by all operators that claim there in one thread. A slot is a thread and threads cannot share
 * sockets, so a job opens at most its parallelism times `POSTGRES_CONNECTIONS_MAX`, however many of its operators claim.
 */
import { PoolMeter } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { Pool } from 'pg'

/** Of one thread to one server; `weir doctor` counts with it. */
export const POSTGRES_CONNECTIONS_MAX = 4

export interface SharedPool {
  readonly pool: Pool
  /** What takes a connection goes through it. */
  readonly meter: PoolMeter
  /** Once, behind the last statement of whoever has it. The connections close when nobody has them any more. */
  release(): Promise<void>
}

const shared = new Map<string, { readonly pool: Pool; readonly meter: PoolMeter; users: number }>()

/** @param deadlineMs of a statement */
export async function sharedPool(url: string, deadlineMs: number): Promise<SharedPool> {
  // Loaded by those who use it: every slot of a task-manager loads this package.
  const { default: pg } = await import('pg')
  const name = `${deadlineMs} ${url}`
  let entry = shared.get(name)
  if (entry === undefined) {
    const pool = new pg.Pool({
      connectionString: url,
      max: POSTGRES_CONNECTIONS_MAX,
      connectionTimeoutMillis: deadlineMs,
      statement_timeout: deadlineMs,
      query_timeout: 2 * deadlineMs,
      application_name: 'weir-claims',
    })
    // A connection that breaks while nobody uses it: the next statement opens another one.
    pool.on('error', () => undefined)
    const meter = new PoolMeter('postgres-claims', systemClock, () => ({
      ...{ open: pool.totalCount, busy: pool.totalCount - pool.idleCount },
      ...{ waiting: pool.waitingCount, max: POSTGRES_CONNECTIONS_MAX },
    }))
    shared.set(name, (entry = { pool, meter, users: 0 }))
  }
  const mine = entry
  mine.users++
  return {
    pool: mine.pool,
    meter: mine.meter,
    release: () => {
      if (--mine.users > 0) return Promise.resolve()
      shared.delete(name)
      mine.meter.close()
      return mine.pool.end()
    },
  }
}
