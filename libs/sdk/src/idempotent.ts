/** `.idempotent` and its options, as a job writes them. */
import {
  CLAIMS_BLOCK_MS_MAX,
  CONFLICTS,
  DUPLICATES,
  NO_FINGERPRINT,
  claimed,
  claimedInState,
  fieldsText,
  fingerprintText,
  isThenable,
  type ClaimOf,
  type ClaimSides,
  type ClaimsDescriptor,
  type FingerprintStrategy,
  type IdempotentNode,
  type OnConflict,
  type SideTypes,
  type Transform,
} from '@weir/dataflow'
import { SECRET_FORM, WeirError, isSecretReference, type Key } from '@weir/model'
import { hash } from 'node:crypto'
import { durationMs, type Duration } from './duration.ts'

/** What tells two events with one business key apart. */
export interface Fingerprint<in T> {
  readonly strategy: FingerprintStrategy
  readonly fields: (value: T) => unknown
}

/** Event type and these fields. Two events that differ in one are a conflict. As a bare function: the same. */
export const fields = <T>(of: (value: T) => unknown): Fingerprint<T> => ({ strategy: 'fields', fields: of })

/**
 * And the whole second of event time, as part of the key (the seed's `biz_key:fingerprint`): two events that differ in anything are two
 * events, and nothing is ever a conflict.
 */
export const fieldsAndSecond = <T>(of: (value: T) => unknown): Fingerprint<T> => ({
  strategy: 'fields-and-second',
  fields: of,
})

/** A store of claims outside of the job. */
export interface Claims {
  readonly claims: ClaimsDescriptor
}

export interface IdempotentOptions<T> {
  /** The order, the payment, the message id: what there is to be one effect of. A function of the record alone. */
  readonly bizKey: (value: T) => string | number
  /** What happens to it; part of the key, too. Default: one for all. */
  readonly eventType?: (value: T) => string
  /** `(order) => ({ amount: order.amount })`, `fields(…)`, `fieldsAndSecond(…)`. Default: none, the key alone says what is the same event. */
  readonly fingerprint?: ((value: T) => unknown) | Fingerprint<T>
  /** Events with one key that are this far apart in event time are two. Default 24 h. */
  readonly window?: Duration
  /** How long a claim is kept, at least `window`, which is the default: 24–72 h for business events, 30 min for message tokens. */
  readonly ttl?: Duration
  /** Of a store outside: how far back a restart may read, beside `ttl`. At least the age of the oldest epoch it may begin from. Default 24 h. */
  readonly rewind?: Duration
  /**
   * `state` (default): the job's own keyed state, exactly once with nothing else to run; the stream is keyed by `bizKey` behind it. A
   * store outside, `redis(…)`, `tikv(…)` or `postgres.claims(…)`, is for keys that several jobs or systems share.
   */
  readonly store?: 'state' | Claims
  /**
   * Of claims in state: all events of a `bizKey` are in one partition of the source, as they are when its producers key by it. Claims are
   * kept per partition then, and no record leaves its thread for its claim. The same event in two partitions passes twice. Default false.
   */
  readonly keyedBySource?: boolean
  /** `drop` (default), or into the side output `duplicates`. */
  readonly onDuplicate?: 'drop' | 'sideOutput'
  /**
   * An event with a known key and other fields. `sideOutput` (default): withheld, and told of in the side output `conflicts`. `pass`:
   * told of, and passes. `fail`: ends the job.
   */
  readonly onConflict?: OnConflict
  /**
   * A store outside cannot be reached. `{ block }` (default `30s`, the longest): the stage stands still and asks again, then the
   * attempt restarts; nothing is lost. `fail`: it restarts at once. `local`: it goes on by what this subtask knows, and an event may
   * pass twice; the job is shown as degraded meanwhile.
   */
  readonly onUnavailable?: { readonly block: Duration } | 'fail' | 'local'
}

export interface ClaimSettings extends Omit<IdempotentNode, 'kind' | 'uid' | 'claims' | 'namespace'> {
  readonly sides: readonly string[]
  readonly store: 'state' | ClaimsDescriptor
}

