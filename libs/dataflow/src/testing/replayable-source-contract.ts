/**
 * What every replayable source must do: its position is all there is to know, and a reader restored from it goes on at
 * exactly the next record, in whatever subtask the split now is.
 */
import { subtask, type Subtask } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import type { SourceBatch, SourcePoll, SourceReader, SourceState } from '../ports.ts'

export interface ReplayableSourceHarness {
  /**
   * A new reader for a subtask. `bounded`: it ends behind what is there now; else it waits for more. Every split has the
   * same number of records.
   */
  reader(at: { subtask: Subtask; parallelism: number; bounded: boolean; signal: AbortSignal }): SourceReader
  readonly splits: number
  readonly recordsPerSplit: number
  /** A name for each record of a batch, in order: no two records of the source have the same. */
  names(batch: SourceBatch): string[]
  /** It ends whatever is asked for: there is nothing it could wait for. */
  readonly alwaysBounded?: boolean
  /** A position that cannot be one, of split 0, and the code it is refused with. */
  readonly impossible: { readonly position: SourceState; readonly code: string }
}

/** The values of a batch, in order. */
export function textsOf(batch: SourceBatch): string[] {
  if (batch.kind === 'values') return batch.values.map(String)
  const { buffer, count, valueStart, valueEnd } = batch.raw
  return Array.from({ length: count }, (_, i) => buffer.toString('utf8', valueStart[i], valueEnd[i]))
}

/** A reader that waits for its server answers `idle` a few times first. */
const IDLE_MAX = 100
const IDLE_BOUND_MS = 2_000

