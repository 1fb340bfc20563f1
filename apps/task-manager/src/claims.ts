/** Binds the stores of claims that jobs name to adapters: the one place that knows which there are. */
import { redacted, secretOf } from '@weir/connectors'
import {
  type ClaimStore,
  type ClaimStoreOptions,
  type ClaimsDescriptor,
  type ClaimsNews,
  type IdempotentNode,
  type SubtaskContext,
} from '@weir/dataflow'
import {
  MeasuredClaims,
  OpeningTier,
  PatientClaims,
  PostgresTier,
  RedisClaims,
  RedisLink,
  RedisTier,
  TierClaims,
  TikvTier,
  redisAddress,
  type ClaimTier,
  type RedisAddress,
  type RedisWait,
  type TikvTierOptions,
  type TlsOptions,
} from '@weir/idempotency'
import { WeirError, type Clock } from '@weir/model'
import { systemRandom } from '@weir/runtime/system'
import { claimsFolder, type TieredStores } from './tiered-claims.ts'

/** What tiers that decide alone cannot decide either is waited for: a full disk, a folder that the attempt before has not left. */
const TIERS_BLOCK_MS = 5_000

/** What the stores of one slot are opened with. */
export interface ClaimsDeps {
  readonly clock: Clock
  /** Outlives processes: each subtask of an operator with tiers on this machine has a folder of its own in it. */
  readonly localDir: string
  readonly tiered: TieredStores
}

/** Throws `CLAIM_STORE_UNKNOWN`, `SECRET_MISSING`, `REDIS_URL_INVALID`, `CLAIMS_INVALID` (invalid). */
export function claimsOf(
  { uid, claims, windowMs, ttlMs, rewindMs, onUnavailable }: IdempotentNode,
  context: SubtaskContext,
  deps: ClaimsDeps,
  told: (news: ClaimsNews) => void,
): ClaimStore {
  const { clock } = deps
  const namespace = (authority(claims)['namespace'] as string | null) ?? `${context.jobId}.${uid}`
  const options = { namespace, windowMs, ttlMs: ttlMs + rewindMs }
  const onDegraded = (isDegraded: boolean, { why, passedTwice }: { why: string; passedTwice: number }): void =>
    told({ is: isDegraded ? 'degraded' : 'restored', why: redacted(why), claims: passedTwice })
  const open = { uid, claims, options, clock, told }
  if (claims.store !== 'tiered')
    return new PatientClaims(
      { namespace, operatorUid: uid, onUnavailable, windowMs },
      { store: new MeasuredClaims(namespace, storeOf(open), clock), clock, onDegraded },
    )
  const decidesAlone = onUnavailable.policy === 'local'
  const tier = deps.tiered.open(
    {
      namespace,
      folder: claimsFolder((claims['localDir'] as string | null) ?? deps.localDir, context),
      soleWriter: claims['soleWriter'] as boolean,
      entriesMax: claims['entriesMax'] as number,
      decidesAlone,
    },
    tierOf({ ...open, claims: authority(claims) }),
    clock,
    onDegraded,
  )
  // One layer decides alone.
  const patience = decidesAlone ? ({ policy: 'block', forMs: TIERS_BLOCK_MS } as const) : onUnavailable
  return new PatientClaims(
    { namespace, operatorUid: uid, onUnavailable: patience, windowMs },
    { store: new TierClaims(options, tier), clock, onDegraded },
  )
}

/** That decides, of tiers over each other the lowest. */
const authority = (claims: ClaimsDescriptor): ClaimsDescriptor =>
  claims.store === 'tiered' ? (claims['remote'] as ClaimsDescriptor) : claims

interface Opening {
  readonly uid: string
  readonly claims: ClaimsDescriptor
  readonly options: ClaimStoreOptions
  readonly clock: Clock
  readonly told: (news: ClaimsNews) => void
}

function storeOf(opening: Opening): ClaimStore {
  const { claims, options, clock, told } = opening
  if (claims.store !== 'redis') return new TierClaims(options, new OpeningTier(tierOf(opening)))
  // A batch is one script there, and not two or three rounds.
  const { address, wait } = redisOf(opening)
  const onLost = (count: number): void => told({ is: 'lost', why: 'Redis had forgotten them', claims: count })
  return new RedisClaims({ ...options, wait }, { link: new RedisLink(address, clock), clock, onLost })
}

/** Checked now, opened by whoever needs it. */
function tierOf(opening: Opening): (signal: AbortSignal) => Promise<ClaimTier> {
  const { uid, claims, clock } = opening
  const { namespace } = opening.options
  switch (claims.store) {
    case 'redis': {
      const { address, wait } = redisOf(opening)
      return async (signal) => {
        const link = new RedisLink(address, clock)
        await link.settled(signal)
        return new RedisTier({ namespace, wait }, link)
      }
    }
    case 'tikv': {
      const options: TikvTierOptions = {
        namespace,
        pd: claims['pd'] as readonly string[],
        apiVersion: claims['apiVersion'] as 2 | 'v1ttl',
        keyspace: claims['keyspace'] as string | null,
        deadlineMs: claims['deadlineMs'] as number,
        tls: tlsOf(claims['tls'] as TlsReferences | null, uid),
      }
      return (signal) => TikvTier.open(options, { clock, random: systemRandom }, signal)
    }
    case 'postgres': {
      const url = secretOf(String(claims['url']), uid)
      const table = String(claims['table'])
      return () => PostgresTier.open({ url, namespace, table })
    }
    default:
      throw new WeirError(
        { code: 'CLAIM_STORE_UNKNOWN', kind: 'invalid', operatorUid: uid, store: claims.store },
        `idempotent "${uid}" keeps its claims in "${claims.store}", which this task-manager does not have. It has: redis, tikv, postgres, tiered.`,
      )
  }
}

function redisOf({ uid, claims }: Opening): { readonly address: RedisAddress; readonly wait: RedisWait | null } {
  const wait = claims['wait'] as RedisWait | null
  const address = redisAddress(secretOf(String(claims['url']), uid))
  if (wait !== null && address.kind === 'cluster')
    throw new WeirError(
      { code: 'CLAIMS_INVALID', kind: 'invalid', operatorUid: uid },
      `idempotent "${uid}" waits for replicas, which a cluster cannot be asked for: leave out wait, or use sentinels.`,
    )
  return { address, wait }
}

interface TlsReferences {
  readonly ca: string
  readonly cert: string | null
  readonly key: string | null
}

function tlsOf(tls: TlsReferences | null, uid: string): TlsOptions | null {
  if (tls === null) return null
  const pem = (reference: string): Buffer => Buffer.from(secretOf(reference, uid))
  const { ca, cert, key } = tls
  return { ca: pem(ca), ...(cert !== null && key !== null && { cert: pem(cert), key: pem(key) }) }
}
