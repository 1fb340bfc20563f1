/**
 * Reads the partitions a subtask owns (p % parallelism). Fetches run ahead of `poll` up to a bound of bytes; the
 * position behind the last record handed out is state of the job, not a commit at the broker.
 */
import { WeirError, epoch, type Clock, type TopicRecord } from '@weir/model'
import {
  ConnectionHook,
  OffsetValidationHook,
  RestoreHooks,
  placeOffset,
  recordAt,
  type LogRange,
  type OffsetGap,
  type OffsetPolicy,
  type RestoreContext,
  type SourcePoll,
  type SourceReader,
  type SourceState,
  type SubtaskContext,
} from '@weir/dataflow'
import type { KafkaConnections } from './connections.ts'
import { FetchedRecords } from './fetched-records.ts'
import { fetchRecords, listOffsets, topicId, topicIdentity } from './wire/apis.ts'
import type { Reader } from './wire/bytes.ts'
import { errorName, mustWait } from './wire/errors.ts'
import { readBatches } from './wire/read-batches.ts'

export interface KafkaSourceOptions {
  readonly topic: string
  readonly startFrom: 'earliest' | 'latest'
  /** `latest`: bounded; the end offsets are taken at the first start and are part of the state. */
  readonly until: 'none' | 'latest'
  readonly isolation: 'read_committed' | 'read_uncommitted'
  /** Default `fail`. */
  readonly outOfRange?: OffsetPolicy
}

/** Fetched and not yet polled, as it lies in the log; an answer that is under way when it is reached comes on top. */
const BUFFERED_BYTES_MAX = 2 << 20
/** Of all partitions. One of which nothing is held is fetched all the same: those that fill it may be held back for its sake. */
const ALL_BUFFERED_BYTES_MAX = 16 << 20
const FETCH_BYTES_MAX = 1 << 20
const FETCH_WAIT_MS = 100
const OFFSET_OUT_OF_RANGE = 1
/** How long the brokers may be away before the attempt ends. */
const AWAY_MS_MAX = 60_000
const AWAY_RETRY_MS = 200
/** How often the topic is asked whether it has more partitions. */
const DISCOVERY_MS = 60_000

interface Partition {
  readonly id: number
  /** Of the next record to hand out. */
  position: bigint
  /** Of the next record to fetch. */
  fetchFrom: bigint
  readonly end: bigint | null
  /** Behind the last record that readers may see, as the last fetch said; null: none has. */
  visibleTo: bigint | null
  readonly fetched: FetchedRecords
  /** Reported as ended. */
  ended: boolean
  /** Moves of its position, oldest first, at most `GAPS_MAX`: they stand in the state, so that no restart forgets them. */
  gaps: readonly OffsetGap[]
}

/** Position of one partition in the state. JSON. */
interface Stored {
  readonly offset: string
  readonly end: string | null
  readonly gaps?: readonly OffsetGap[]
}
const GAPS_MAX = 8

const EARLIEST = -2n
const LATEST = -1n

const partitionAt = (id: number, { offset, end, gaps = [] }: Stored): Partition => ({
  id,
  position: BigInt(offset),
  fetchFrom: BigInt(offset),
  end: end === null ? null : BigInt(end),
  visibleTo: null,
  fetched: new FetchedRecords(end === null ? null : BigInt(end)),
  ended: false,
  gaps,
})

/** Partitions are spread over the subtasks by their number. */
export const ownedBy = ({ subtask, parallelism }: SubtaskContext, partition: number): boolean =>
  partition % parallelism === subtask

/** A leader would be looked for until the request's time is over. Restart: brokers that have just started may not know all. */
const partitionsGone = (topic: string, gone: readonly number[], there: number): WeirError =>
  new WeirError(
    { code: 'PARTITION_GONE', kind: 'restart', topic, partitions: gone },
    `the checkpoint has positions in ${gone.map((p) => `${topic}-${p}`).join(', ')}, and the topic has ${there} partitions: it was deleted and made again with fewer. ` +
      `What was not read of them is gone: start the job under a new id, or bring the topic back.`,
  )

const partitionsAdded = (topic: string, added: readonly number[]): WeirError =>
  new WeirError(
    { code: 'PARTITIONS_ADDED', kind: 'restart', topic, partitions: added },
    `${topic} has partitions that were not there: ${added.join(', ')}. The attempt begins again and reads them from their beginning`,
  )

const recreated = (topic: string, kind: 'restart' | 'invalid'): WeirError =>
  new WeirError(
    { code: 'TOPIC_RECREATED', kind, topic },
    `"${topic}" was deleted and made again: the job's positions are of another log, and what stands at them in this one is not what ` +
      'comes next. Start a new job, or set outOfRange: "earliest" | "latest" on the source to go on with what is there.',
  )

