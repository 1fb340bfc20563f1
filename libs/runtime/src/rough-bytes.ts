/**
 * About how much memory a batch that is passed by reference holds: of a few of its values, in the order of what they are on the wire. What
 * is counted once where values share it is no matter: a bound needs the order of magnitude, and nothing is encoded to know it.
 */
import type { RecordBatch } from '@weir/model'

/** Values of a batch that are looked at, evenly over it. */
const SAMPLED_VALUES = 4
/** Parts of a value that are looked at; what is behind them counts as those before. */
const SAMPLED_PARTS = 64
const NUMBER_BYTES = 8

export function roughBytes({ values }: RecordBatch): number {
  const count = values.length
  const sampled = Math.min(count, SAMPLED_VALUES)
  let bytes = 0
  for (let i = 0; i < sampled; i++) bytes += bytesOf(values[Math.floor((i * count) / sampled)], SAMPLED_PARTS)
  return sampled === 0 ? 0 : (bytes / sampled) * count
}

function bytesOf(value: unknown, parts: number): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return NUMBER_BYTES
  if (ArrayBuffer.isView(value)) return value.byteLength
  if (value instanceof ArrayBuffer) return value.byteLength
  if (value instanceof Map) return sumOf([...firstOf(value.values(), parts)], value.size, parts)
  if (value instanceof Set) return sumOf([...firstOf(value.values(), parts)], value.size, parts)
  if (Array.isArray(value)) return sumOf(value.slice(0, parts), value.length, parts)
  const fields = Object.values(value)
  return sumOf(fields.slice(0, parts), fields.length, parts)
}

/** Of so many parts, of which these are the first. */
function sumOf(first: readonly unknown[], count: number, parts: number): number {
  if (count === 0) return NUMBER_BYTES
  if (parts <= 1) return count * NUMBER_BYTES
  let bytes = 0
  for (const part of first) bytes += NUMBER_BYTES + bytesOf(part, Math.floor(parts / first.length))
  return (bytes / first.length) * count
}

function* firstOf(values: Iterable<unknown>, max: number): Generator<unknown> {
  let left = max
  for (const value of values) {
    if (left-- === 0) return
    yield value
  }
}
