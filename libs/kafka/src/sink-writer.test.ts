import { operatorUid, type RecordBatch } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import type { KafkaConnections } from './connections.ts'
import { InFlight } from './in-flight.ts'
import type { LanePool } from './lane-pool.ts'
import { SinkWriter } from './sink-writer.ts'
import type { UnstampedBatch } from './wire/records.ts'

const batch: RecordBatch = { keys: null, values: ['a'], timestamps: [5] }

test('what is written leaves within 50 ms at first, then within 200, and each transaction begins anew', async () => {
  const clock = new ManualClock()
  const sent: string[] = []
  const append = (_: unknown, { count }: UnstampedBatch): void => void sent.push(`${clock.monotonic()} ms: ${count}`)
  const lane = { append, failure: null, flush: () => Promise.resolve({}) }
  const writer = new SinkWriter(
    { topic: 'out', uid: operatorUid('out'), group: 'g', encodeKey: () => null, encodeValue: String, asides: null },
    {
      ...{ clock, staged: null, signal: new AbortController().signal },
      kafka: { partitions: () => Promise.resolve([0]) } as unknown as KafkaConnections,
      pool: { take: () => ({ lane, state: 'open' }) } as unknown as LanePool,
      inFlight: new InFlight(new AbortController().signal),
    },
  )
  await writer.prepare()
  const writeFor = async (ms: number): Promise<void> => {
    for (let i = 0; i < ms; i += 10) {
      void writer.write(batch)
      await clock.advance(10)
    }
  }
  await writeFor(300)
  expect(sent.splice(0)).toEqual(['50 ms: 5', '250 ms: 20'])
  await writer.flushed(writer.taken()!)
  expect(sent.splice(0)).toEqual(['300 ms: 5'])
  await writeFor(100)
  expect(sent).toEqual(['350 ms: 5'])
})
