import { records, watermark, type StreamElement } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CHANNEL_CREDITS, LOCAL_BYTES_MAX, LocalChannel } from './channel.ts'
import { roughBytes } from './rough-bytes.ts'

const batchOf = (...values: readonly unknown[]) => {
  return { keys: values.map(String), values: [...values], timestamps: values.map(() => 0) }
}
const MIB = 1024 * 1024
const large = (mib: number): StreamElement => records(batchOf(Buffer.alloc(mib * MIB)))

function channel() {
  const arrived: StreamElement[] = []
  const of = new LocalChannel(() => {}, { overtaking: false })
  of.onElement((element) => void arrived.push(element))
  return { of, arrived }
}

test('large batches between two stages of a slice are bounded by bytes, small ones by their number', () => {
  const { of, arrived } = channel()
  for (let i = 0; i < 5; i++) of.send(large(1))
  of.send(watermark(1))
  expect([arrived.length, of.waiting]).toEqual([LOCAL_BYTES_MAX / MIB, 2])
  of.consumed()
  expect([arrived.length, of.waiting]).toEqual([6, 0])

  const small = channel()
  for (let i = 0; i < 10; i++) small.of.send(records(batchOf(i)))
  expect([small.arrived.length, small.of.waiting]).toEqual([CHANNEL_CREDITS, 2])
})

test('a batch that is larger than the bound is on the way alone, and holds up what follows', () => {
  const { of, arrived } = channel()
  of.send(records(batchOf('small')))
  of.send(large(9))
  of.send(watermark(1))
  expect(arrived).toHaveLength(1)
  of.consumed()
  expect(arrived).toHaveLength(2)
  of.consumed()
  expect(arrived).toHaveLength(3)
  expect(of.waiting).toBe(0)
})

test('whatever is sent and consumed, everything arrives in order, and no more is on the way than the bounds allow', () => {
  const step = fc.oneof(
    fc.nat(3).map((mib) => ({ mib })),
    fc.constant('consumed' as const),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { of, arrived } = channel()
      const sent: StreamElement[] = []
      let consumed = 0
      for (const next of steps) {
        if (next === 'consumed') {
          if (consumed === arrived.length) continue
          consumed++
          of.consumed()
        } else {
          sent.push(large(next.mib))
          of.send(sent.at(-1)!)
        }
        const onTheWay = arrived.slice(consumed)
        const bytes = onTheWay.reduce((sum, e) => sum + (e.kind === 'records' ? roughBytes(e.batch) : 0), 0)
        expect(onTheWay.length).toBeLessThanOrEqual(CHANNEL_CREDITS)
        expect(bytes <= LOCAL_BYTES_MAX || onTheWay.length === 1).toBe(true)
        expect(arrived).toEqual(sent.slice(0, arrived.length))
        expect(of.waiting).toBe(sent.length - arrived.length)
      }
      while (consumed < sent.length) {
        expect(arrived.length).toBeGreaterThan(consumed)
        consumed++
        of.consumed()
      }
    }),
    { numRuns: 100 },
  )
})

test('what a batch holds is told from a few of its values', () => {
  expect(roughBytes(batchOf())).toBe(0)
  expect(roughBytes(batchOf(1, 2n, null, true))).toBe(32)
  expect(roughBytes(batchOf('a'.repeat(100), 'b'.repeat(300)))).toBe(400)
  expect(roughBytes(batchOf(...Array.from({ length: 1_000 }, () => new Uint8Array(64))))).toBe(64_000)
  expect(roughBytes(batchOf({ note: 'n'.repeat(1_000), amount: 1 }))).toBe(1_024)
  expect(roughBytes(batchOf(new Map([['k', 'v'.repeat(50)]])))).toBe(58)
  expect(roughBytes(batchOf(Array.from({ length: 10_000 }, () => 'x'.repeat(10))))).toBe(180_000)
  expect(roughBytes(batchOf({}))).toBe(8)
})
