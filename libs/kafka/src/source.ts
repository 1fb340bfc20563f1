/**
 * Reads the partitions a subtask owns (p % parallelism). Fetches run ahead of `poll` up to a bound of bytes; the
 * position behind the last record handed out is state of the job, not a commit at the broker.
 */
import { WeirError, type Clock, type TopicRecord } from '@weir/model'
import {
  recordAt,
  type RawRecords,
  type SourcePoll,
  type SourceReader,
  type SourceState,
  type SubtaskContext,
} from '@weir/dataflow'
import type { KafkaConnections } from './connections.ts'
import { fetchRecords, listOffsets } from './wire/apis.ts'
import type { Reader } from './wire/bytes.ts'
import { errorName, mustWait } from './wire/errors.ts'
import { readBatches } from './wire/records.ts'

export interface KafkaSourceOptions {
  readonly topic: string
  readonly startFrom: 'earliest' | 'latest'
  /** `latest`: bounded; the end offsets are taken at the first start and are part of the state. */
  readonly until: 'none' | 'latest'
  readonly isolation: 'read_committed' | 'read_uncommitted'
}

/** Fetched and not yet polled, per partition. */
const BUFFERED_BYTES_MAX = 4 << 20
const FETCH_BYTES_MAX = 1 << 20
const FETCH_WAIT_MS = 100
const OFFSET_OUT_OF_RANGE = 1
/** How long the brokers may be away before the attempt ends. */
const AWAY_MS_MAX = 60_000
const AWAY_RETRY_MS = 200

interface Partition {
  readonly id: number
  /** Of the next record to hand out. */
  position: bigint
  /** Of the next record to fetch. */
  fetchFrom: bigint
  readonly end: bigint | null
  chunks: { readonly raw: RawRecords; at: number; readonly bytes: number }[]
  bufferedBytes: number
  /** Reported as ended. */
  ended: boolean
}

/** Partitions are spread over the subtasks by their number. */
export const ownedBy = ({ subtask, parallelism }: SubtaskContext, partition: number): boolean =>
  partition % parallelism === subtask

export class KafkaSource implements SourceReader {
  readonly #options: KafkaSourceOptions
  readonly #context: SubtaskContext
  readonly #kafka: KafkaConnections
  readonly #clock: Clock
  #partitions: Partition[] = []
  #turn = 0
  #fetching: Promise<void> | null = null
  #failure: unknown = null
  #awaySince: number | null = null
  readonly #closing = new AbortController()

  constructor(options: KafkaSourceOptions, deps: { context: SubtaskContext; kafka: KafkaConnections; clock: Clock }) {
    this.#options = options
    this.#context = deps.context
    this.#kafka = deps.kafka
    this.#clock = deps.clock
  }

