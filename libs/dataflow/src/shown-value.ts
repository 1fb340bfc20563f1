/** Values of state for people: `weir state`, REST. */
import { plain } from './canonical.ts'
import { CLAIM_SCHEMA, keptIn, type Sha256, type TimedClaim } from './claim-row.ts'
import { timedClaimSchema } from './claims-in-state.ts'
import type { StoredSchema } from './state-schema.ts'

/** A claim in state. JSON. */
export interface ShownClaim {
  readonly fingerprint: string
  /** ISO 8601. */
  readonly eventTime: string
  /** Where its record was read; null: the job did not ask. */
  readonly origin: string | null
  readonly status: 'CLAIMED'
}

/** As JSON (`plain`); a claim, whichever version of this and earlier builds wrote it, as `ShownClaim`. */
export function shownValue(schema: StoredSchema | null, value: unknown, sha256: Sha256): unknown {
  if (schema?.name !== CLAIM_SCHEMA || schema.version > timedClaimSchema.version) return plain(value)
  const steps = timedClaimSchema.steps.slice(schema.version - timedClaimSchema.since)
  return shownClaim(steps.reduce((old, step) => step(old), value) as TimedClaim, sha256)
}

function shownClaim(claim: TimedClaim, sha256: Sha256): ShownClaim {
  const [fingerprint, eventTime, origin] = keptIn(claim, sha256)
  return { fingerprint, eventTime: new Date(eventTime).toISOString(), origin, status: 'CLAIMED' }
}