/**
 * What is unknown on either side is trusted: a checkpoint of an older build, a topic without an id. So is another cluster: a copy that
 * has kept the offsets, or none.
 */
function isSameLog(stored: unknown, now: string | null): boolean {
  if (typeof stored !== 'string' || now === null) return true
  const clusterOf = (log: string): string | undefined => log.split('/')[0]
  return stored === now || clusterOf(stored) !== clusterOf(now)
}

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
  /** The log that the positions are of, `cluster/topic id`; null: the topic has no id, or nobody has asked yet. */
  #log: string | null = null
  /** The brokers were away, or knew the topic no more: it may be another one now. */
  #doubtful = false
  #discoverAtMs = Number.POSITIVE_INFINITY
  readonly #closing = new AbortController()
  readonly #hooks = new RestoreHooks()
  #tell: (gap: OffsetGap) => void = () => {}
  /** Ends the wait of a poll, if one waits. */
  #interrupt: () => void = () => {}

  constructor(options: KafkaSourceOptions, deps: { context: SubtaskContext; kafka: KafkaConnections; clock: Clock }) {
    this.#options = options
    this.#context = deps.context
    this.#kafka = deps.kafka
    this.#clock = deps.clock
    const { topic, outOfRange: policy = 'fail' } = options
    const port = {
      positions: () => new Map(this.#partitions.map((p) => [p.id, { offset: p.position, end: p.end }])),
      ranges: (partitions: readonly number[]) => this.#ranges(partitions),
      move: (gap: OffsetGap) => this.#move(this.#of(gap.partition), gap),
    }
    // Run in the opposite order: offsets are looked at over connections that are there.
    this.#hooks.register(new OffsetValidationHook({ topic, policy }, port))
    this.#hooks.register(new ConnectionHook(() => this.#connect()))
  }

  onGap(call: (gap: OffsetGap) => void): void {
    this.#tell = call
  }

  async open(restored: SourceState | null, context: RestoreContext | null = null): Promise<readonly number[]> {
    const { topic, startFrom, until, isolation } = this.#options
    const stored = (restored?.['partitions'] ?? {}) as Record<string, Stored>
    const readBefore = restored !== null
    if (restored === null) await this.#connect()
    const log = this.#logNow()
    log.catch(() => undefined) // awaited below, behind what does not wait for it
    if (restored !== null) {
      this.#log = await log
      this.#partitions = Object.entries(stored)
        .map(([id, at]) => partitionAt(Number(id), at))
        .filter(({ id }) => ownedBy(this.#context, id))
      for (const { gaps } of this.#partitions) gaps.forEach(this.#tell)
      // Hook states are made of the position, which a rescale knows how to deal out.
      const isSame = isSameLog(restored['log'], this.#log)
      if (!isSame) await this.#begunAnew(context?.epoch ?? null)
      const states = this.#hooks.snapshotStates()
      await this.#hooks.restore(states, context ?? { epoch: epoch(0), checkpointTimestamp: 0 })
    }
    const mine = (await this.#kafka.partitions(topic)).filter((p) => ownedBy(this.#context, p))
    const readCommitted = isolation === 'read_committed'
    this.#partitions = await Promise.all(
      mine.map(async (id): Promise<Partition> => {
        const known = this.#partitions.find((p) => p.id === id)
        if (known) return known
        // A partition that has come since the first start: what is in it was written since, and is the job's from its beginning.
        const from = readBefore || startFrom === 'earliest' ? EARLIEST : LATEST
        const offset = await this.#offset(id, from, readCommitted)
        const isInput = until === 'latest' && !readBefore
        const end = isInput ? await this.#offset(id, LATEST, readCommitted) : until === 'latest' ? offset : null
        return partitionAt(id, { offset: String(offset), end: end === null ? null : String(end) })
      }),
    )
    this.#log = await log
    this.#discoverAtMs = until === 'latest' ? Number.POSITIVE_INFINITY : this.#clock.monotonic() + DISCOVERY_MS
    return mine
  }

  /** A topic that is deleted and made again has offsets that were there before, and another id. */
  logId(): Promise<string | null> {
    return this.#kafka.anyBroker(topicId(this.#options.topic))
  }

  /**
   * The positions are of a log that is no more: of the one that has its name now nothing was read, and an offset that happens to be in
   * it would skip what is in front. Throws `TOPIC_RECREATED` (invalid) under `fail`, and where the input is bounded.
   */
  async #begunAnew(ofEpoch: number | null): Promise<void> {
    const { topic, outOfRange: policy = 'fail', until } = this.#options
    if (policy === 'fail' || until === 'latest') throw recreated(topic, 'invalid')
    const ranges = await this.#ranges(this.#partitions.map(({ id }) => id))
    for (const p of this.#partitions) {
      const { start, end } = ranges.get(p.id)!
      const resumed = policy === 'earliest' ? start : end
      const log = { logStart: String(start), logEnd: String(end), resumedAt: String(resumed) }
      const skippedRecords = Number(resumed - start)
      const of = { topic, partition: p.id, offset: String(p.position), policy, epoch: ofEpoch }
      this.#move(p, { ...of, ...log, gapRecords: 0, skippedRecords })
    }
  }

  /** Throws `PARTITIONS_ADDED`, `TOPIC_RECREATED` (restart): the next attempt sees to it. */
  async #lookAtTopic(): Promise<void> {
    const { topic } = this.#options
    if (this.#doubtful) {
      const log = await this.#logNow().catch((error: unknown) => Promise.reject(new Error(String(error)))) // away, still
      if (!isSameLog(this.#log, log)) throw recreated(topic, 'restart')
      this.#doubtful = log === null
    }
    if (this.#clock.monotonic() < this.#discoverAtMs) return
    this.#discoverAtMs = this.#clock.monotonic() + DISCOVERY_MS
    const there = await this.#kafka
      .refresh()
      .then(() => this.#kafka.partitions(topic))
      .catch(() => []) // the next time
    const known = new Set(this.#partitions.map(({ id }) => id))
    const added = there.filter((p) => ownedBy(this.#context, p) && !known.has(p))
    if (added.length > 0) throw partitionsAdded(topic, added)
  }

  async #logNow(): Promise<string | null> {
    const { clusterId, topicId: id } = await this.#kafka.anyBroker(topicIdentity(this.#options.topic))
    return id === null ? null : `${clusterId}/${id}`
  }

  /** Brokers and leaders as they are now. */
  async #connect(): Promise<void> {
    await this.#kafka.connect()
    await this.#kafka.partitions(this.#options.topic)
  }

  async #offset(partition: number, at: typeof EARLIEST | typeof LATEST, readCommitted: boolean): Promise<bigint> {
    const { topic } = this.#options
    const request = listOffsets(topic, partition, at, readCommitted)
    const { errorCode, offset } = await this.#kafka.toLeader(topic, partition, request, this.#context.signal)
    if (errorCode === 0) return offset
    const error = errorName(errorCode)
    throw new WeirError(
      { code: 'KAFKA_REFUSED', kind: 'restart', error },
      `ListOffsets of ${topic}-${partition}: ${error}`,
    )
  }

  /** To the end of the log, whatever is committed of it: a position may lie behind a transaction that is open. */
  async #ranges(partitions: readonly number[]): Promise<ReadonlyMap<number, LogRange>> {
    const { topic } = this.#options
    const there = await this.#kafka.partitions(topic)
    const gone = partitions.filter((p) => !there.includes(p))
    if (gone.length > 0) throw partitionsGone(topic, gone, there.length)
    const ranges = partitions.map(async (p): Promise<[number, LogRange]> => {
      const [start, end] = await Promise.all([this.#offset(p, EARLIEST, false), this.#offset(p, LATEST, false)])
      return [p, { start, end }]
    })
    return new Map(await Promise.all(ranges))
  }

  #move(p: Partition, gap: OffsetGap): void {
    p.fetchFrom = BigInt(gap.resumedAt)
    if (p.fetched.bytes === 0) p.position = p.fetchFrom
    // Found twice, when the epoch behind the first time was not published.
    p.gaps = [...p.gaps.filter(({ offset }) => offset !== gap.offset), gap].slice(-GAPS_MAX)
    this.#tell(gap)
  }

  async poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    for (let waited = false; ; waited = true) {
      if (this.#failure !== null) throw this.#failure as Error
      this.#fetchAhead()
      const found = this.#take(maxRecords, held)
      if (found) return found
      if (this.#partitions.every((p) => p.ended)) {
        if (this.#options.until === 'latest') return 'end'
        await this.#clock.sleep(FETCH_WAIT_MS, this.#context.signal)
        return 'idle'
      }
      if (waited) return 'idle'
      // Nothing is fetched while what is held fills the buffer.
      const pause = this.#clock.sleep(FETCH_WAIT_MS, this.#context.signal)
      const interrupted = new Promise<void>((resolve) => (this.#interrupt = resolve))
      await Promise.race([pause, interrupted, ...(this.#fetching === null ? [] : [this.#fetching])])
    }
  }

  interrupt(): void {
    this.#interrupt()
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

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return {
      ...(this.#log !== null && { log: this.#log }),
      partitions: Object.fromEntries(
        this.#partitions.map((p): [number, Stored] => {
          const end = p.end === null ? null : String(p.end)
          const offset = String(from?.get(p.id) ?? p.position)
          return [p.id, { offset, end, ...(p.gaps.length > 0 && { gaps: p.gaps }) }]
        }),
      ),
    }
  }

  /** In offsets: markers of transactions have some, too. */
  lags(): ReadonlyMap<number, number> {
    const lags = this.#partitions.flatMap(({ id, end, visibleTo, position }): [number, number][] => {
      if (visibleTo === null) return []
      const to = end === null || visibleTo < end ? visibleTo : end
      return [[id, to > position ? Number(to - position) : 0]]
    })
    return new Map(lags)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#fetching?.catch(() => {})
  }

  /** Partitions take turns batch by batch, so that one full of records does not starve the others, and few batches are open. */
  #take(maxRecords: number, held?: ReadonlySet<number>): SourcePoll | undefined {
    const n = this.#partitions.length
    for (let i = 0; i < n; i++) {
      const p = this.#partitions[(this.#turn + i) % n]!
      if (held?.has(p.id)) continue
      const raw = p.fetched.take(maxRecords)
      if (raw === null) {
        // Nothing buffered: everything up to fetchFrom has been handed out or was not for readers (markers, aborted).
        p.position = p.fetchFrom
        if (!p.ended && p.end !== null && p.position >= p.end) {
          p.ended = true
          return { kind: 'split-end', split: p.id }
        }
        continue
      }
      this.#turn = (this.#turn + i + (p.fetched.isOpened ? 0 : 1)) % n
      p.position = BigInt(raw.offsets[raw.count - 1]!) + 1n
      return { kind: 'raw', split: p.id, raw }
    }
    return undefined
  }

  #fetchAhead(): void {
    if (this.#fetching !== null || this.#closing.signal.aborted) return
    const buffered = this.#partitions.reduce((sum, { fetched }) => sum + fetched.bytes, 0)
    const bytesMax = buffered < ALL_BUFFERED_BYTES_MAX ? BUFFERED_BYTES_MAX : 1
    const wanted = this.#partitions
      .filter((p) => !p.ended && p.fetched.bytes < bytesMax && (p.end === null || p.fetchFrom < p.end))
      // A broker fills its answer in the order it is asked in.
      .sort((a, b) => a.fetched.bytes - b.fetched.bytes)
    if (wanted.length === 0) return
    this.#fetching = this.#fetch(wanted).then(
      () => {
        this.#fetching = null
        // The next one travels while the chain works on this one.
        if (this.#failure === null && this.#partitions.some((p) => p.fetched.bytes < BUFFERED_BYTES_MAX / 2))
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
      await this.#lookAtTopic()
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
            if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
              await this.#outOfRange(p)
              continue
            }
            if (mustWait(fetched.errorCode) || fetched.errorCode === 3) throw new Error(errorName(fetched.errorCode))
            if (fetched.errorCode !== 0) {
              const error = errorName(fetched.errorCode)
              throw new WeirError(
                { code: 'KAFKA_REFUSED', kind: 'restart', error },
                `fetch of ${topic}-${p.id}: ${error}`,
              )
            }
            p.visibleTo = readCommitted ? fetched.lastStableOffset : fetched.highWatermark
            if (!fetched.records) continue
            const next = p.fetched.add(fetched.records, p.fetchFrom, readCommitted ? fetched.aborted : null)
            if (next !== null && next > p.fetchFrom) p.fetchFrom = next
          }
        }),
      )
      this.#awaySince = null
    } catch (error) {
      if (error instanceof WeirError || this.#closing.signal.aborted) throw error
      this.#doubtful = true
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

  #of(id: number): Partition {
    return this.#partitions.find((p) => p.id === id)!
  }

  /** Retention was faster than the job. */
  async #outOfRange(p: Partition): Promise<void> {
    const { topic, outOfRange: policy = 'fail' } = this.#options
    const range = (await this.#ranges([p.id])).get(p.id)!
    const gap = placeOffset({ topic, partition: p.id, offset: p.fetchFrom, end: p.end, range, policy, epoch: null })
    // The two answers do not go together: asked again, of whoever leads then, for as long as brokers may be away.
    if (gap === null) throw new Error(errorName(OFFSET_OUT_OF_RANGE))
    this.#move(p, gap)
  }
}