  async open(restored: SourceState | null): Promise<readonly number[]> {
    const { topic, startFrom, until, isolation } = this.#options
    const { signal } = this.#context
    const mine = (await this.#kafka.partitions(topic)).filter((p) => ownedBy(this.#context, p))
    const stored = (restored?.['partitions'] ?? {}) as Record<string, { offset: string; end: string | null }>
    const offset = async (p: number, at: -1n | -2n): Promise<bigint> => {
      const answer = await this.#kafka.toLeader(
        topic,
        p,
        listOffsets(topic, p, at, isolation === 'read_committed'),
        signal,
      )
      if (answer.errorCode === 0) return answer.offset
      throw new WeirError(
        { code: 'KAFKA_REFUSED', kind: 'restart', error: errorName(answer.errorCode) },
        `ListOffsets of ${topic}-${p}: ${errorName(answer.errorCode)}`,
      )
    }
    this.#partitions = await Promise.all(
      mine.map(async (id): Promise<Partition> => {
        const known = stored[id]
        const position = known ? BigInt(known.offset) : await offset(id, startFrom === 'earliest' ? -2n : -1n)
        const end = known
          ? known.end === null
            ? null
            : BigInt(known.end)
          : until === 'latest'
            ? await offset(id, -1n)
            : null
        return { id, position, fetchFrom: position, end, chunks: [], bufferedBytes: 0, ended: false }
      }),
    )
    return mine
  }

  async poll(maxRecords: number): Promise<SourcePoll> {
    for (let waited = false; ; waited = true) {
      if (this.#failure !== null) throw this.#failure as Error
      this.#fetchAhead()
      const found = this.#take(maxRecords)
      if (found) return found
      if (this.#partitions.every((p) => p.ended)) {
        if (this.#options.until === 'latest') return 'end'
        await this.#clock.sleep(FETCH_WAIT_MS, this.#context.signal)
        return 'idle'
      }
      if (waited) return 'idle'
      await Promise.race([this.#fetching, this.#clock.sleep(FETCH_WAIT_MS, this.#context.signal)])
    }
  }

  /** One fetch serves offsets that lie close together. */
  async originals(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]> {
    const { topic } = this.#options
    const wanted = new Set(offsets)
    const found = new Map<number, TopicRecord>()
    const last = offsets.at(-1) ?? -1
    for (let offset = offsets[0] ?? 0; offset <= last;) {
      const from = BigInt(offset)
      // They were read before, so they are committed; the read must not wait for a transaction that is open since.
      const api = fetchRecords(topic, [{ partition: split, offset: from, maxBytes: FETCH_BYTES_MAX }], {
        maxWaitMs: FETCH_WAIT_MS,
        readCommitted: false,
      })
      const one = { ...api, read: (r: Reader) => ({ ...api.read(r).partitions[0]! }) }
      const fetched = await this.#kafka.toLeader(topic, split, one, this.#context.signal)
      if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
        // Retention has eaten the beginning: what lies behind it may still be there.
        const start = Number(fetched.logStartOffset)
        if (start <= offset) break
        offset = offsets.find((o) => o >= start) ?? last + 1
        continue
      }
      if (fetched.errorCode !== 0) {
        const error = errorName(fetched.errorCode)
        throw new WeirError({ code: 'KAFKA_REFUSED', kind: 'restart', error }, `fetch of ${topic}-${split}: ${error}`)
      }
      const { chunks, nextOffset } = readBatches(fetched.records ?? Buffer.alloc(0), from, null)
      for (const raw of chunks) {
        for (let i = 0; i < raw.count; i++)
          if (wanted.has(raw.offsets[i]!)) found.set(raw.offsets[i]!, recordAt(raw, i))
      }
      if (nextOffset === null || nextOffset <= from) break
      offset = offsets.find((o) => o >= Number(nextOffset)) ?? last + 1
    }
    return offsets.map((offset) => found.get(offset) ?? null)
  }

  snapshot(): SourceState {
    return {
      partitions: Object.fromEntries(
        this.#partitions.map((p) => [p.id, { offset: String(p.position), end: p.end === null ? null : String(p.end) }]),
      ),
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#fetching?.catch(() => {})
  }

  /** Partitions take turns, so that one full of records does not starve the others. */
  #take(maxRecords: number): SourcePoll | undefined {
    const n = this.#partitions.length
    for (let i = 0; i < n; i++) {
      const p = this.#partitions[(this.#turn + i) % n]!
      const chunk = p.chunks[0]
      if (chunk === undefined) {
        // Nothing buffered: everything up to fetchFrom has been handed out or was not for readers (markers, aborted).
        p.position = p.fetchFrom
        if (!p.ended && p.end !== null && p.position >= p.end) {
          p.ended = true
          return { kind: 'split-end', split: p.id }
        }
        continue
      }
      this.#turn = (this.#turn + i + 1) % n
      const { raw } = chunk
      const from = chunk.at
      const to = Math.min(raw.count, from + maxRecords)
      chunk.at = to
      if (to === raw.count) {
        p.chunks.shift()
        p.bufferedBytes -= chunk.bytes
      }
      p.position = BigInt(raw.offsets[to - 1]!) + 1n
      return { kind: 'raw', split: p.id, raw: from === 0 && to === raw.count ? raw : slice(raw, from, to) }
    }
    return undefined
  }

  #fetchAhead(): void {
    if (this.#fetching !== null || this.#closing.signal.aborted) return
    const wanted = this.#partitions.filter(
      (p) => !p.ended && p.bufferedBytes < BUFFERED_BYTES_MAX && (p.end === null || p.fetchFrom < p.end),
    )
    if (wanted.length === 0) return
    this.#fetching = this.#fetch(wanted).then(
      () => {
        this.#fetching = null
        // The next one travels while the chain works on this one.
        if (this.#failure === null && this.#partitions.some((p) => p.bufferedBytes < BUFFERED_BYTES_MAX / 2))
          this.#fetchAhead()
      },
      (error: unknown) => {
        this.#fetching = null
        this.#failure = error
      },
    )
  }

  async #fetch(wanted: Partition[]): Promise<void> {
    const { topic, isolation } = this.#options
    const readCommitted = isolation === 'read_committed'
    try {
      const groups = await this.#kafka.byLeader(
        topic,
        wanted.map((p) => p.id),
      )
      await Promise.all(
        [...groups].map(async ([nodeId, ids]) => {
          const partitions = ids.map((id) => ({
            partition: id,
            offset: this.#of(id).fetchFrom,
            maxBytes: FETCH_BYTES_MAX,
          }))
          const answer = await this.#kafka.toBroker(
            nodeId,
            fetchRecords(topic, partitions, { maxWaitMs: FETCH_WAIT_MS, readCommitted }),
          )
          for (const fetched of answer.partitions) {
            const p = this.#of(fetched.partition)
            if (fetched.errorCode === OFFSET_OUT_OF_RANGE) throw this.#outOfRange(p, fetched.logStartOffset)
            if (mustWait(fetched.errorCode) || fetched.errorCode === 3) throw new Error(errorName(fetched.errorCode))
            if (fetched.errorCode !== 0) {
              const error = errorName(fetched.errorCode)
              throw new WeirError(
                { code: 'KAFKA_REFUSED', kind: 'restart', error },
                `fetch of ${topic}-${p.id}: ${error}`,
              )
            }
            if (fetched.records) this.#keep(p, fetched.records, readCommitted ? fetched.aborted : null)
          }
        }),
      )
      this.#awaySince = null
    } catch (error) {
      if (error instanceof WeirError || this.#closing.signal.aborted) throw error
      const now = this.#clock.monotonic()
      this.#awaySince ??= now
      if (now - this.#awaySince > AWAY_MS_MAX) {
        throw new WeirError(
          { code: 'KAFKA_UNAVAILABLE', kind: 'retry' },
          `no fetch of ${topic} succeeded for ${AWAY_MS_MAX} ms: ${String(error)}`,
          { cause: error },
        )
      }
      await this.#clock.sleep(AWAY_RETRY_MS, this.#closing.signal)
      await this.#kafka.refresh().catch(() => {})
    }
  }

  #keep(p: Partition, records: Buffer, aborted: Parameters<typeof readBatches>[2]): void {
    const { chunks, nextOffset } = readBatches(records, p.fetchFrom, aborted)
    for (const chunk of chunks) {
      const raw = p.end === null ? chunk : below(chunk, Number(p.end))
      if (raw.count === 0) continue
      const bytes = raw.valueEnd[raw.count - 1]! - Math.max(0, raw.valueStart[0]!)
      p.chunks.push({ raw, at: 0, bytes })
      p.bufferedBytes += bytes
    }
    if (nextOffset !== null && nextOffset > p.fetchFrom) p.fetchFrom = nextOffset
  }

  #of(id: number): Partition {
    return this.#partitions.find((p) => p.id === id)!
  }

  #outOfRange(p: Partition, logStart: bigint): WeirError {
    const { topic } = this.#options
    return new WeirError(
      {
        code: 'OFFSET_OUT_OF_RANGE',
        kind: 'invalid',
        topic,
        partition: p.id,
        offset: String(p.fetchFrom),
        logStart: String(logStart),
      },
      `${topic}-${p.id} begins at ${logStart} and the job is at ${p.fetchFrom}: retention has deleted records that were not read. Nothing is skipped silently: restore an epoch inside the log or start a new job.`,
    )
  }
}

function slice(raw: RawRecords, from: number, to: number): RawRecords {
  return {
    buffer: raw.buffer,
    count: to - from,
    keyStart: raw.keyStart.subarray(from, to),
    keyEnd: raw.keyEnd.subarray(from, to),
    valueStart: raw.valueStart.subarray(from, to),
    valueEnd: raw.valueEnd.subarray(from, to),
    timestamps: raw.timestamps.subarray(from, to),
    offsets: raw.offsets.subarray(from, to),
    ...(raw.headers && { headers: raw.headers }),
  }
}

function below(raw: RawRecords, end: number): RawRecords {
  let count = raw.count
  while (count > 0 && raw.offsets[count - 1]! >= end) count--
  return count === raw.count ? raw : slice(raw, 0, count)
}
