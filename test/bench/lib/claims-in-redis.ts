/** What a bench has claimed is gone behind it: the next round finds the server as this one did. */
import { Redis } from 'ioredis'
import { stackEndpoints } from '../../stack/endpoints.ts'

/** Looked through in one call; the server serves nobody else meanwhile. */
const KEYS_AT_ONCE = 5_000

/** @param namespace of the claims, or what several of them begin with */
export async function forgetClaims(namespace: string): Promise<void> {
  const redis = new Redis(`redis://${stackEndpoints().redis}`)
  try {
    for await (const keys of redis.scanStream({ match: `weir:{${namespace}*`, count: KEYS_AT_ONCE }))
      if ((keys as string[]).length > 0) await redis.unlink(...(keys as string[]))
  } finally {
    redis.disconnect()
  }
}
