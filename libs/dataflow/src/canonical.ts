/**
 * Canonical JSON: one text for one value, whatever order its properties were made in, so that client, job-manager and
 * task-manager hash the same bytes. Object keys are sorted by UTF-16 code units, no white space.
 */
import { WeirError } from '@weir/model'

/** Throws WeirError `NOT_CANONICAL` (invalid) for what JSON cannot hold; properties that are undefined are left out. */
export function canonicalJson(value: unknown): string {
  return write(value, '$')
}

function write(value: unknown, path: string): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw notCanonical(path, String(value))
    return JSON.stringify(value) // −0 is written as 0
  }
  if (Array.isArray(value)) return `[${value.map((item, i) => write(item, `${path}[${i}]`)).join(',')}]`
  if (typeof value === 'object') {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) throw notCanonical(path, 'a class instance')
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${write(member, `${path}.${key}`)}`)
    return `{${members.join(',')}}`
  }
  throw notCanonical(path, typeof value)
}

/** Values of state may be more than JSON; where they are compared or shown, anything else becomes a tagged text. */
export function plain(value: unknown): unknown {
  if (value === undefined) return null
  if (typeof value === 'bigint') return { $bigint: String(value) }
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $number: String(value) }
  if (typeof value === 'function' || typeof value === 'symbol') return { $type: typeof value }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Date) return { $date: value.getTime() }
  if (value instanceof Map) return { $map: [...value].map(([k, v]) => [plain(k), plain(v)]) }
  if (value instanceof Set) return { $set: [...value].map(plain) }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') }
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
}

const notCanonical = (path: string, got: string): WeirError =>
  new WeirError(
    { code: 'NOT_CANONICAL', kind: 'invalid', path, got },
    `${path} is ${got}; configuration must be plain JSON: objects, arrays, strings, finite numbers, booleans, null.`,
  )
