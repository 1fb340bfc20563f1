import { writingDigits, type SinkAsides } from '@weir/dataflow'
import { WeirError, operatorUid, type RecordBatch } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import { RecordEncoder, type RecordEncoderOptions } from './record-encoder.ts'
import { readBatches } from './wire/read-batches.ts'
import { BatchBuilder } from './wire/records.ts'

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const batchOf = (values: unknown[], traces?: (string | null)[]): RecordBatch => ({
  ...{ keys: null, values, timestamps: values.map(() => 5) },
  ...(traces && {
    origins: { places: values.map(() => 0), offsets: values.map((_, i) => i), ordinals: null, traces },
  }),
})
function encoderOf(
  over: Partial<RecordEncoderOptions>,
  batchBytesMax = 1_000,
): { encoder: RecordEncoder; refused: WeirError[] } {
  const refused: WeirError[] = []
  const asides: SinkAsides = {
    topics: [],
    refuse: (_batch, _i, error) => refused.push(error),
    known: null,
    audit: null,
  }
  const limits = { batchBytesMax, aheadMsMax: null, behindMsMax: null, compacted: false, brokerTime: false }
  const options = { uid: operatorUid('out'), topic: 'out', encodeKey: () => null, encodeValue: String, asides, ...over }
  return { encoder: new RecordEncoder(options, { partitions: 1, limits, clock: new ManualClock() }), refused }
}
const text = (of: { readonly headers: readonly (readonly [string, Uint8Array | null])[] } | null): string[] =>
  of!.headers.map(([name, value]) => `${name}=${String(value)}`)

test('a record has the key its sink makes of the value, and what it is encoded as chooses the partition', () => {
  const keyOf = (value: unknown): string | null => (value === 'none' ? null : `k-${String(value)}`)
  const { encoder } = encoderOf({ keyOf, encodeKey: String, encodeHeaders: (_, { key }) => [['key', String(key)]] })
  const batch = { ...batchOf(['a', 'none']), keys: ['of the stream', 'of the stream'] }
  const records = [0, 1].map((i) => encoder.encode(batch, i))
  expect(records.map((record) => record!.key)).toEqual(['k-a', null])
  expect(records.map(text)).toEqual([['key=k-a'], ['key=null']])
  const plain = encoderOf({ encodeKey: String }).encoder
  expect(plain.encode(batch, 0)!.key).toBe('of the stream')
})

test('a key that cannot be made takes the record aside, as a value that cannot be encoded', () => {
  const keyOf = (): never => {
    throw new Error('no user')
  }
  const { encoder, refused } = encoderOf({ keyOf })
  expect(encoder.encode(batchOf(['a']), 0)).toBeNull()
  expect(refused.map(({ code }) => code)).toEqual(['ENCODE_FAILED'])
})

test('a record has the headers of its sink, and the trace context it carries unless they have one', () => {
  const { encoder } = encoderOf({
    encodeHeaders: (value) => (value === 'own' ? [['traceparent', 'own']] : [['id', String(value)]]),
  })
  const batch = batchOf(['a', 'b', 'own'], [`${PARENT} v=1`, null, PARENT])
  expect([0, 1, 2].map((i) => text(encoder.encode(batch, i)))).toEqual([
    ['id=a', `traceparent=${PARENT}`, 'tracestate=v=1'],
    ['id=b'],
    ['traceparent=own'],
  ])
  expect(text(encoderOf({}).encoder.encode(batchOf(['a'], [PARENT]), 0))).toEqual([`traceparent=${PARENT}`])
  expect(encoderOf({}).encoder.encode(batchOf(['a']), 0)!.headers).toEqual([])
})

test('headers that are none take the record aside; they count where a topic has a limit, to the byte', () => {
  const wrong = encoderOf({ encodeHeaders: () => [['id', 7 as never]] })
  expect(wrong.encoder.encode(batchOf(['a']), 0)).toBeNull()
  expect(wrong.refused).toMatchObject([{ code: 'ENCODE_FAILED', kind: 'invalid' }])

  const header = ['note', 'x'.repeat(300)] as const
  const builder = new BatchBuilder()
  builder.append(null, 'a', 5, [[header[0], Buffer.from(header[1])]])
  const bytes = builder.finish({ producerId: 1n, producerEpoch: 0 }, 0)
  const roomy = encoderOf({ encodeHeaders: () => [header] }, bytes.length + 100)
  expect(roomy.encoder.encode(batchOf(['a']), 0)!.bytes).toBeGreaterThanOrEqual(bytes.length - 61)
  const tight = encoderOf({ encodeHeaders: () => [header] }, bytes.length - 1)
  expect(tight.encoder.encode(batchOf(['a']), 0)).toBeNull()
  expect(tight.refused).toMatchObject([{ kind: 'invalid' }])
  const { chunks } = readBatches(bytes, 0n, null)
  expect(String(chunks[0]!.headers!(chunks[0]!, 0)[0]![1])).toBe(header[1])
})

test('a whole number stays one behind an encoder that writes digits; everything else is encoded', () => {
  const { encoder, refused } = encoderOf({ encodeValue: writingDigits((value: unknown) => `text ${String(value)}`) })
  const batch = batchOf([7, -7, 1.5, 2 ** 53, Number.NaN, '7', 7n])
  expect(batch.values.map((_, i) => encoder.encode(batch, i)!.value)).toEqual([
    ...[7, -7, 'text 1.5', 'text 9007199254740992', 'text NaN', 'text 7', 'text 7'],
  ])
  expect(encoderOf({}).encoder.encode(batch, 0)!.value).toBe('7')
  expect(refused).toEqual([])
})