export function replayableSourceContract(make: () => Promise<ReplayableSourceHarness>): void {
  const ending = new Set<{ reader: SourceReader; abort: AbortController }>()
  afterEach(async () => {
    for (const { reader, abort } of ending) {
      abort.abort()
      await reader.close()
    }
    ending.clear()
  })
  const readerOf = (
    harness: ReplayableSourceHarness,
    { subtask: index = 0, parallelism = 1, bounded = true } = {},
  ): { reader: SourceReader; abort: AbortController } => {
    const abort = new AbortController()
    const one = {
      reader: harness.reader({ subtask: subtask(index), parallelism, bounded, signal: abort.signal }),
      abort,
    }
    ending.add(one)
    return one
  }
  const opened = async (
    harness: ReplayableSourceHarness,
    at: { subtask?: number; parallelism?: number; bounded?: boolean } = {},
    restored: SourceState | null = null,
  ): Promise<SourceReader> => {
    const { reader } = readerOf(harness, at)
    await reader.open(restored)
    return reader
  }
  /** The next answer that is not `idle`. */
  const next = async (reader: SourceReader, max: number, held?: ReadonlySet<number>): Promise<SourcePoll> => {
    for (let i = 0; i < IDLE_MAX; i++) {
      const polled = await reader.poll(max, held)
      if (polled !== 'idle') return polled
    }
    throw new Error(`idle ${IDLE_MAX} times`)
  }
  const isBatch = (polled: SourcePoll): polled is SourceBatch =>
    typeof polled === 'object' && polled.kind !== 'split-end'
  type Read = Map<number, string[]>
  const add = (read: Read, { split }: SourceBatch, names: readonly string[]): void => {
    read.set(split, [...(read.get(split) ?? []), ...names])
  }
  /** By split, until the end or `records` are read. */
  const readUp = async (harness: ReplayableSourceHarness, reader: SourceReader, records = Infinity): Promise<Read> => {
    const read: Read = new Map()
    for (let n = 0; n < records;) {
      const polled = await next(reader, Math.min(7, records - n))
      if (polled === 'end') return read
      if (!isBatch(polled)) continue
      const names = harness.names(polled)
      add(read, polled, names)
      n += names.length
    }
    return read
  }
  const merged = (...reads: Read[]): Read => {
    const all: Read = new Map()
    for (const read of reads) for (const [split, names] of read) all.set(split, [...(all.get(split) ?? []), ...names])
    return new Map([...all].sort(([a], [b]) => a - b))
  }
  const everything = async (harness: ReplayableSourceHarness): Promise<Read> =>
    merged(await readUp(harness, await opened(harness)))
  const throughJson = (state: SourceState): SourceState => JSON.parse(JSON.stringify(state)) as SourceState

  test('every split has one owner, at any parallelism', async () => {
    const harness = await make()
    const all = Array.from({ length: harness.splits }, (_, i) => i)
    for (const parallelism of [1, 2, 3, harness.splits + 1]) {
      const owned = await Promise.all(
        Array.from({ length: parallelism }, (_, subtask) =>
          readerOf(harness, { subtask, parallelism }).reader.open(null),
        ),
      )
      expect(owned.flat().sort((a, b) => a - b)).toEqual(all)
    }
  })

  test('a bounded source reads everything once, in the order of its splits, and says its ends', async () => {
    const harness = await make()
    const reader = await opened(harness)
    const read: Read = new Map()
    const offsets = new Map<number, number>()
    const ended: number[] = []
    for (;;) {
      const polled = await next(reader, 7)
      if (polled === 'end') break
      if (!isBatch(polled)) {
        ended.push((polled as { split: number }).split)
        continue
      }
      expect(ended).not.toContain(polled.split)
      const names = harness.names(polled)
      expect(names.length).toBeGreaterThan(0)
      expect(names.length).toBeLessThanOrEqual(7)
      const at = polled.kind === 'raw' ? [...polled.raw.offsets.subarray(0, polled.raw.count)] : polled.offsets
      for (const offset of at) {
        expect(offset).toBeGreaterThan(offsets.get(polled.split) ?? -1)
        offsets.set(polled.split, offset)
      }
      add(read, polled, names)
    }
    expect(ended.sort((a, b) => a - b)).toEqual(Array.from({ length: harness.splits }, (_, i) => i))
    expect([...read.values()].map((names) => names.length)).toEqual(ended.map(() => harness.recordsPerSplit))
    expect(new Set([...read.values()].flat()).size).toBe(harness.splits * harness.recordsPerSplit)
    for (let i = 0; i < 3; i++) expect(await reader.poll(7)).toBe('end')
  })

  test('a restored reader goes on at exactly the next record, wherever the cut was', async () => {
    const harness = await make()
    const all = await everything(harness)
    const total = harness.splits * harness.recordsPerSplit
    for (const cut of [0, 1, 2, Math.floor(total / 3), total - 1, total]) {
      const first = await opened(harness)
      const before = await readUp(harness, first, cut)
      const position = throughJson(first.snapshot())
      const more = await readUp(harness, first, 3) // read on, and forgotten with its reader
      expect(more.size === 0).toBe(cut === total)
      await first.close()
      const after = await readUp(harness, await opened(harness, {}, position))
      expect(merged(before, after)).toEqual(all)
    }
  })

  test('an ended source is still at its end when it is restored', async () => {
    const harness = await make()
    const reader = await opened(harness)
    await readUp(harness, reader)
    const restored = await opened(harness, {}, throughJson(reader.snapshot()))
    expect((await readUp(harness, restored)).size).toBe(0)
  })

  test('positions go with their splits to other subtasks', async () => {
    const harness = await make()
    const all = await everything(harness)
    for (const [from, to] of [
      [2, 3],
      [3, 1],
      [1, harness.splits + 1],
    ] as const) {
      let read: Read = new Map()
      let positions: SourceState = {}
      for (let subtask = 0; subtask < from; subtask++) {
        const reader = await opened(harness, { subtask, parallelism: from })
        read = merged(read, await readUp(harness, reader, harness.recordsPerSplit / 2))
        positions = deepMerged(positions, throughJson(reader.snapshot()))
      }
      for (let subtask = 0; subtask < to; subtask++) {
        const reader = await opened(harness, { subtask, parallelism: to }, positions)
        read = merged(read, await readUp(harness, reader))
      }
      expect(read).toEqual(all)
    }
  })

  test('records that are kept back count as not handed out', async () => {
    const harness = await make()
    const all = await everything(harness)
    const reader = await opened(harness)
    const polled = (await next(reader, 5)) as SourceBatch
    const offsets = polled.kind === 'raw' ? [...polled.raw.offsets.subarray(0, polled.raw.count)] : polled.offsets
    const keptFrom = Math.floor(offsets.length / 2)
    const position = throughJson(reader.snapshot(new Map([[polled.split, offsets[keptFrom]!]])))
    const taken: Read = new Map([[polled.split, harness.names(polled).slice(0, keptFrom)]])
    const after = await readUp(harness, await opened(harness, {}, position))
    expect(merged(new Map([...taken].filter(([, names]) => names.length > 0)), after)).toEqual(all)
  })

  test('held splits wait, the others go on; nothing of them is lost', async () => {
    const harness = await make()
    const all = await everything(harness)
    const reader = await opened(harness)
    const held = new Set([0])
    const read: Read = new Map()
    for (let records = 0; records < (harness.splits - 1) * harness.recordsPerSplit;) {
      const polled = await next(reader, 7, held)
      if (polled === 'end' || !isBatch(polled)) continue
      expect(polled.split).not.toBe(0)
      const names = harness.names(polled)
      add(read, polled, names)
      records += names.length
    }
    const allHeld = new Set(Array.from({ length: harness.splits }, (_, i) => i))
    for (let i = 0; i < 3; i++) expect(await reader.poll(7, allHeld)).not.toBe('end')
    expect(merged(read, await readUp(harness, reader))).toEqual(all)
  })

  test('with nothing more to read an unbounded source says idle, within its bound', async () => {
    const harness = await make()
    if (harness.alwaysBounded) return
    const reader = await opened(harness, { subtask: harness.splits, parallelism: harness.splits + 1, bounded: false })
    for (let i = 0; i < 3; i++) {
      const started = performance.now()
      expect(await reader.poll(7)).toBe('idle')
      expect(performance.now() - started).toBeLessThan(IDLE_BOUND_MS)
    }
  })

  test('a reader that is closed while it is polled ends, and answers its poll', async () => {
    const harness = await make()
    const at = { subtask: harness.splits, parallelism: harness.splits + 1, bounded: false }
    const { reader, abort } = readerOf(harness, at)
    await reader.open(null)
    const polling = reader.poll(7).then(
      () => 'answered',
      () => 'rejected',
    )
    abort.abort()
    await reader.close()
    expect(['answered', 'rejected']).toContain(await polling)
  })

  test('a position that cannot be one is refused with a code', async () => {
    const harness = await make()
    const { position, code } = harness.impossible
    await expect(opened(harness, {}, position)).rejects.toMatchObject({ code, kind: 'invalid' })
  })

  test('records are found again by their offsets, where a source can', async () => {
    const harness = await make()
    const reader = await opened(harness)
    if (reader.originals === undefined) return
    const polled = (await next(reader, 5)) as SourceBatch
    const offsets = polled.kind === 'raw' ? [...polled.raw.offsets.subarray(0, polled.raw.count)] : polled.offsets
    const found = await reader.originals(polled.split, offsets)
    expect(found.map((record) => record !== null)).toEqual(offsets.map(() => true))
    expect(await reader.originals(polled.split, [1e9])).toEqual([null])
  })
}

/** As a rescale joins the positions of all subtasks. */
function deepMerged(a: SourceState, b: SourceState): SourceState {
  const all: Record<string, unknown> = { ...a }
  for (const [name, value] of Object.entries(b)) {
    const nested = typeof all[name] === 'object' && all[name] !== null && typeof value === 'object' && value !== null
    all[name] = nested ? deepMerged(all[name] as SourceState, value as SourceState) : value
  }
  return all
}
