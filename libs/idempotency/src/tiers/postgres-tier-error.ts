/** What PostgreSQL, or the way to it, says: what only a person can mend, and what the next try may find better. */
import { WeirError } from '@weir/model'

/** SQLSTATE classes: wrong syntax or rights, no such database or user, wrong table. */
const REFUSED = ['28', '3D', '42', '22', '23']

export function postgresTierError(error: unknown): WeirError {
  if (error instanceof WeirError) return error
  const state = (error as { code?: unknown }).code
  const refused = typeof state === 'string' && state.length === 5 && REFUSED.includes(state.slice(0, 2))
  const message = error instanceof Error ? error.message : String(error)
  if (!refused)
    return new WeirError(
      { code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry', tier: 'postgres' },
      `PostgreSQL (claims): ${message}`,
      { cause: error },
    )
  return new WeirError(
    { code: 'CLAIM_TIER_REFUSED', kind: 'invalid', tier: 'postgres', sqlState: state },
    `PostgreSQL refuses the claims (${state}): ${message}. The user needs CREATE on the schema once, then SELECT, INSERT, UPDATE, DELETE on the table`,
    { cause: error },
  )
}
