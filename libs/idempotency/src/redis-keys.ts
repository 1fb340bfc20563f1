/**
 * Keys of one namespace in Redis: `weir:{<namespace>:<bucket>}:…`. The bucket is the hash tag, so a batch falls into few slots in a
 * cluster, and a namespace over several nodes. How many there are is part of the keys: another number forgets all claims.
 */
import { WeirError } from '@weir/model'
import { crc32 } from 'node:zlib'

export const BUCKETS = 32
const NAMESPACE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/

export class RedisKeys {
  readonly #tags: readonly string[]

  /** Throws WeirError `CLAIM_NAMESPACE_INVALID` (invalid). */
  constructor(namespace: string) {
    if (!NAMESPACE.test(namespace)) throw invalid(namespace)
    this.#tags = Array.from({ length: BUCKETS }, (_, i) => `weir:{${namespace}:${i}}`)
  }

  bucketOf(text: string): number {
    return crc32(text) % BUCKETS
  }

  claim(bucket: number, text: string): string {
    return `${this.#tags[bucket]}:c:${text}`
  }

  dead(bucket: number, origin: string): string {
    return `${this.#tags[bucket]}:d:${origin}`
  }
}

const invalid = (namespace: string): WeirError =>
  new WeirError(
    { code: 'CLAIM_NAMESPACE_INVALID', kind: 'invalid', namespace },
    `the namespace of the claims is ${JSON.stringify(namespace)}; use 1 to 127 of A-Z, a-z, 0-9, ".", "_", "-", beginning with a letter or digit.`,
  )
