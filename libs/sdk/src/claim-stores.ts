/** Stores of claims outside of the job beside Redis, as `.idempotent({ store })` takes them. */
import { WeirError } from '@weir/model'
import { isAbsolute } from 'node:path'
import { durationMs, type Duration } from './duration.ts'
import { checkNamespace, checkReference, type Claims } from './idempotent.ts'

export interface TikvClaimsOptions {
  /** PD members, `host:port`, from 1. */
  readonly pd: readonly string[]
  /** Claims of one namespace are shared by all that name it. Default: that of the operator, which nobody shares. */
  readonly namespace?: string
  /** What the servers run: `storage.api-version = 2` (default), or `storage.enable-ttl = true`. */
  readonly apiVersion?: 2 | 'v1ttl'
  /** Of `apiVersion` 2, by name. Default: the one with id 0. */
  readonly keyspace?: string
  /** `env:NAME` or `file:/path` each: variables or files of the task-managers that hold PEM texts. `cert` and `key` go together. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string }
  /** Longest time of one key's call with all its tries, 5 ms to 10 s. Default 100 ms. */
  readonly deadline?: Duration
}

const DEADLINE_MS = { default: 100, min: 5, max: 10_000 }

/** Claims in TiKV (RawKV with TTL). Throws `OPTION_INVALID` (invalid) naming the option. */
export function tikv(options: TikvClaimsOptions): Claims {
  const { pd, namespace, apiVersion = 2, keyspace, tls, deadline } = options
  const invalid = optionOf('tikv(…)')
  if (!Array.isArray(pd) || pd.length === 0) throw invalid('pd', 'names at least one PD member, as "pd-0:2379"')
  const odd = pd.find((member) => !/^[^\s/]+:\d{1,5}$/.test(member))
  if (odd !== undefined) throw invalid('pd', `has ${JSON.stringify(odd)}, which is no host:port (leave "http://" out)`)
  if (apiVersion !== 2 && apiVersion !== 'v1ttl')
    throw invalid('apiVersion', 'is 2 or "v1ttl": without a time to live claims would be kept for ever')
  if (keyspace !== undefined && apiVersion !== 2) throw invalid('keyspace', 'is of apiVersion 2')
  checkNamespace(namespace, invalid)
  if (tls !== undefined) {
    const { ca, cert, key } = tls
    checkReference('tls.ca', ca, invalid)
    if ((cert === undefined) !== (key === undefined)) throw invalid('tls', 'has cert and key, or neither')
    if (cert !== undefined) checkReference('tls.cert', cert, invalid)
    if (key !== undefined) checkReference('tls.key', key, invalid)
  }
  const deadlineMs = deadline === undefined ? DEADLINE_MS.default : Math.ceil(durationMs(deadline))
  if (!(deadlineMs >= DEADLINE_MS.min && deadlineMs <= DEADLINE_MS.max))
    throw invalid('deadline', `is ${DEADLINE_MS.min} to ${DEADLINE_MS.max} ms`)
  return {
    claims: {
      ...{ store: 'tikv', pd: [...pd], namespace: namespace ?? null, apiVersion, keyspace: keyspace ?? null },
      tls: tls === undefined ? null : { ca: tls.ca, cert: tls.cert ?? null, key: tls.key ?? null },
      deadlineMs,
    },
  }
}

export interface PostgresClaimsOptions {
  /** `env:NAME` or `file:/path`: the variable or file of the task-managers that holds the connection string. Never the string itself. */
  readonly url: string
  /** Claims of one namespace are shared by all that name it. Default: that of the operator, which nobody shares. */
  readonly namespace?: string
  /** `table` or `schema.table`, made when it is missing. Default `weir_claims`. */
  readonly table?: string
}

/** Claims in PostgreSQL, one row each. Throws `OPTION_INVALID` (invalid) naming the option. */
export function postgresClaims({ url, namespace, table = 'weir_claims' }: PostgresClaimsOptions): Claims {
  const invalid = optionOf('postgres.claims(…)')
  checkReference('url', url, invalid)
  checkNamespace(namespace, invalid)
  if (!/^[a-z_][a-z0-9_]{0,40}(\.[a-z_][a-z0-9_]{0,40})?$/.test(table))
    throw invalid('table', 'is of lower case letters, digits and _, at most 41, with its schema in front if need be')
  return { claims: { store: 'postgres', url, namespace: namespace ?? null, table } }
}

export interface TieredClaimsOptions {
  /** The authority: `redis(…)`, `tikv(…)` or `postgres.claims(…)`. */
  readonly remote: Claims
  /**
   * An absolute path on every task-manager, on a disk that outlives its process. Default: in its data folder. Each subtask has a folder of its
   * own in it.
   */
  readonly localDir?: string
  /**
   * All claims of a key come through one subtask: its events lie in one partition of one source, or the job has one subtask; and nobody else
   * has the namespace. Then what this subtask has claimed itself needs no round trip to be known as taken. Default false.
   */
  readonly soleWriter?: boolean
  /** Texts kept in memory, of each subtask. Default 100,000. */
  readonly entriesMax?: number
}

const ENTRIES = { default: 100_000, min: 2, max: 100_000_000 }

/**
 * Claims in memory over LevelDB over a store that several share, which decides. With `onUnavailable: 'local'` the subtask goes on by its copies
 * while that one is away; what it decides is on its disk, across restarts on the same machine, and told when the store is back. Throws
 * `OPTION_INVALID` (invalid) naming the option.
 */
export function tiered({ remote, localDir, soleWriter = false, entriesMax }: TieredClaimsOptions): Claims {
  const invalid = optionOf('tiered(…)')
  const { claims } = remote ?? {}
  if (claims === undefined || !['redis', 'tikv', 'postgres'].includes(claims.store))
    throw invalid('remote', 'is redis(…), tikv(…) or postgres.claims(…)')
  if (localDir !== undefined && !isAbsolute(localDir)) throw invalid('localDir', 'is an absolute path')
  const entries = entriesMax ?? ENTRIES.default
  if (!(Number.isInteger(entries) && entries >= ENTRIES.min && entries <= ENTRIES.max))
    throw invalid('entriesMax', `is a whole number from ${ENTRIES.min} to ${ENTRIES.max}`)
  return { claims: { store: 'tiered', remote: claims, localDir: localDir ?? null, soleWriter, entriesMax: entries } }
}

const optionOf =
  (of: string) =>
  (option: string, rule: string): WeirError =>
    new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option }, `${of}: ${option} ${rule}`)
