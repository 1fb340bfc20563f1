/**
 * Confluent's wire format: `0 · i32 schema id (big-endian) · payload`. Which ids a batch has is looked at before it is decoded;
 * ids not met before are fetched then, so that decoding itself waits for nothing.
 */
import type { CodecContext, Decode, OpenDecoder, RawRecords, RegistrySchema, SchemaRegistry } from '@weir/dataflow'
import { WeirError, asWeirError } from '@weir/model'
import { decodeFailed } from '../codec.ts'

const MAGIC = 0
export const FRAME_BYTES = 5
/** Schemas kept, and those of one batch: more make room by forgetting those before. */
export const SCHEMAS_MAX = 1_000
/** Asked for at a time. */
const FETCHES_MAX = 8
/** A registry may be a moment behind the record: an id it does not know is asked for once more. */
const UNKNOWN_PAUSE_MS = 1_000
/** How long it then counts as unknown. */
export const UNKNOWN_MS = 30_000

/** Payload in [start, end) of the buffer. */
export type ReadPayload = (buffer: Buffer, start: number, end: number) => unknown

interface Unknown {
  readonly error: WeirError
  readonly untilMs: number
}

export class RegistryDecoder implements OpenDecoder {
  readonly #context: CodecContext
  readonly #registry: SchemaRegistry
  readonly #reader: (schema: RegistrySchema) => ReadPayload | Promise<ReadPayload>
  readonly #readers = new Map<number, ReadPayload | Unknown>()

  /** @param reader what reads the payloads of a schema; throws WeirError (invalid) for one that cannot be read */
  constructor(
    context: CodecContext,
    registry: SchemaRegistry,
    reader: (schema: RegistrySchema) => ReadPayload | Promise<ReadPayload>,
  ) {
    this.#context = context
    this.#registry = registry
    this.#reader = reader
  }

  prepare(records: RawRecords): Promise<void> | undefined {
    const missing = idsIn(records, (id) => !this.#knows(id))
    if (missing === null) return undefined
    if (this.#readers.size + missing.length <= SCHEMAS_MAX) return this.#fetchAll(missing)
    // Forgotten with the others: those of this batch that were known.
    this.#readers.clear()
    return this.#fetchAll(idsIn(records, () => true)!)
  }

  readonly decode: Decode = (buffer, start, end) => {
    if (end - start < FRAME_BYTES || buffer[start] !== MAGIC) {
      throw decodeFailed(
        'it does not begin with a schema id (a byte 0 and four of the id): was it written without a registry?',
      )
    }
    const id = buffer.readInt32BE(start + 1)
    const reader = this.#readers.get(id)
    if (typeof reader === 'function') return reader(buffer, start + FRAME_BYTES, end)
    throw reader?.error ?? decodeFailed(`schema ${id} was not fetched before`)
  }

  #knows(id: number): boolean {
    const known = this.#readers.get(id)
    return typeof known === 'function' || (known !== undefined && known.untilMs > this.#context.clock.monotonic())
  }

  async #fetchAll(ids: readonly number[]): Promise<void> {
    const unknown = await this.#fetch(ids)
    if (unknown.length === 0) return
    await this.#context.clock.sleep(UNKNOWN_PAUSE_MS, this.#context.signal)
    await this.#fetch(unknown)
  }

  /** @returns ids the registry does not know */
  async #fetch(ids: readonly number[]): Promise<readonly number[]> {
    const waiting = [...ids]
    const unknown: number[] = []
    const lane = async (): Promise<void> => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        const found = await this.#one(id)
        this.#readers.set(id, found)
        if (typeof found !== 'function' && found.error.code === 'SCHEMA_UNKNOWN') unknown.push(id)
      }
    }
    await Promise.all(Array.from({ length: Math.min(FETCHES_MAX, ids.length) }, lane))
    return unknown
  }

  /** What the id lacks is its records' fault; what the registry lacks (an answer, a right) ends the attempt. */
  async #one(id: number): Promise<ReadPayload | Unknown> {
    try {
      if (id < 0) throw new WeirError({ code: 'SCHEMA_UNKNOWN', kind: 'invalid' }, 'ids are no negative numbers')
      return await this.#reader(await this.#registry.byId(id))
    } catch (thrown) {
      const error = asWeirError(thrown, 'SCHEMA_INVALID', 'invalid')
      if (error.kind !== 'invalid' || !error.code.startsWith('SCHEMA_')) throw error
      const told = new WeirError({ ...error.facts, schemaId: id }, `schema ${id}: ${error.message}`, { cause: error })
      return { error: told, untilMs: this.#context.clock.monotonic() + UNKNOWN_MS }
    }
  }
}

/** Each once; null: none. */
function idsIn({ buffer, count, valueStart, valueEnd }: RawRecords, wanted: (id: number) => boolean): number[] | null {
  let ids: Set<number> | null = null
  let last = -1
  for (let i = 0; i < count; i++) {
    const start = valueStart[i]!
    if (start < 0 || valueEnd[i]! - start < FRAME_BYTES || buffer[start] !== MAGIC) continue
    const id = buffer.readInt32BE(start + 1)
    if (id === last) continue
    last = id
    if (wanted(id)) (ids ??= new Set()).add(id)
  }
  return ids && [...ids]
}

/** The id in front of a payload, and what comes between the two. */
export function frameOf(id: number, between: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(FRAME_BYTES + between.length)
  head[0] = MAGIC
  head.writeInt32BE(id, 1)
  head.set(between, FRAME_BYTES)
  return head
}

/** Throws `SCHEMA_INCOMPATIBLE` (invalid) where the id is of another format. */
export function expectType({ schemaType }: RegistrySchema, expected: RegistrySchema['schemaType']): void {
  if (schemaType === expected) return
  throw new WeirError(
    { code: 'SCHEMA_INCOMPATIBLE', kind: 'invalid', schemaType, expected },
    `it is a schema of ${schemaType}, and the source reads ${expected}`,
  )
}
