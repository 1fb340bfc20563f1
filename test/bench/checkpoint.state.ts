/** The state that is measured: orders by id. */
import { constants, zstdCompressSync } from 'node:zlib'

export const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
export const KEYS = Number(process.env['BENCH_KEYS'] ?? 1_000_000)

/** About 125 bytes as JSON. Users, amounts, states and times follow no pattern; ids do, as they do in life. */
export interface Order {
  readonly id: number
  readonly user: string
  readonly amountMinor: number
  readonly currency: string
  readonly status: string
  readonly updatedAt: number
}
const STATUS = ['PAID', 'OPEN', 'SHIPPED', 'CANCELLED']
/** A hash: amounts and times that follow no pattern. */
export const mixed = (i: number): number => Math.imul((i ^ (i >>> 15)) + 0x9e3779b9, 0x85ebca6b) >>> 0
export const order = (i: number, version = 0): Order => ({
  id: i,
  user: `user-${mixed(i) % 100_000}`,
  amountMinor: mixed(i + version) % 100_000,
  currency: 'EUR',
  status: STATUS[mixed(i + version) % 4]!,
  updatedAt: 1_750_000_000_000 + (mixed(i * 3 + version) % 86_400_000),
})
export const keyOf = (i: number): string => `order-${i}`

/** As JSON, a row a line. */
export function jsonOf(bytes: number): Buffer {
  const lines: string[] = []
  for (let i = 0, length = 0; length < bytes; i++) {
    lines.push(JSON.stringify([keyOf(i), order(i)]))
    length += lines.at(-1)!.length + 1
  }
  return Buffer.from(lines.join('\n'))
}

const LEVEL_3 = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
export const zstd = (bytes: Buffer): Buffer => zstdCompressSync(bytes, LEVEL_3)
/** Bytes that are compressed at once. */
export const CHUNK_BYTES = 256 * 1024
