import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { RawRecords } from '@weir/dataflow'
import fc from 'fast-check'
import { compressFrameSync } from 'lz4-napi'
import { expect, test } from 'vitest'
import { FetchedRecords } from './fetched-records.ts'
import { fetchedBatches } from './wire/read-batches.ts'
import { BatchBuilder, HEADER } from './wire/records.ts'

const CODECS = { none: 0, gzip: 1, lz4: 3, zstd: 4 } as const
type Codec = keyof typeof CODECS
const COMPRESS: Record<Codec, (body: Buffer) => Buffer> = {
  none: (body) => body,
  gzip: gzipSync,
  lz4: (body) => compressFrameSync(body),
  zstd: zstdCompressSync,
}

interface Written {
  readonly values: readonly string[]
  readonly codec: Codec
  readonly producer: number
}

/** As a broker keeps it: with its offset, compressed by the producer. */
function batchOf({ values, codec, producer }: Written, baseOffset: number): Buffer {
  const builder = new BatchBuilder(16)
  for (const value of values) builder.append('key', value, 1_000)
  const plain = builder.finish({ producerId: BigInt(producer), producerEpoch: 0 }, 0)
  const batch = Buffer.concat([plain.subarray(0, HEADER), COMPRESS[codec](plain.subarray(HEADER))])
  batch.writeBigInt64BE(BigInt(baseOffset), 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt16BE(batch.readInt16BE(21) | CODECS[codec], 21)
  return batch
}

const read = (raw: RawRecords): { offset: number; value: string }[] =>
  Array.from({ length: raw.count }, (_, i) => ({
    offset: raw.offsets[i]!,
    value: raw.buffer.toString('utf8', raw.valueStart[i], raw.valueEnd[i]),
  }))

const written: fc.Arbitrary<Written> = fc.record({
  values: fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 8 }),
  codec: fc.constantFrom(...(Object.keys(CODECS) as Codec[])),
  producer: fc.integer({ min: 1, max: 2 }),
})

test('records come in order, once and whole, however they were compressed, fetched and taken', () => {
  fc.assert(
    fc.property(
      fc.array(written, { minLength: 1, maxLength: 8 }),
      fc.record({
        from: fc.nat(20),
        end: fc.option(fc.nat(60)),
        aborted: fc.option(fc.integer({ min: 1, max: 2 })),
        takes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
        /** Batches of one fetch; takes between two fetches. */
        fetches: fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.nat(3)), { minLength: 1, maxLength: 4 }),
      }),
      (log, { from, end, aborted, takes, fetches }) => {
        let next = 0
        const stored = log.map((batch) => {
          const at = next
          next += batch.values.length
          return { ...batch, at, next, bytes: batchOf(batch, at) }
        })
        const expected = stored
          .filter(({ producer }) => producer !== aborted)
          .flatMap(({ values, at }) => values.map((value, i) => ({ offset: at + i, value })))
          .filter(({ offset }) => offset >= from && (end === null || offset < end))
        const transactions = aborted === null ? [] : [{ producerId: BigInt(aborted), firstOffset: 0n }]

        const fetched = new FetchedRecords(end === null ? null : BigInt(end))
        const seen: { offset: number; value: string }[] = []
        const take = (n: number): boolean => {
          const max = takes[n % takes.length]!
          const raw = fetched.take(max)
          if (raw === null) return false
          expect(raw.count).toBeLessThanOrEqual(max)
          seen.push(...read(raw))
          return true
        }
        let position = BigInt(from)
        for (
          let round = 0, at = stored.findIndex((batch) => batch.next > from);
          at >= 0 && at < stored.length;
          round++
        ) {
          const [batches, taken] = fetches[round % fetches.length]!
          const bytes = stored.slice(at, at + batches).map((batch) => batch.bytes)
          position = fetched.add(Buffer.concat(bytes), position, transactions) ?? position
          at += batches
          for (let n = 0; n < taken; n++) take(n)
        }
        let rest = 0
        while (take(rest)) rest++
        expect(seen).toEqual(expected)
        expect([fetched.bytes, fetched.isOpened]).toEqual([0, false])
        expect(Number(position)).toBe(Math.max(from, next))
      },
    ),
  )
})

test('a compressed batch counts as it was fetched until its last record is taken, and is inflated once', () => {
  const values = Array.from({ length: 1_000 }, (_, i) => `the same text again and again, ${i}`)
  const batch = batchOf({ values, codec: 'lz4', producer: 1 }, 0)
  const fetched = new FetchedRecords(null)
  fetched.add(Buffer.concat([batch, batchOf({ values: ['next'], codec: 'lz4', producer: 1 }, 1_000)]), 0n, null)
  const first = fetched.take(600)!
  expect([first.count, fetched.isOpened, fetched.bytes > batch.length]).toEqual([600, true, true])
  const second = fetched.take(600)!
  expect([second.count, fetched.isOpened, fetched.bytes < batch.length]).toEqual([400, false, true])
  expect(second.buffer).toBe(first.buffer)
})

test('what a batch cannot be opened with is told when its first record is taken', () => {
  const batch = batchOf({ values: ['x'], codec: 'none', producer: 1 }, 0)
  batch.writeInt16BE(7, 21)
  const fetched = new FetchedRecords(null)
  fetched.add(batch, 0n, null)
  expect(() => fetched.take(1)).toThrow('unknown compression 7')
})

test('a batch that is opened twice has the same records', () => {
  const [batch] = fetchedBatches(batchOf({ values: ['a', 'b'], codec: 'lz4', producer: 1 }, 5), 6n, null).batches
  expect([read(batch!.open()), read(batch!.open())]).toEqual(Array(2).fill([{ offset: 6, value: 'b' }]))
})
