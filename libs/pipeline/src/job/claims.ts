/** Stores of claims, as calls of the SDK. */
import { postgres, redis, tiered, tikv, type Claims } from '@weir/sdk'
import type { ClaimStoreSpec, RemoteSpec } from '../schema/claims.ts'
import { StepRefused, problemOf, type Path } from './problem.ts'

/** @param path where the store stands. Throws StepRefused: what is refused is an option of it. */
export function claimsOf(spec: ClaimStoreSpec, path: Path): Claims {
  const [kind] = Object.keys(spec) as [string]
  try {
    if (!('tiered' in spec)) return remoteOf(spec)
    const { remote, ...options } = spec.tiered
    return tiered({ ...options, remote: claimsOf(remote, [...path, kind, 'remote']) } as Parameters<typeof tiered>[0])
  } catch (thrown) {
    throw thrown instanceof StepRefused ? thrown : new StepRefused(problemOf(thrown, [...path, kind]))
  }
}

function remoteOf(spec: RemoteSpec): Claims {
  if ('redis' in spec) return redis(spec.redis as Parameters<typeof redis>[0])
  if ('tikv' in spec) return tikv(spec.tikv as Parameters<typeof tikv>[0])
  return postgres.claims(spec.postgres as Parameters<typeof postgres.claims>[0])
}
