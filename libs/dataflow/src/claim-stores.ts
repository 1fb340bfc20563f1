/**
 * What a job may say of a store of claims outside of it. The sdk's functions make such descriptors; one made by hand is refused here, before it
 * is stored and shown: a claim that is looked for in another place than the last build's is no claim.
 */
import { SECRET_FORM, WeirError, isSecretReference } from '@weir/model'
import type { IdempotentNode } from './claim-node.ts'

/** @returns what is wrong with it; null: nothing */
type Check = (value: unknown) => string | null

/** Names a variable or a file of the task-managers: a plan is stored and shown. The value is not repeated, it may be the secret. */
const reference: Check = (value) => (typeof value === 'string' && isSecretReference(value) ? null : `is ${SECRET_FORM}`)
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null ? null : check(value)
const namespace: Check = orNull((value) =>
  typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(value)
    ? null
    : 'is null, or 1 to 63 of A-Z, a-z, 0-9, ".", "_", "-", beginning with a letter or digit',
)
const whole =
  (min: number, max: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? null
      : `is a whole number from ${min} to ${max}`
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value) ? null : `is ${values.map((v) => JSON.stringify(v)).join(' or ')}`
const text =
  (form: RegExp, is: string): Check =>
  (value) =>
    typeof value === 'string' && form.test(value) ? null : is
const fields =
  (of: Readonly<Record<string, Check>>): Check =>
  (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is an object'
    const has = value as Readonly<Record<string, unknown>>
    const odd = Object.keys(has).find((name) => !(name in of))
    if (odd !== undefined) return `has ${JSON.stringify(odd)}, which is none of ${Object.keys(of).join(', ')}`
    for (const [name, check] of Object.entries(of)) {
      const problem = check(has[name])
      if (problem !== null) return `has a wrong ${name}: it ${problem}`
    }
    return null
  }
const members: Check = (value) =>
  Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === 'string' && /^[^\s/]+:\d{1,5}$/.test(v))
    ? null
    : 'names PD members, as ["pd-0:2379"]'

const remote = {
  redis: {
    url: reference,
    namespace,
    wait: orNull(fields({ replicas: whole(1, 1_000), timeoutMs: whole(1, 600_000) })),
  },
  tikv: {
    pd: members,
    namespace,
    apiVersion: oneOf(2, 'v1ttl'),
    keyspace: orNull(text(/./, 'is null or a name')),
    tls: orNull(fields({ ca: reference, cert: orNull(reference), key: orNull(reference) })),
    deadlineMs: whole(5, 10_000),
  },
  postgres: {
    url: reference,
    namespace,
    table: text(/^[a-z_][a-z0-9_]{0,40}(\.[a-z_][a-z0-9_]{0,40})?$/, 'is a table, as "weir_claims"'),
  },
} as const

const storeOf = (known: Readonly<Record<string, Readonly<Record<string, Check>>>>): Check => {
  const names = Object.keys(known).join(', ')
  return (value) => {
    const store = (value as { readonly store?: unknown } | null)?.store
    if (typeof store !== 'string' || !Object.hasOwn(known, store))
      return `is ${JSON.stringify(store) ?? 'nothing'}; it is one of ${names}`
    return fields({ store: oneOf(store), ...known[store] })(value)
  }
}

const KNOWN = storeOf({
  ...remote,
  /** Copies on the local disk over one of the above. */
  tiered: {
    remote: storeOf(remote),
    localDir: orNull(text(/^\/|^[A-Za-z]:\\/, 'is null or an absolute path')),
    soleWriter: oneOf(true, false),
    entriesMax: whole(2, 100_000_000),
  },
  /** Of jobs under test. */
  memory: {},
})

/** Throws WeirError `CLAIM_STORE_INVALID` (invalid). */
export function checkClaimStore({ uid, claims }: Pick<IdempotentNode, 'uid' | 'claims'>): void {
  const problem = KNOWN(claims)
  if (problem === null) return
  throw new WeirError(
    { code: 'CLAIM_STORE_INVALID', kind: 'invalid', uid, problem },
    `idempotent "${uid}": its store ${problem}. Make it with redis(…), tikv(…), postgres.claims(…) or tiered(…) instead of writing it by hand.`,
  )
}
