/** What is stored, and TiKV's rules about it: TTL in whole seconds of the server's clock, api versions, atomic compare-and-swap. */
import { kvrpcpb } from '@weir/proto/tikv'

/** What the servers run: plain v1 has no TTL. */
export type ApiVersion = 'v1' | 'v1ttl' | 2

const KEY_BYTES_MAX = 8 << 10

interface Row {
  readonly value: Buffer
  /** Unix seconds; 0: for ever. */
  readonly expireAt: number
}

/** A write as it was applied, for whoever judges. `value` null: deleted. */
export interface Applied {
  readonly key: string
  readonly value: Buffer | null
  readonly atSeconds: number
}

export class RawData {
  readonly apiVersion: ApiVersion
  /** In the order in which writes were applied. */
  readonly applied: Applied[] = []
  readonly #rows = new Map<string, Row>()
  readonly #nowSeconds: () => number

  constructor(apiVersion: ApiVersion, nowSeconds: () => number) {
    this.apiVersion = apiVersion
    this.#nowSeconds = nowSeconds
  }

  /** What TiKV says in `error`; '': nothing against it. */
  refusal(context: kvrpcpb.Context, keys: readonly Buffer[], cf: string, ttls: readonly bigint[]): string {
    const expected = this.apiVersion === 2 ? kvrpcpb.APIVersion.V2 : kvrpcpb.APIVersion.V1
    if (context.apiVersion !== expected)
      return `Api version in request does not match with TiKV storage, storage: ${this.apiVersion}, request: ${context.apiVersion}`
    if (this.apiVersion === 2 && cf !== '') return `Invalid column family ${cf}`
    for (const key of keys) {
      if (key.length > KEY_BYTES_MAX) return `max key size exceeded, size: ${key.length}, limit: ${KEY_BYTES_MAX}`
      if (this.apiVersion === 2 && (key.length < 4 || key[0] !== 0x72))
        return `Invalid key mode mismatches, key: ${key.toString('hex')}`
    }
    if (this.apiVersion === 'v1' && ttls.some((ttl) => ttl > 0n))
      return 'ttl is not enabled, but get put request with ttl'
    return ''
  }

  get(key: Buffer): Buffer | null {
    return this.#row(key)?.value ?? null
  }

  /** Seconds left; 0: for ever; null: nothing there. */
  ttl(key: Buffer): number | null {
    const row = this.#row(key)
    return row === null ? null : row.expireAt === 0 ? 0 : row.expireAt - this.#nowSeconds()
  }

  put(key: Buffer, value: Buffer, ttl: bigint): void {
    const now = this.#nowSeconds()
    const name = key.toString('latin1')
    this.#rows.set(name, { value, expireAt: ttl === 0n ? 0 : now + Number(ttl) })
    this.applied.push({ key: name, value, atSeconds: now })
  }

  delete(key: Buffer): void {
    const name = key.toString('latin1')
    if (this.#rows.delete(name)) this.applied.push({ key: name, value: null, atSeconds: this.#nowSeconds() })
  }

  swap(
    key: Buffer,
    expected: Buffer | null,
    value: Buffer,
    ttl: bigint,
  ): { swapped: boolean; previous: Buffer | null } {
    const previous = this.get(key)
    const swapped = expected === null ? previous === null : previous !== null && previous.equals(expected)
    if (swapped) this.put(key, value, ttl)
    return { swapped, previous }
  }

  /** [start, end) in order, at most `limit`; an empty end is +inf. */
  scan(start: Buffer, end: Buffer, limit: number): { key: Buffer; value: Buffer }[] {
    return [...this.#rows.keys()]
      .map((name) => Buffer.from(name, 'latin1'))
      .filter((key) => key.compare(start) >= 0 && (end.length === 0 || key.compare(end) < 0))
      .sort((a, b) => a.compare(b))
      .flatMap((key) => {
        const value = this.get(key)
        return value === null ? [] : [{ key, value }]
      })
      .slice(0, limit)
  }

  #row(key: Buffer): Row | null {
    const row = this.#rows.get(key.toString('latin1'))
    return row === undefined || (row.expireAt !== 0 && row.expireAt <= this.#nowSeconds()) ? null : row
  }
}
