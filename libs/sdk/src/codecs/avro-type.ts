/**
 * Avro types as Weir reads them: `avsc`, made strict where it would go on without a word.
 * - A count of array items or map entries that the bytes cannot hold is refused, instead of looped over (2^40 items).
 * - Text is UTF-8 and well-formed, as the specification wants it, instead of patched with U+FFFD.
 * - A map has its keys and nothing else, also one called `__proto__`.
 * - A long is exact: a number within ±2^53 − 2 or refused, or a bigint over the whole range.
 */
import { isUtf8 } from 'node:buffer'
import { WeirError } from '@weir/model'
import avsc, { type Type } from 'avsc'
import { decoding, encodeFailed, messageOf } from './codec.ts'

/** A schema as JSON: text, or what its text parses to. */
export type AvroSchema = string | object

export interface AvroOptions {
  /**
   * What a `long` is in a value. `number` (default): one that no number holds exactly is refused on both sides.
   * `bigint`: all of them are bigints.
   */
  readonly long?: 'number' | 'bigint'
}

/** The part of avsc's reader and writer that is used. */
interface Tap {
  readonly buf: Buffer
  pos: number
  readLong(): number
  skipLong(): void
  readString(): string
  skipString(): void
  writeString(text: string): void
}
interface Inner {
  _read(tap: Tap): unknown
  _skip(tap: Tap): void
}

/** Items of no bytes at all (null, an empty record) that one block may have. */
const EMPTY_ITEMS_MAX = 1_000
const LONG_BYTES_MAX = 10

/** @returns the number of items; the bytes of the block where it says them, else null */
function blockOf(tap: Tap, itemsMax: number): { count: number; bytes: number | null } {
  const count = tap.readLong()
  const bytes = count < 0 ? tap.readLong() : null
  const left = tap.buf.length - tap.pos
  const size = Math.abs(count)
  if (size > Math.max(left, itemsMax) || (bytes !== null && (bytes < 0 || bytes > left))) {
    throw new Error(`a block of ${size} items does not fit into the ${Math.max(0, left)} bytes that are left`)
  }
  return { count: size, bytes }
}

class BoundedArray extends avsc.types.ArrayType {
  _read(tap: Tap): unknown[] {
    const items = this.itemsType as unknown as Inner
    const values: unknown[] = []
    for (let { count } = blockOf(tap, EMPTY_ITEMS_MAX); count > 0; { count } = blockOf(tap, EMPTY_ITEMS_MAX)) {
      for (let i = 0; i < count; i++) values.push(items._read(tap))
    }
    return values
  }

  _skip(tap: Tap): void {
    skipBlocks(tap, EMPTY_ITEMS_MAX, () => (this.itemsType as unknown as Inner)._skip(tap))
  }
}

class BoundedMap extends avsc.types.MapType {
  _read(tap: Tap): Record<string, unknown> {
    const of = this.valuesType as Inner
    const entries: Record<string, unknown> = {}
    for (let { count } = blockOf(tap, 0); count > 0; { count } = blockOf(tap, 0)) {
      for (let i = 0; i < count; i++) {
        const key = TEXT._read(tap)
        const value = of._read(tap)
        if (key === '__proto__') Object.defineProperty(entries, key, { value, enumerable: true, configurable: true })
        else entries[key] = value
      }
    }
    return entries
  }

  _skip(tap: Tap): void {
    skipBlocks(tap, 0, () => {
      tap.skipString()
      ;(this.valuesType as Inner)._skip(tap)
    })
  }
}

function skipBlocks(tap: Tap, itemsMax: number, skip: () => void): void {
  for (let block = blockOf(tap, itemsMax); block.count > 0; block = blockOf(tap, itemsMax)) {
    if (block.bytes !== null) tap.pos += block.bytes
    else for (let i = 0; i < block.count; i++) skip()
  }
}

class StrictString extends avsc.types.StringType {
  _read(tap: Tap): string {
    const from = tap.pos
    const text = tap.readString()
    // Broken bytes would be read as U+FFFD; the exact check is paid only where one stands.
    if (text !== undefined && text.includes('\ufffd') && !isUtf8(textBytes(tap.buf, from, tap.pos))) {
      throw new Error('a string is not UTF-8')
    }
    return text
  }

  _write(tap: Tap, value: unknown): void {
    if (typeof value !== 'string' || !value.isWellFormed()) throw new Error('not a well-formed string')
    tap.writeString(value)
  }
}
const TEXT = new StrictString()

