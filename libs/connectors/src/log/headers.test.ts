import { attempt, generation, type RecordBatch } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { rawOf, type SinkNode, type SourceBatch } from '@weir/dataflow'
import { contextOf } from '@weir/dataflow/testing'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { EmbeddedLog, FileStorage, LogSink, LogSource } from '../index.ts'

const context = (uid: string) => contextOf('headers', uid)
const encodeHeaders: SinkNode['encodeHeaders'] = (value, { key, timestamp }) => [
  ['id', `${String(value)}/${key}/${timestamp}`],
]

test('headers are written with their records, and a part of what was read has its own, not those of the beginning', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-headers-'))
  const log = await EmbeddedLog.open(await FileStorage.open(folder), systemClock)
  await log.createTopic('out', 1)
  const options = { topic: 'out', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  const sink = new LogSink(
    { ...options, encodeHeaders },
    { context: context('out'), log, clock: systemClock, staged: null },
  )
  await sink.recover(null)
  const batch: RecordBatch = { keys: ['k', 'k', 'k'], values: [7, 8, 9], timestamps: [1, 2, 3] }
  await sink.write(batch)
  const checkpoint = { generation: generation(1), attempt: attempt(1), epoch: 1 as never }
  const { sequence } = await sink.prepare(checkpoint)
  await sink.commit(sequence)

  const source = new LogSource(
    { topic: 'out', startFrom: 'earliest', until: 'latest' },
    { context: context('in'), log, clock: systemClock },
  )
  await source.open(null)
  const { raw } = (await source.poll(100)) as SourceBatch & { kind: 'raw' }
  const view = rawOf(rawOf(raw, 1, 3), 1, 2)
  const read = (of: typeof raw, i: number): string =>
    String(of.headers!(of, i).map(([name, value]) => [name, String(value)]))
  expect([0, 1, 2].map((i) => read(raw, i))).toEqual(['id,7/k/1', 'id,8/k/2', 'id,9/k/3'])
  expect(read(view, 0)).toBe('id,9/k/3')
  await log.close()
  await rm(folder, { recursive: true })
})
