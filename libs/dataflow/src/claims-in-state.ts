/**
 * Claims in the job's own keyed state: no external store, and exactly once with everything else that is in a checkpoint. A claim and
 * the effect of its record are in one epoch, so nothing is ever claimed and not committed; a replay finds neither.
 *
 * `ttl` is event time, as of all state. A dead letter that is replayed (`weir dlq replay`) says whose retry it is, and is handed the
 * claim.
 */
import {
  CLAIM_SCHEMA,
  ClaimBytes,
  claimOfText,
  fieldsIn,
  keptIn,
  notHashed,
  timedClaim,
  type Kept,
  type ListedClaim,
  type Sha256,
  type TextClaim,
  type TimedClaim,
} from './claim-row.ts'
import { DUPLICATES, type ClaimOf, type Conflict, type OnConflict } from './claim-node.ts'
import { NO_FINGERPRINT, textOfFields } from './fingerprint.ts'
import type { BytesState } from './handles/timed-value.ts'
import { claimPasses, decideClaim, type Claim, type HeldClaim } from './claims.ts'
import type { KeyedProcess, MapDescriptor, Out, StateDescriptors, TimerKinds, ValueDescriptor } from './keyed-state.ts'
import type { LateContext } from './operators/keyed-process.ts'
import { sideOutput, type SideOutput } from './side-output.ts'
import { stateSchema } from './state-schema.ts'
import { WeirError, attempt, generation, type OperatorUid } from '@weir/model'

/** Version 1 was `Kept`, with a row for its TTL beside each; version 2 a list; version 3 a text. */
export const timedClaimSchema = stateSchema<Kept>(CLAIM_SCHEMA)
  .next(([fingerprint, eventTime, origin]): ListedClaim => [null, fingerprint, eventTime, origin])
  .next((listed): TextClaim => listed)
  .next((claim): TimedClaim => {
    if (typeof claim === 'string') return claimOfText(claim)
    return claim[0] === null ? claim : timedClaim(claim[0], keptIn(claim, notHashed))
  })

export interface ClaimedInState<T> {
  readonly claimOf: (value: T, timestamp: number) => ClaimOf
  /**
   * Where what is claimed is the key of the stream: the fields of a record that make its fingerprint, as canonical text (`fieldsText`);
   * null: there is none. Absent: `claimOf` says what is claimed.
   */
  readonly fieldsOfKey?: ((value: T) => string) | null
  readonly sha256: Sha256
  readonly windowMs: number
  readonly ttlMs: number
  readonly onConflict: OnConflict
  /** Names of the side outputs it has, of `ClaimSides`. */
  readonly sides: readonly string[]
  readonly uid: OperatorUid
}

export type ClaimSides<T> = {
  readonly duplicates: SideOutput<T>
  readonly conflicts: SideOutput<Conflict<T>>
}

/** State is in an epoch or not: it has no attempts, and nobody but the record at hand claims. */
const NO_ATTEMPT = { generation: generation(0), attempt: attempt(0) }
/** What operators of this room see of their context besides. */
type Counting = Pick<LateContext<StateDescriptors, TimerKinds>, 'counted'>
/** A record has a name of its own every time: what state holds is never its own. */
const ITSELF = '\u0000itself'
/** Nothing is claimed between writing it and putting it. */
const written = new ClaimBytes()

export const claimingInState = <T>({
  claimOf,
  fieldsOfKey,
  sha256,
  windowMs,
  ttlMs,
  onConflict,
  sides: told,
  uid,
}: ClaimedInState<T>): KeyedProcess<
  T,
  T,
  { readonly claim: ValueDescriptor<TimedClaim>; readonly claims: MapDescriptor<string, Kept> },
  Record<never, never>,
  ClaimSides<T>