/** `Stream.idempotent` as a transform, to be composed and applied. With claims in a store outside it runs in jobs only. Throws as `claimSettings`. */
export function idempotent<T>(uid: string, options: IdempotentOptions<T>): Transform<T, T, SideTypes<ClaimSides<T>>> {
  const { store, ...settings } = claimSettings(uid, options)
  if (store !== 'state') return claimed<T>(uid, { claims: store, ...settings })
  const kind = options.keyedBySource === true ? 'keyedBySource' : 'keyBy'
  const keyed = { kind, key: keyTextOf(options.bizKey) as (value: unknown) => Key } as const
  const fieldsOfKey = fieldsOfKeyIn(options)
  return claimedInState<T>(uid, keyed, { ...settings, sha256, ...(fieldsOfKey !== undefined && { fieldsOfKey }) })
}

const DAY_MS = 86_400_000

/** Throws `OPTION_INVALID` (invalid) naming the option. */
function claimSettings<T>(uid: string, options: IdempotentOptions<T>): ClaimSettings {
  const { bizKey, onDuplicate = 'drop', onConflict = 'sideOutput', store = 'state', keyedBySource = false } = options
  const invalid = (option: string, rule: string): WeirError =>
    new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option, uid }, `idempotent "${uid}": ${option} ${rule}`)
  if (typeof bizKey !== 'function') throw invalid('bizKey', 'is a function that answers the key of a record')
  if (!['drop', 'sideOutput'].includes(onDuplicate)) throw invalid('onDuplicate', 'is "drop" or "sideOutput"')
  if (store !== 'state' && typeof store.claims?.store !== 'string')
    throw invalid('store', 'is "state", redis(…), tikv(…), postgres.claims(…) or tiered(…)')
  if (keyedBySource && store !== 'state')
    throw invalid('keyedBySource', 'is of claims in state: a store outside needs no keys')
  const ms = (d: Duration | undefined, or: number): number => (d === undefined ? or : Math.ceil(durationMs(d)))
  const windowMs = ms(options.window, DAY_MS)
  return {
    ...{ onConflict, windowMs, ttlMs: ms(options.ttl, windowMs), rewindMs: ms(options.rewind, DAY_MS) },
    claimOf: claimOf(options) as IdempotentNode['claimOf'],
    onUnavailable: unavailable(options.onUnavailable),
    sides: onDuplicate === 'drop' ? [CONFLICTS] : [DUPLICATES, CONFLICTS],
    store: store === 'state' ? 'state' : store.claims,
  }
}

function unavailable(of: IdempotentOptions<never>['onUnavailable']): IdempotentNode['onUnavailable'] {
  if (of === undefined) return { policy: 'block', forMs: CLAIMS_BLOCK_MS_MAX }
  return typeof of === 'string' ? { policy: of } : { policy: 'block', forMs: Math.ceil(durationMs(of.block)) }
}

/** What a record claims. */
function claimOf<T>({
  bizKey,
  eventType,
  fingerprint,
}: IdempotentOptions<T>): (value: T, timestamp: number) => ClaimOf {
  const keyOf = keyTextOf(bizKey)
  const typeOf = eventType === undefined ? (): string => '' : typeTextOf(eventType)
  if (fingerprint === undefined)
    return (value) => ({ key: { bizKey: keyOf(value), eventType: typeOf(value) }, fingerprint: NO_FINGERPRINT })
  const { strategy, fields: of } = typeof fingerprint === 'function' ? fields(fingerprint) : fingerprint
  const hashOf = (type: string, value: T, timestamp: number | null): string =>
    hash('sha256', fingerprintText(type, synchronous('fingerprint', of(value)), timestamp), 'hex')
  if (strategy === 'fields-and-second')
    return (value, timestamp) => {
      const type = typeOf(value)
      const print = hashOf(type, value, timestamp)
      return { key: { bizKey: `${keyOf(value)}:${print}`, eventType: type }, fingerprint: print }
    }
  return (value) => {
    const type = typeOf(value)
    return { key: { bizKey: keyOf(value), eventType: type }, fingerprint: hashOf(type, value, null) }
  }
}

