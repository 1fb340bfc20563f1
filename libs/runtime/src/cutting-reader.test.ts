import type { SourceBatch, SourceNode, SourcePoll, SourceReader, SourceState } from '@weir/dataflow'
import { attempt, epoch, generation, operatorUid } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CuttingReader, SPLIT_IDLE_MS, reachOf } from './cutting-reader.ts'

const checkpoint = { generation: generation(1), attempt: attempt(1), epoch: epoch(1) }
const node: SourceNode = {
  kind: 'source',
  uid: operatorUid('in'),
  descriptor: { connector: 'memory' },
  decode: null,
  timestamp: (value) => value as number,
  outOfOrderMs: 0,
  recordsPerSecond: null,
}

/** Splits of event times, in batches of two; a split that is used up has nothing for now. */
class Splits implements SourceReader {
  readonly at: number[]
  readonly #splits: readonly (readonly number[])[]
  #turn = 0
  constructor(splits: readonly (readonly number[])[]) {
    this.#splits = splits
    this.at = splits.map(() => 0)
  }
  open(): Promise<readonly number[]> {
    return Promise.resolve(this.at.map((_, i) => i))
  }
  poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    for (let i = 0; i < this.at.length; i++) {
      const split = this.#turn++ % this.at.length
      const from = this.at[split]!
      const values = this.#splits[split]!.slice(from, from + Math.min(2, maxRecords))
      if (values.length === 0 || held?.has(split)) continue
      this.at[split] = from + values.length
      const offsets = values.map((_, k) => from + k)
      return Promise.resolve({ kind: 'values', split, values, timestamps: values, offsets })
    }
    return Promise.resolve('idle')
  }
  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return Object.fromEntries(this.at.map((at, split) => [split, from?.get(split) ?? at]))
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
}

async function reading(splits: readonly (readonly number[])[]) {
  const clock = new ManualClock()
  const source = new Splits(splits)
  const watermarks: Record<string, number> = Object.fromEntries(splits.map((_, i) => [i, Number.MIN_SAFE_INTEGER]))
  const reader = new CuttingReader(node, source, {
    clock,
    watermarks: () => ({
      entries: () =>
        Object.entries(watermarks)
          .map(([split, at]) => [Number(split), at] as [number, number])
          .values(),
      foldOf: () => null,
    }),
  })
  await reader.open(null)
  const read: number[][] = splits.map(() => [])
  const poll = async (): Promise<SourcePoll> => {
    const polled = await reader.poll(100)
    if (typeof polled === 'object' && polled.kind === 'values') {
      const { split, values } = polled as SourceBatch & { kind: 'values' }
      read[split]!.push(...(values as number[]))
      watermarks[split] = Math.max(watermarks[split]!, ...(values as number[]))
    }
    return polled
  }
  return { clock, source, reader, read, poll }
}

test('nothing from behind the cut is handed out before the barrier, in whichever batch it lies; afterwards everything is', async () => {
  const { reader, read, poll } = await reading([
    [1, 2, 3, 10, 11],
    [4, 9, 10, 12],
  ])
  reader.ask({ checkpoint, time: 10 })
  for (let i = 0; i < 20 && reader.due === null; i++) await poll()
  expect(reader.due).toMatchObject({ checkpoint, idle: [], passed: [] })
  expect(read).toEqual([
    [1, 2, 3],
    [4, 9],
  ])
  expect(reader.snapshot()).toEqual({ 0: 3, 1: 2 })
  reader.injected()
  for (let i = 0; i < 10; i++) await poll()
  expect(read).toEqual([
    [1, 2, 3, 10, 11],
    [4, 9, 10, 12],
  ])
  expect(reader.snapshot()).toEqual({ 0: 5, 1: 4 })
})

test('given up, what was held is handed out in its order; the position was in front of it all the time', async () => {
  const { reader, read, poll } = await reading([[1, 10, 11], [2]])
  reader.ask({ checkpoint, time: 5 })
  for (let i = 0; i < 6; i++) await poll()
  expect(reader.due).toBeNull()
  expect(reader.snapshot()).toEqual({ 0: 1, 1: 1 })
  reader.giveUp(checkpoint)
  for (let i = 0; i < 6; i++) await poll()
  expect(read).toEqual([[1, 10, 11], [2]])
})

test('a split that has nothing for a second is idle; one that is past the time is cut where it stands', async () => {
  const { clock, reader, poll } = await reading([[1, 2], [50]])
  for (let i = 0; i < 3; i++) await poll()
  reader.ask({ checkpoint, time: 10 })
  await poll()
  expect(reader.due).toBeNull()
  clock.advance(SPLIT_IDLE_MS)
  await poll()
  expect(reader.due).toMatchObject({ idle: [0], passed: [1] })
})

test('the reach is that of the splits which had a record lately', async () => {
  const { clock, reader, source, poll } = await reading([[1, 2, 3, 4], [50]])
  for (let i = 0; i < 2; i++) await poll()
  const reach = () => reachOf([{ source: { cutting: reader } }, { source: null }])
  expect(reach()).toEqual({ low: 2, high: 50 })
  clock.advance(SPLIT_IDLE_MS + 1)
  expect(reach()).toBeNull()
  for (let i = 0; i < 2; i++) await poll()
  expect(source.at).toEqual([4, 1])
  expect(reach()).toEqual({ low: 4, high: 4 })
  expect(reachOf([{ source: { cutting: null } }])).toBeUndefined()
})

test('whatever the splits and the time: what is in front of a cut is exactly what happened before it', async () => {
  const times = fc.array(fc.nat(20), { maxLength: 12 }).map((all) => all.sort((a, b) => a - b))
  await fc.assert(
    fc.asyncProperty(fc.array(times, { minLength: 1, maxLength: 3 }), fc.nat(22), async (splits, time) => {
      const { clock, reader, read, poll } = await reading(splits)
      reader.ask({ checkpoint, time })
      for (let i = 0; i < 60 && reader.due === null; i++) {
        if ((await poll()) === 'idle') clock.advance(SPLIT_IDLE_MS)
      }
      expect(reader.due).not.toBeNull()
      // Sorted, and asked for from the beginning: nobody is past it, and who is idle has had all of his.
      expect(read).toEqual(splits.map((all) => all.filter((at) => at < time)))
      expect(reader.snapshot()).toEqual({ ...read.map((before) => before.length) })
    }),
  )
})