> => ({
  // Most keys have one claim, that of the key itself: a row, where an entry of a map is five.
  state: {
    claim: {
      ...{ kind: 'value', ttl: { ms: ttlMs, update: 'write' }, timed: true, packed: true, initial: undefined },
      schema: timedClaimSchema,
    },
    claims: { kind: 'map', ttl: { ms: ttlMs, update: 'write' } },
  },
  passes: true,
  sides: { duplicates: sideOutput<T>(), conflicts: sideOutput<Conflict<T>>() },
  onRecord(context, value, out: Out<T>) {
    const { sides, timestamp, origin, watermark } = context
    const { claims } = context.state
    const ofKey = context.state.claim as BytesState<TimedClaim>
    let claimed: ClaimOf
    let fields: string | null = null
    if (fieldsOfKey === undefined) claimed = claimOf(value, timestamp)
    else {
      fields = fieldsOfKey === null ? null : fieldsOfKey(value)
      // Most claims are the first, and there are millions: the short way to what `decideClaim` says of them.
      if (ofKey.get() === undefined) {
        const readAt = origin?.retryOf ?? origin?.id ?? null
        if (written.writeFields(Math.max(timestamp, watermark), fields, timestamp, readAt, sha256)) {
          ofKey.setBytes(written.bytes, written.end)
          return out.emit(value)
        }
      }
      const fingerprint = fields === null ? NO_FINGERPRINT : sha256(textOfFields(fields))
      claimed = { key: { bizKey: String(context.key), eventType: '' }, fingerprint }
    }
    const { key, fingerprint } = claimed
    const claim: Claim = { key, fingerprint, origin: ITSELF, attempt: NO_ATTEMPT, eventTime: timestamp }
    const isOfKey = key.eventType === '' && key.bizKey === context.key
    const keptOf = (there: TimedClaim | undefined): Kept | undefined =>
      there && keptIn(there, fields !== null && fieldsIn(there) === fields ? () => fingerprint : sha256)
    // By whole key: of one key of the stream there may be several event types.
    const name = isOfKey ? '' : `${key.eventType.length}:${key.eventType}:${key.bizKey}`
    const before = heldIn(isOfKey ? keptOf(ofKey.get()) : claims.get(name), origin?.retryOf ?? null)
    const { outcome, next } = decideClaim(before, claim, windowMs)
    if (next !== null) {
      const readAt = origin?.retryOf ?? origin?.id ?? null
      if (isOfKey) ofKey.set(timedClaim(Math.max(timestamp, watermark), [fingerprint, timestamp, readAt]))
      else claims.set(name, [fingerprint, timestamp, readAt])
    }
    if (!claimPasses(outcome))
      (context as unknown as Counting).counted(outcome === 'duplicate' ? 'duplicates' : 'conflicts')
    if (outcome === 'duplicate') return told.includes(DUPLICATES) ? sides.duplicates.emit(value) : undefined
    if (outcome === 'conflict') {
      if (onConflict === 'fail') throw conflicting(uid, before!.origin)
      const { bizKey, eventType } = key
      const of = { fingerprint: before!.fingerprint, eventTime: before!.eventTime, origin: before!.origin || null }
      sides.conflicts.emit({ kind: 'CONFLICT', value, bizKey, eventType, fingerprint, held: of })
    }
    if (claimPasses(outcome) || (outcome === 'conflict' && onConflict === 'pass')) out.emit(value)
  },
})

/** @param retryOf the first try of the record at hand, which went to the dead letters */
function heldIn(kept: Kept | undefined, retryOf: string | null): HeldClaim | null {
  if (kept === undefined) return null
  const [fingerprint, eventTime, origin] = kept
  const status = origin !== null && origin === retryOf ? 'DEAD' : 'CLAIMED'
  return { fingerprint, eventTime, origin: origin ?? '', attempt: NO_ATTEMPT, status }
}

const conflicting = (operatorUid: OperatorUid, heldBy: string): WeirError =>
  new WeirError(
    { code: 'CLAIM_CONFLICT', kind: 'invalid', operatorUid, heldBy },
    `idempotent "${operatorUid}": an event says to be the one read at ${heldBy || 'an earlier place'}, and differs from it. onConflict is "fail": take one of them out of the input, or use "sideOutput".`,
  )
