import { attempt, barrier, epoch, generation, jobId, records, subtask, type StreamElement } from '@weir/model'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { CHANNEL_CREDITS, RemoteInput, RemoteOutput } from './channel.ts'
import { FRAME_BYTES_MAX } from './frame-size.ts'
import type { InboundLink } from './ports.ts'
import { MemoryExchange } from './testing/index.ts'

const id = { generation: generation(1), attempt: attempt(1) }
const checkpoint = { ...id, epoch: epoch(1) }
const rec = (values: string[]): StreamElement =>
  records({
    keys: values.map((_, i) => i),
    values,
    timestamps: values.map((_, i) => i),
    origins: { places: values.map(() => 1), offsets: values.map((_, i) => i), ordinals: null },
  })

async function channel(overtaking: boolean) {
  const exchange = new MemoryExchange()
  const link = { jobId: jobId('j'), attempt: id, from: subtask(0), to: subtask(1), stage: 1, input: 0 }
  const frames: Uint8Array[] = []
  const inbound = await exchange.accept(link)
  const watched: InboundLink = {
    ...inbound,
    onFrame: (call) =>
      inbound.onFrame((frame) => {
        frames.push(frame)
        call(frame)
      }),
  }
  const input = new RemoteInput(watched, { overtaking, channels: 1 })
  const output = new RemoteOutput(await exchange.connect(link), () => {}, { overtaking })
  const heard: StreamElement[] = []
  input.onElement((element) => void heard.push(element))
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  await settled()
  return { input, output, frames, heard, settled }
}

const valuesOf = (elements: readonly StreamElement[]): unknown[] =>
  elements.flatMap((e): readonly unknown[] =>
    e.kind === 'records' ? e.batch.values : e.kind === 'aside' ? e.records : [e.kind],
  )

test('frames are bounded by bytes, whatever sizes records have: only a record that is larger alone travels alone', async () => {
  const size = fc.oneof(
    { weight: 6, arbitrary: fc.nat(200) },
    { weight: 2, arbitrary: fc.integer({ min: 10_000, max: 60_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: FRAME_BYTES_MAX / 2, max: FRAME_BYTES_MAX + 10 }) },
  )
  const batch = fc.array(size, { minLength: 1, maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 4 }), fc.boolean(), async (batches, overtaking) => {
      const { input, output, frames, heard, settled } = await channel(overtaking)
      const expected: unknown[] = []
      for (const [n, sizes] of batches.entries()) {
        const values = sizes.map((bytes, i) => `${n}.${i}.${'x'.repeat(bytes)}`)
        output.send(rec(values))
        output.send(barrier(checkpoint))
        expected.push(...values, 'barrier')
      }
      for (let taken = 0; heard.length < frames.length || output.waiting > 0; await settled()) {
        const untaken = heard.slice(taken).filter((e) => !(overtaking && e.kind === 'barrier'))
        expect(untaken.length).toBeLessThanOrEqual(CHANNEL_CREDITS)
        for (; taken < heard.length; taken++) {
          if (!(overtaking && heard[taken]!.kind === 'barrier')) input.consumed()
        }
      }
      await settled()
      expect(valuesOf(heard)).toEqual(expected)
      for (const [i, element] of heard.entries()) {
        if (element.kind !== 'records') continue
        const { keys, values, origins } = element.batch
        expect([keys!.length, origins!.offsets]).toEqual([values.length, keys])
        if (values.length > 1) expect(frames[i]!.byteLength).toBeLessThanOrEqual(FRAME_BYTES_MAX)
      }
    }),
    { numRuns: 30 },
  )
}, 60_000)

test('small records behind large ones travel together again', async () => {
  const { input, output, heard, settled } = await channel(false)
  output.send(rec(['x'.repeat(FRAME_BYTES_MAX)]))
  output.send(rec(Array.from({ length: 1_000 }, (_, i) => `small ${i}`)))
  await settled()
  while (output.waiting > 0) {
    input.consumed()
    await settled()
  }
  expect(heard.map((e) => valuesOf([e]).length)).toEqual([1, 1, 999])
})

test('records that go aside are cut too, and what is in flight at a barrier is what has not been sent', async () => {
  const { output, heard, settled } = await channel(true)
  const values = Array.from({ length: 40 }, (_, i) => `${i} ${'x'.repeat(100_000)}`)
  output.send({ kind: 'aside', records: values as never })
  output.send(barrier(checkpoint))
  await settled()
  const waiting = output.inFrontOf(checkpoint)!
  expect(waiting.length).toBeGreaterThan(0)
  expect([...valuesOf(heard), ...valuesOf(waiting)]).toEqual(values)
  output.overtake(checkpoint)
  await settled()
  expect(heard.at(-1)!.kind).toBe('barrier')
})
