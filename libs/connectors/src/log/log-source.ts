/** Reads a topic of the embedded log; the position is state of the job. */
import type { RawRecords, SourcePoll, SourceReader, SourceState, SubtaskContext } from '@weir/dataflow'
import { WeirError, type Clock, type TopicRecord } from '@weir/model'
import type { ReadRecord, TransactionalLog } from './port.ts'

export interface LogSourceOptions {
  readonly topic: string
  readonly startFrom: 'earliest' | 'latest'
  /** `latest`: bounded; the end offsets are taken at the first start and are part of the state. */
  readonly until: 'none' | 'latest'
}

const WAIT_MS = 50
/** Records read at once when a few are looked up again. */
const ORIGINALS_MAX = 100

interface Partition {
  readonly id: number
  position: number
  readonly end: number | null
  ended: boolean
}

export class LogSource implements SourceReader {
  readonly #options: LogSourceOptions
  readonly #context: SubtaskContext
  readonly #log: TransactionalLog
  readonly #clock: Clock
  #partitions: Partition[] = []
  #turn = 0

  constructor(options: LogSourceOptions, deps: { context: SubtaskContext; log: TransactionalLog; clock: Clock }) {
    this.#options = options
    this.#context = deps.context
    this.#log = deps.log
    this.#clock = deps.clock
  }

  /** Throws `OFFSET_OUT_OF_RANGE` (invalid). */
  async open(restored: SourceState | null): Promise<readonly number[]> {
    const { topic, startFrom, until } = this.#options
    const { stableOffsets, endOffsets } = await this.#log.describe(topic)
    const { subtask, parallelism } = this.#context
    const known = (restored ?? {}) as Record<string, { offset: number; end: number | null }>
    this.#partitions = stableOffsets.flatMap((stable, id) => {
      if (id % parallelism !== subtask) return []
      const at = known[id] ?? {
        offset: startFrom === 'earliest' ? 0 : stable,
        end: until === 'latest' ? stable : null,
      }
      const last = endOffsets[id]!
      if (!(at.offset >= 0 && at.offset <= last)) throw outOfRange(topic, id, at.offset, last)
      return [{ id, position: at.offset, end: at.end, ended: false }]
    })
    return this.#partitions.map((p) => p.id)
  }

  async poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    const n = this.#partitions.length
    for (let i = 0; i < n; i++) {
      const p = this.#partitions[(this.#turn + i) % n]!
      if (p.ended || held?.has(p.id)) continue
      if (p.end !== null && p.position >= p.end) {
        p.ended = true
        return { kind: 'split-end', split: p.id }
      }
      const { topic } = this.#options
      const max = p.end === null ? maxRecords : Math.min(maxRecords, p.end - p.position)
      const request = { topic, partition: p.id, offset: p.position, maxRecords: max, readCommitted: true, maxWaitMs: 0 }
      const { records, nextOffset } = await this.#log.read(request)
      p.position = nextOffset
      if (records.length === 0) continue
      this.#turn = (this.#turn + i + 1) % n
      return { kind: 'raw', split: p.id, raw: rawOf(records) }
    }
    if (this.#partitions.every((p) => p.ended) && this.#options.until === 'latest') return 'end'
    await this.#clock.sleep(WAIT_MS, this.#context.signal)
    return 'idle'
  }

  async originals(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]> {
    const found = new Map<number, TopicRecord>()
    const wanted = new Set(offsets)
    const last = offsets.at(-1) ?? -1
    for (let offset = offsets[0] ?? 0; offset <= last;) {
      const request = { topic: this.#options.topic, partition: split, offset, maxRecords: ORIGINALS_MAX }
      const { records, nextOffset } = await this.#log.read({ ...request, readCommitted: true, maxWaitMs: 0 })
      for (const { offset: at, headers = [], ...record } of records) {
        if (wanted.has(at)) found.set(at, { ...record, headers })
      }
      if (nextOffset <= offset) break
      offset = offsets.find((o) => o >= nextOffset) ?? last + 1
    }
    return offsets.map((offset) => found.get(offset) ?? null)
  }

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return Object.fromEntries(
      this.#partitions.map((p) => [p.id, { offset: from?.get(p.id) ?? p.position, end: p.end }]),
    )
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

const outOfRange = (topic: string, partition: number, offset: number, logEnd: number): WeirError =>
  new WeirError(
    { code: 'OFFSET_OUT_OF_RANGE', kind: 'invalid', topic, partition, offset, logEnd },
    `the position ${offset} is not in ${topic}-${partition}, whose log ends at ${logEnd}: the state is of another log (its folder was removed or replaced). Bring the folder back, or start the job under another id`,
  )

function rawOf(records: readonly ReadRecord[]): RawRecords {
  const count = records.length
  const raw = {
    buffer: Buffer.concat(records.flatMap((r) => [r.key ?? EMPTY, r.value ?? EMPTY])),
    count,
    keyStart: new Int32Array(count).fill(-1),
    keyEnd: new Int32Array(count).fill(-1),
    valueStart: new Int32Array(count).fill(-1),
    valueEnd: new Int32Array(count).fill(-1),
    timestamps: Float64Array.from(records, (r) => r.timestamp),
    offsets: Float64Array.from(records, (r) => r.offset),
    // A view of the arrays begins somewhere in them.
    headers: (view: RawRecords, i: number) =>
      records[view.offsets.byteOffset / Float64Array.BYTES_PER_ELEMENT + i]!.headers ?? [],
  }
  let at = 0
  records.forEach(({ key, value }, i) => {
    if (key !== null) [raw.keyStart[i], raw.keyEnd[i]] = [at, at + key.byteLength]
    at += key?.byteLength ?? 0
    if (value !== null) [raw.valueStart[i], raw.valueEnd[i]] = [at, at + value.byteLength]
    at += value?.byteLength ?? 0
  })
  return raw
}
const EMPTY = new Uint8Array()
