/** Binds the stores of claims that jobs name to adapters: the one place that knows which there are. */
import { secretOf } from '@weir/connectors'
import type { ClaimStore, ClaimStoreOptions, ClaimsNews, IdempotentNode, SubtaskContext } from '@weir/dataflow'
import {
  MeasuredClaims,
  OpeningTier,
  PatientClaims,
  PostgresTier,
  RedisClaims,
  RedisLink,
  TierClaims,
  TikvTier,
  redisAddress,
  type ClaimTier,
  type RedisWait,
  type TlsOptions,
} from '@weir/idempotency'
import { WeirError, systemRandom, type Clock } from '@weir/model'

/** Throws `CLAIM_STORE_UNKNOWN`, `SECRET_MISSING`, `REDIS_URL_INVALID`, `CLAIMS_INVALID` (invalid). */
export function claimsOf(
  node: IdempotentNode,
  context: SubtaskContext,
  clock: Clock,
  told: (news: ClaimsNews) => void,
): ClaimStore {
  const { uid, claims, windowMs, ttlMs, rewindMs, onUnavailable } = node
  const namespace = (claims['namespace'] as string | null) ?? `${context.jobId}.${uid}`
  const options = { namespace, windowMs, ttlMs: ttlMs + rewindMs }
  const store = new MeasuredClaims(namespace, storeOf(node, options, clock, told), clock)
  return new PatientClaims(
    { namespace, operatorUid: uid, onUnavailable, windowMs },
    {
      store,
      clock,
      onDegraded: (isDegraded, { why, passedTwice }) =>
        told({ is: isDegraded ? 'degraded' : 'restored', why, claims: passedTwice }),
    },
  )
}

function storeOf(
  { uid, claims }: IdempotentNode,
  options: ClaimStoreOptions,
  clock: Clock,
  told: (news: ClaimsNews) => void,
): ClaimStore {
  switch (claims.store) {
    case 'redis': {
      const wait = claims['wait'] as RedisWait | null
      const address = redisAddress(secretOf(String(claims['url']), uid))
      if (wait !== null && address.kind === 'cluster')
        throw new WeirError(
          { code: 'CLAIMS_INVALID', kind: 'invalid', operatorUid: uid },
          `idempotent "${uid}" waits for replicas, which a cluster cannot be asked for: leave out wait, or use sentinels.`,
        )
      const onLost = (count: number): void => told({ is: 'lost', why: 'Redis had forgotten them', claims: count })
      return new RedisClaims({ ...options, wait }, { link: new RedisLink(address, clock), clock, onLost })
    }
    case 'tikv': {
      const tls = tlsOf(claims['tls'] as TlsReferences | null, uid)
      return overTier(options, (signal) =>
        TikvTier.open(
          {
            namespace: options.namespace,
            pd: claims['pd'] as readonly string[],
            apiVersion: claims['apiVersion'] as 2 | 'v1ttl',
            keyspace: claims['keyspace'] as string | null,
            deadlineMs: claims['deadlineMs'] as number,
            tls,
          },
          { clock, random: systemRandom },
          signal,
        ),
      )
    }
    case 'postgres': {
      const url = secretOf(String(claims['url']), uid)
      const table = String(claims['table'])
      return overTier(options, () => PostgresTier.open({ url, namespace: options.namespace, table }))
    }
    default:
      throw new WeirError(
        { code: 'CLAIM_STORE_UNKNOWN', kind: 'invalid', operatorUid: uid, store: claims.store },
        `idempotent "${uid}" keeps its claims in "${claims.store}", which this task-manager does not have. It has: redis, tikv, postgres.`,
      )
  }
}

const overTier = (options: ClaimStoreOptions, open: (signal: AbortSignal) => Promise<ClaimTier>): ClaimStore =>
  new TierClaims(options, new OpeningTier(open))

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