/** Behind the length that a string in [from, to) begins with. */
function textBytes(buffer: Buffer, from: number, to: number): Buffer {
  let at = from
  while (buffer[at++]! & 0x80);
  return buffer.subarray(at, to)
}

const LONG_MAX = 2n ** 63n - 1n
const isLong = (value: unknown): value is bigint =>
  typeof value === 'bigint' && value >= -LONG_MAX - 1n && value <= LONG_MAX

const bigLong = avsc.types.LongType.__with(
  {
    fromBuffer(bytes: Buffer): bigint {
      let zigzag = 0n
      for (let i = 0; i < bytes.length; i++) zigzag |= BigInt(bytes[i]! & 0x7f) << BigInt(7 * i)
      if (bytes.length > LONG_BYTES_MAX || zigzag >= 2n ** 64n) throw new Error('a long of more than 64 bits')
      return zigzag & 1n ? -(zigzag >> 1n) - 1n : zigzag >> 1n
    },
    toBuffer(value: bigint): Buffer {
      const bytes: number[] = []
      let zigzag = value < 0n ? -value * 2n - 1n : value * 2n
      for (; zigzag > 0x7fn; zigzag >>= 7n) bytes.push(Number(zigzag & 0x7fn) | 0x80)
      return Buffer.from([...bytes, Number(zigzag)])
    },
    // Defaults of fields come as JSON.
    fromJSON: (value: number) => BigInt(value),
    toJSON: Number,
    isValid: isLong,
    compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
  },
  true,
)

type Opts = Parameters<typeof Type.forSchema>[1] & { registry: Record<string, Type> }

/** Throws `SCHEMA_INVALID` (invalid), naming what avsc says. `known`: types that it refers to by name; those it defines join them. */
export function avroType(
  schema: AvroSchema,
  { long = 'number' }: AvroOptions = {},
  known: Record<string, Type> = {},
): Type {
  try {
    const parsed: unknown = typeof schema === 'string' && /^[\s]*["[{]/.test(schema) ? JSON.parse(schema) : schema
    const opts: Opts = {
      registry: Object.assign(known, { string: TEXT, ...(long === 'bigint' && { long: bigLong }) }),
      // Its classes would carry methods that are no fields of the value.
      omitRecordMethods: true,
      typeHook(of: unknown, inner: unknown): Type | undefined {
        if (typeof of !== 'object' || of === null || 'logicalType' in of) return undefined
        const { type } = of as { type?: unknown }
        if (type === 'array') return new BoundedArray(of as never, inner)
        if (type === 'map') return new BoundedMap(of as never, inner)
        return undefined
      },
    } as Opts
    return avsc.Type.forSchema(parsed as never, opts)
  } catch (cause) {
    throw new WeirError({ code: 'SCHEMA_INVALID', kind: 'invalid' }, `no Avro schema: ${messageOf(cause)}`, { cause })
  }
}

/** What the writer's bytes are to a reader; absent: they have one schema. */
export type AvroResolver = ReturnType<Type['createResolver']>

export const readAvro = (type: Type, bytes: Buffer, resolver?: AvroResolver): unknown =>
  decoding('Avro of this schema', () => type.fromBuffer(bytes, resolver))

/** Of one type: what is written for a value. It throws `ENCODE_FAILED` (invalid) for what is none of the type. */
export function avroWriter(type: Type): (value: unknown) => Buffer {
  const hasBytes = /"(bytes|fixed)"/.test(JSON.stringify(type.schema()))
  return (value) => {
    const of = hasBytes ? withBuffers(value) : value
    try {
      return type.toBuffer(of)
    } catch (cause) {
      throw encodeFailed('Avro', whyNot(type, of, cause), 'Map it to a value of the schema before the sink.', cause)
    }
  }
}

/** Bytes are read as Buffers, and come out of an exchange or a state as Uint8Arrays, which avsc does not take. */
function withBuffers(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (Array.isArray(value)) return value.map(withBuffers)
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, withBuffers(of)]))
}

/** By place and type, never by content: values are money and people, and errors end in logs. */
function whyNot(type: Type, value: unknown, cause: unknown): string {
  let first: string | null = null
  try {
    type.isValid(value, {
      errorHook: (path, got, expected) => {
        const long = expected.typeName.replace('abstract:', '')
        first ??= `${path.join('.') || 'it'} is ${kindOf(got)}, the schema wants ${long}`
      },
    })
  } catch {
    // what isValid stumbles over, the writer has too
  }
  return first ?? messageOf(cause)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return 'a number that may have been rounded (take `long: "bigint"`)'
  }
  return typeof value === 'object' ? ((value as object).constructor?.name ?? 'object') : typeof value
}
