/** Changes of PostgreSQL tables as a source. */
import { SECRET_FORM, WeirError, isSecretReference, type RowChange } from '@weir/model'
import type { Source } from './connectors.ts'
import { durationMs, type Duration } from './duration.ts'

export type { RowChange as Change }

export interface ChangesOptions {
  /** `env:NAME` or `file:/path`: the variable or file of the task-managers that holds the connection string, of a user with REPLICATION. */
  readonly url: string
  /** Which tables: `CREATE PUBLICATION … FOR TABLE …`. An outbox is a table that is only inserted into. */
  readonly publication: string
  /**
   * A replication slot for this job alone; made at the first start, which reads from then on. The server keeps what the job has not
   * made final: drop the slot when the job is gone for good.
   */
  readonly slot: string
  /** `latest`: bounded, the job finishes in front of what is committed after its first start. */
  readonly until?: 'none' | 'latest'
  readonly timestamp?: (change: RowChange) => number
  readonly outOfOrder?: Duration
  readonly recordsPerSecond?: number
  readonly uid?: string
}

/** Throws `OPTION_INVALID` (invalid) naming the option. */
export function changes(options: ChangesOptions): Source<RowChange> {
  const { url, publication, slot, until = 'none', timestamp, outOfOrder, recordsPerSecond = null, uid } = options
  const invalid = (option: string, rule: string): WeirError =>
    new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option, slot }, `postgres.changes: ${option} ${rule}`)
  // The value is not repeated: it may be the secret.
  if (!isSecretReference(url)) throw invalid('url', `is ${SECRET_FORM}: plans are stored and shown`)
  if (!/^[a-z0-9_]{1,63}$/.test(slot)) throw invalid('slot', 'has 1 to 63 of a-z, 0-9 and _, as PostgreSQL wants it')
  if (!/^[a-z_][a-z0-9_$]{0,62}$/.test(publication)) {
    throw invalid('publication', 'has 1 to 63 of a-z, 0-9, _ and $, and begins with none of the digits')
  }
  if (until !== 'none' && until !== 'latest') throw invalid('until', 'is "none" or "latest"')
  return {
    descriptor: { connector: 'postgres', url, publication, slot, until },
    decode: null,
    timestamp: timestamp ?? ((change) => change.committedAt),
    outOfOrderMs: outOfOrder === undefined ? 0 : durationMs(outOfOrder),
    recordsPerSecond,
    ...(uid !== undefined && { uid }),
  }
}
