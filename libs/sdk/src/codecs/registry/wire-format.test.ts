import type { CodecContext, RawRecords, RegistrySchema, SchemaRegistry, SchemaVersion } from '@weir/dataflow'
import { WeirError, operatorUid } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { schemaRegistry } from './registry.ts'
import { RegistryDecoder, SCHEMAS_MAX, UNKNOWN_MS, frameOf } from './wire-format.ts'

const unknown = (id: number): WeirError =>
  new WeirError({ code: 'SCHEMA_UNKNOWN', kind: 'invalid' }, `schema ${id} is not there`)
const never = (): Promise<SchemaVersion> => Promise.reject(new Error('a source asks for ids only'))

/** A wait is over at once, and time has passed. */
class JumpingClock extends ManualClock {
  override sleep(ms: number): Promise<void> {
    this.advance(ms)
    return Promise.resolve()
  }
}

/** The port in memory; `asked` are the ids it was asked for, in order. */
class Registry implements SchemaRegistry {
  readonly asked: number[] = []
  readonly known = new Map<number, RegistrySchema>()
  failure: WeirError | null = null

  byId(id: number): Promise<RegistrySchema> {
    this.asked.push(id)
    if (this.failure) return Promise.reject(this.failure)
    const schema = this.known.get(id)
    return schema ? Promise.resolve(schema) : Promise.reject(unknown(id))
  }
  version = never
  lookup = never
  register = never
}

const schemaOf = (id: number): RegistrySchema => ({ schemaType: 'AVRO', schema: `s${id}`, references: [] })
function setup(ids: readonly number[]): { registry: Registry; decoder: RegistryDecoder; clock: ManualClock } {
  const registry = new Registry()
  for (const id of ids) registry.known.set(id, schemaOf(id))
  const clock = new JumpingClock()
  const context: CodecContext = {
    ...{ operatorUid: operatorUid('in'), topic: 'orders', clock, signal: new AbortController().signal },
    placeName: String,
    registry: () => registry,
  }
  const decoder = new RegistryDecoder(context, registry, ({ schema }) => {
    return (buffer, start, end) => `${schema}:${buffer.toString('utf8', start, end)}`
  })
  return { registry, decoder, clock }
}

const record = (id: number, payload = 'x'): Buffer => Buffer.concat([frameOf(id), Buffer.from(payload)])
function rawOf(values: readonly (Buffer | null)[]): RawRecords {
  const starts: number[] = []
  let at = 0
  for (const value of values) {
    starts.push(value === null ? -1 : at)
    at += value?.length ?? 0
  }
  const of = (numbers: number[]): Int32Array => Int32Array.from(numbers)
  return {
    buffer: Buffer.concat(values.filter((v) => v !== null)),
    count: values.length,
    keyStart: of(values.map(() => -1)),
    keyEnd: of(values.map(() => -1)),
    valueStart: of(starts),
    valueEnd: of(values.map((v, i) => starts[i]! + (v?.length ?? 1))),
    timestamps: new Float64Array(values.length),
    offsets: new Float64Array(values.length),
  }
}
const decode = (decoder: RegistryDecoder, bytes: Buffer): unknown => decoder.decode(bytes, 0, bytes.length)

test('ids are asked for once, when a batch has them first; a batch of known ids waits for nothing', async () => {
  const { registry, decoder } = setup([1, 2])
  await decoder.prepare(rawOf([record(1), record(1), null, record(2), Buffer.from('no id'), record(1)]))
  expect(registry.asked.toSorted()).toEqual([1, 2])
  expect(decoder.prepare(rawOf([record(2), record(1)]))).toBeUndefined()
  expect([decode(decoder, record(1, 'a')), decode(decoder, record(2, ''))]).toEqual(['s1:a', 's2:'])
})

test('an id nobody knows is asked for once more, then its records are refused for a while; later it is asked for again', async () => {
  const { registry, decoder, clock } = setup([])
  await decoder.prepare(rawOf([record(7)]))
  expect(clock.now()).toBe(1_000)
  expect(registry.asked).toEqual([7, 7])
  expect(() => decode(decoder, record(7))).toThrow(
    expect.objectContaining({
      code: 'SCHEMA_UNKNOWN',
      kind: 'invalid',
      facts: expect.objectContaining({ schemaId: 7 }) as unknown,
    }) as Error,
  )
  expect(decoder.prepare(rawOf([record(7)]))).toBeUndefined()
  clock.advance(UNKNOWN_MS)
  registry.known.set(7, schemaOf(7))
  await decoder.prepare(rawOf([record(7)]))
  expect(decode(decoder, record(7))).toBe('s7:x')
})

test('a negative id, as chance bytes may have it, is unknown without a question', async () => {
  const { registry, decoder } = setup([])
  await decoder.prepare(rawOf([record(-5)]))
  expect(() => decode(decoder, record(-5))).toThrow(expect.objectContaining({ code: 'SCHEMA_UNKNOWN' }) as Error)
  expect(registry.asked).toEqual([])
})

test('a registry that does not answer ends the attempt, not a record', async () => {
  const { registry, decoder } = setup([1])
  registry.failure = new WeirError({ code: 'REGISTRY_UNREACHABLE', kind: 'retry' }, 'away')
  await expect(decoder.prepare(rawOf([record(1)]))).rejects.toBe(registry.failure)
})

test('more ids than are kept in a batch: it is decoded, and what is kept stays bounded', async () => {
  const ids = Array.from({ length: 2 * SCHEMAS_MAX }, (_, i) => i)
  const { registry, decoder } = setup([...ids, 9_999])
  await decoder.prepare(rawOf([record(0)]))
  await decoder.prepare(rawOf(ids.map((id) => record(id))))
  for (const id of ids) expect(decode(decoder, record(id))).toBe(`s${id}:x`)
  await decoder.prepare(rawOf([record(9_999)]))
  registry.asked.length = 0
  await decoder.prepare(rawOf([record(0), record(9_999)]))
  expect(registry.asked).toEqual([0])
})

test('any bytes are decoded or refused with a code', () => {
  const { decoder } = setup([])
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      expect(() => decode(decoder, Buffer.from(bytes))).toThrow(
        expect.objectContaining({ code: 'DECODE_FAILED', kind: 'invalid' }) as Error,
      )
    }),
  )
})

test('options that contradict each other are refused where they are written; a codec by itself says what it needs', () => {
  const registry = schemaRegistry({ url: 'http://127.0.0.1:1' })
  const invalid = (code: string): Error => expect.objectContaining({ code, kind: 'invalid' }) as Error
  expect(() => registry.avro('string', { autoRegister: true, useLatestVersion: true })).toThrow(
    invalid('OPTION_INVALID'),
  )
  expect(() => registry.json(undefined, { subjects: 'name' as 'topic' })).toThrow(invalid('OPTION_INVALID'))
  expect(() => registry.avro('strnig')).toThrow(invalid('SCHEMA_INVALID'))
  expect(() => registry.avro().decode(Buffer.alloc(6), 0, 6)).toThrow(invalid('CODEC_NOT_OPEN'))
})
