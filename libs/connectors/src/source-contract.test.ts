/** The contract of every replayable source, for those that need no server. */
import type { SubtaskContext } from '@weir/dataflow'
import { contextOf, replayableSourceContract, textsOf } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FolderObjectStore } from '@weir/metadata'
import { afterEach, describe, expect, test } from 'vitest'
import { EmbeddedLog, FileStorage, FilesSource, LogSource, PaymentsSource, type Payment } from './index.ts'

const SPLITS = 4
const RECORDS = 30
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

describe('datagen', () => {
  replayableSourceContract(() => {
    const options = { splits: SPLITS, users: 5, paidPercent: 80, startTs: 0, stepMs: 10, seed: 1 }
    return Promise.resolve({
      reader: ({ bounded, ...at }) =>
        new PaymentsSource(
          { ...options, recordsPerSplit: bounded ? RECORDS : null },
          { context: contextOf('contract', 'in', at), clock: systemClock },
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
          { context: contextOf('contract', 'in', at), log, clock: systemClock },
        ),
      splits: SPLITS,
      recordsPerSplit: RECORDS,
      names: textsOf,
      impossible: { position: { 0: { offset: 10_000, end: null } }, code: 'OFFSET_OUT_OF_RANGE' },
    }
  })
})

describe('NDJSON files', () => {
  /** Of texts by name. */
  async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'weir-lines-'))
    closers.push(() => rm(folder, { recursive: true, force: true }))
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
    return folder
  }
  const sourceOf = (folder: string, splits = SPLITS, place: Partial<SubtaskContext> = {}): FilesSource => {
    const deps = {
      context: contextOf('contract', 'in', place),
      objects: new FolderObjectStore(folder),
      clock: systemClock,
    }
    return new FilesSource({ folder, splits }, deps)
  }

  replayableSourceContract(async () => {
    // Three files for each split, some without an end of their last line, one with empty lines.
    const files = Array.from({ length: 3 * SPLITS }, (_, f) => {
      const lines = Array.from({ length: RECORDS / 3 }, (_, i) => JSON.stringify(`${f}/${i} ü`))
      return [
        `part-${String(f).padStart(2, '0')}.ndjson`,
        lines.join(f % 5 === 1 ? '\n\n' : '\n') + (f % 2 ? '\n' : ''),
      ]
    })
    const folder = await folderOf({ ...Object.fromEntries(files), '_SUCCESS.ndjson': '"no"', '.hidden.ndjson': '"no"' })
    return {
      reader: (place) => sourceOf(folder, SPLITS, place),
      splits: SPLITS,
      recordsPerSplit: RECORDS,
      names: textsOf,
      impossible: { position: { 0: { files: 'no', before: 0, at: 0 } }, code: 'POSITION_INVALID' },
      alwaysBounded: true,
    }
  })

  test('a folder without files, a file that is gone and a line without an end are refused by name', async () => {
    const empty = sourceOf(await folderOf({ 'other.txt': 'x' }))
    await expect(empty.open(null)).rejects.toMatchObject({ code: 'FOLDER_EMPTY', kind: 'invalid' })
    const folder = await folderOf({ 'a.ndjson': '1\n' })
    const source = sourceOf(folder, 1)
    await source.open(null)
    await rm(join(folder, 'a.ndjson'))
    await expect(source.poll(1)).rejects.toMatchObject({ code: 'FILE_MISSING', kind: 'invalid' })
    const long = sourceOf(await folderOf({ 'a.jsonl': 'x'.repeat(17 << 20) }), 1)
    await long.open(null)
    await expect(long.poll(1)).rejects.toMatchObject({ code: 'LINE_TOO_LONG', kind: 'invalid' })
  })

  test('lines longer than a chunk are read whole', async () => {
    const lines = ['a', 'b'.repeat(3 << 20), 'c']
    const source = sourceOf(await folderOf({ 'a.ndjson': lines.join('\n') }), 1)
    await source.open(null)
    const read: string[] = []
    for (let polled = await source.poll(10); polled !== 'end'; polled = await source.poll(10)) {
      if (typeof polled === 'object' && polled.kind === 'raw') read.push(...textsOf(polled))
    }
    expect(read).toEqual(lines)
  })
})