/** Where claims in state are those of the stream's keys: what their fingerprints are of. Undefined: they are not. */
function fieldsOfKeyIn<T>({ eventType, fingerprint }: IdempotentOptions<T>): ((value: T) => string) | null | undefined {
  if (eventType !== undefined) return undefined
  if (fingerprint === undefined) return null
  const { strategy, fields: of } = typeof fingerprint === 'function' ? fields(fingerprint) : fingerprint
  if (strategy === 'fields-and-second') return undefined
  return (value) => fieldsText(synchronous('fingerprint', of(value)))
}

const sha256 = (text: string): string => hash('sha256', text)

/** A key that is missing must not be one that many share. */
const keyTextOf =
  <T>(bizKey: (value: T) => string | number) =>
  (value: T): string => {
    const key: unknown = synchronous('bizKey', bizKey(value))
    if (typeof key === 'string' && key !== '' && key.isWellFormed()) return key
    if (typeof key === 'number' && Number.isFinite(key)) return String(key)
    const got =
      typeof key === 'string' ? (key === '' ? 'an empty string' : 'half a surrogate pair') : String(typeof key)
    throw new WeirError(
      { code: 'CLAIM_KEY_INVALID', kind: 'invalid', got },
      `the business key is ${got}; it must be a string of at least one character or a number. Filter records without one before.`,
    )
  }

const typeTextOf =
  <T>(eventType: (value: T) => string) =>
  (value: T): string => {
    const type: unknown = synchronous('eventType', eventType(value))
    if (typeof type === 'string' && type.isWellFormed()) return type
    const got = typeof type === 'string' ? 'a string with half a surrogate pair' : typeof type
    throw new WeirError(
      { code: 'CLAIM_KEY_INVALID', kind: 'invalid', got },
      `the event type is ${got}; it must be a string. Filter records without one before.`,
    )
  }

function synchronous(name: string, answer: unknown): unknown {
  if (!isThenable(answer)) return answer
  throw new WeirError(
    { code: 'OPERATOR_RETURNED_PROMISE', kind: 'invalid', option: name },
    `${name} returned a promise. It is synchronous: remove async/await from it, or make calls in an asyncMap before.`,
  )
}

export interface RedisClaimsOptions {
  /**
   * `env:NAME` or `file:/path`: the variable or file of the task-managers that says where it is, `redis://host:6379/0`,
   * `redis+sentinel://host,host/primary` or `redis+cluster://host,host`. Never the address itself: it may hold a password.
   */
  readonly url: string
  /** Claims of one namespace are shared by all that name it. Default: that of the operator, which nobody shares. */
  readonly namespace?: string
  /** So many replicas must have a claim before it counts. Not in a cluster. Default: none. */
  readonly wait?: { readonly replicas: number; readonly timeout?: Duration }
}

const WAIT_MS = 1_000

type Invalid = (option: string, rule: string) => WeirError

/** The value is not repeated: it may be the secret. */
export function checkReference(option: string, value: string, invalid: Invalid): void {
  if (!isSecretReference(value)) throw invalid(option, `is ${SECRET_FORM}: plans are stored and shown`)
}

export function checkNamespace(namespace: string | undefined, invalid: Invalid): void {
  if (namespace !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(namespace))
    throw invalid('namespace', 'is 1 to 63 of A-Z, a-z, 0-9, ".", "_", "-", beginning with a letter or digit')
}

/**
 * Claims in Redis. Exactly once as long as Redis forgets nothing that it has acknowledged: `appendfsync always` on one server, or `wait`;
 * an asynchronous fail-over may lose the last claims. Throws `OPTION_INVALID` (invalid) naming the option.
 */
export function redis({ url, namespace, wait }: RedisClaimsOptions): Claims {
  const invalid = (option: string, rule: string): WeirError =>
    new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option }, `redis(…): ${option} ${rule}`)
  checkReference('url', url, invalid)
  checkNamespace(namespace, invalid)
  if (wait !== undefined && !(Number.isInteger(wait.replicas) && wait.replicas > 0))
    throw invalid('wait', 'names a number of replicas above 0')
  const waits = wait && { replicas: wait.replicas, timeoutMs: Math.ceil(durationMs(wait.timeout ?? WAIT_MS)) }
  return { claims: { store: 'redis', url, namespace: namespace ?? null, wait: waits ?? null } }
}
