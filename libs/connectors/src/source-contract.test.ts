/** The contract of every replayable source, for those that need no server. */
import type { SourceBatch, SubtaskContext } from '@weir/dataflow'
import { replayableSourceContract } from '@weir/dataflow/testing'
import { attempt, generation, jobId, operatorUid, subtask, systemClock } from '@weir/model'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe } from 'vitest'
import { EmbeddedLog, FileStorage, LogSource, PaymentsSource, type Payment } from './index.ts'

const SPLITS = 4
const RECORDS = 30
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
const contextOf = (at: { subtask: number; parallelism: number; signal: AbortSignal }): SubtaskContext => ({
  jobId: jobId('contract'),
  attempt: { generation: generation(1), attempt: attempt(1) },
  operatorUid: operatorUid('in'),
  maxParallelism: 128,
  ...at,
  subtask: subtask(at.subtask),
})
const textsOf = (batch: SourceBatch): string[] => {
  if (batch.kind === 'values') return batch.values.map(String)
  const { buffer, count, valueStart, valueEnd } = batch.raw
  return Array.from({ length: count }, (_, i) => buffer.toString('utf8', valueStart[i], valueEnd[i]))
}

describe('datagen', () => {
  replayableSourceContract(() => {
    const options = { splits: SPLITS, users: 5, paidPercent: 80, startTs: 0, stepMs: 10, seed: 1 }
    return Promise.resolve({
      reader: ({ bounded, ...at }) =>
        new PaymentsSource(
          { ...options, recordsPerSplit: bounded ? RECORDS : null },
          { context: contextOf(at), clock: systemClock },
        ),
      splits: SPLITS,
      recordsPerSplit: RECORDS,
      names: (batch) => (batch.kind === 'values' ? (batch.values as Payment[]).map(({ id }) => id) : []),
      impossible: { position: { 0: -1 }, code: 'POSITION_INVALID' },
    })
  })
})

describe('embedded log', () => {
  replayableSourceContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-log-'))
    const log = await EmbeddedLog.open(await FileStorage.open(folder), systemClock)
    closers.push(() => rm(folder, { recursive: true, force: true }))
    closers.push(() => log.close())
    await log.createTopic('in', SPLITS)
    const producer = { transactionalId: 't', ...(await log.initProducer('t', 60_000)) }
    for (let partition = 0; partition < SPLITS; partition++) {
      const records = Array.from({ length: RECORDS }, (_, i) => {
        return { key: null, value: Buffer.from(`${partition}/${i}`), timestamp: i }
      })
      await log.append({ ...producer, topic: 'in', partition, baseSequence: 0, records })
    }
    await log.end(producer, true)
    return {
      reader: ({ bounded, ...at }) =>
        new LogSource(
          { topic: 'in', startFrom: 'earliest', until: bounded ? 'latest' : 'none' },
          { context: contextOf(at), log, clock: systemClock },
        ),
      splits: SPLITS,
      recordsPerSplit: RECORDS,
      names: textsOf,
      impossible: { position: { 0: { offset: 10_000, end: null } }, code: 'OFFSET_OUT_OF_RANGE' },
    }
  })
})
