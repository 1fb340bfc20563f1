/** Both buffers against a list, and the shared one between real threads. */
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ArrayRing } from './array-ring.ts'
import type { BoundedBuffer } from './bounded-buffer.ts'
import { SharedRing } from './shared-ring.ts'

const SLOT_BYTES = 64
const number = (value: number): Uint8Array =>
  Uint8Array.from({ length: value % SLOT_BYTES }, (_, i) => (value + i) & 255)

test.each([
  ['an array', (capacity: number): BoundedBuffer<Uint8Array> => new ArrayRing(capacity)],
  ['shared memory', (capacity: number) => new SharedRing(SharedRing.memory(capacity, SLOT_BYTES))],
])('a ring in %s takes values while it has room, and gives them back in order', (_, made) => {
  const steps = fc.array(fc.oneof(fc.nat(1_000), fc.constant('poll' as const)), { maxLength: 200 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), steps, (capacity, all) => {
      const ring = made(capacity)
      const list: Uint8Array[] = []
      for (const step of all) {
        if (step === 'poll') expect(ring.poll()).toEqual(list.shift())
        else {
          expect(ring.offer(number(step))).toBe(list.length < capacity)
          if (list.length < capacity) list.push(number(step))
        }
        expect(ring.size).toBe(list.length)
      }
    }),
    { numRuns: 500 },
  )
})

test('a capacity that is none, and a frame that is larger than a slot, are refused', () => {
  for (const capacity of [0, -1, 1.5, Number.NaN, 2 ** 21]) expect(() => new ArrayRing(capacity)).toThrow(RangeError)
  const ring = new SharedRing(SharedRing.memory(2, SLOT_BYTES))
  expect(() => ring.offer(new Uint8Array(SLOT_BYTES + 1))).toThrow('65 bytes do not fit 64')
  expect(ring.size).toBe(0)
})

test.each([1, 2, 3, 8, 64])(
  'between two threads, with %i slots, every frame arrives once, whole and in order',
  async (capacity) => {
    const FRAMES = 20_000
    const memory = SharedRing.memory(capacity, SLOT_BYTES)
    const ring = new SharedRing(memory)
    const writer = new Worker(new URL('./writer.ts', import.meta.url), { workerData: { memory, frames: FRAMES } })
    const failed = new Promise<never>((_, reject) => {
      writer.once('error', reject)
      writer.once('exit', (code) => code !== 0 && reject(new Error(`the writer ended with ${code}`)))
    })
    let next = 0
    const readAll = async (): Promise<void> => {
      while (next < FRAMES) {
        await ring.filled()
        for (let frame = ring.poll(); frame !== undefined; frame = ring.poll()) {
          // Whichever side is slower, the other one sleeps and is woken.
          if (next % 997 === 0) await new Promise((resolve) => setImmediate(resolve))
          expect(frame).toEqual(number(next++))
        }
      }
    }
    await Promise.race([readAll(), failed])
    expect(ring.size).toBe(0)
    await writer.terminate()
  },
  60_000,
)

test('a ring that is closed wakes who waits for it', async () => {
  const [reader, writer] = [SharedRing.memory(1, SLOT_BYTES), SharedRing.memory(1, SLOT_BYTES)].map(
    (of) => new SharedRing(of),
  )
  writer!.offer(number(1))
  const woken = [reader!.filled(), writer!.roomy()]
  expect(woken.every((wait) => wait !== undefined)).toBe(true)
  reader!.close()
  writer!.close()
  await Promise.all(woken)
  expect(reader!.filled()).toBeUndefined()
})
