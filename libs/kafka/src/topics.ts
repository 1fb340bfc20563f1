/** Topics at the brokers from outside every job. */
import { recordAt, type StoredRecord, type TopicCursor, type Topics, type TopicsTransaction } from '@weir/dataflow'
import { WeirError, type AsideRecord, type Clock } from '@weir/model'
import type { KafkaConnections } from './connections.ts'
import { TransactionLane } from './lane.ts'
import type { Place } from './transaction-state.ts'
import { fetchRecords, listOffsets } from './wire/apis.ts'
import type { Reader } from './wire/bytes.ts'
import { errorName } from './wire/errors.ts'
import { readBatches } from './wire/read-batches.ts'
import { BatchBuilder } from './wire/records.ts'

const FETCH_BYTES_MAX = 1 << 20
const FETCH_WAIT_MS = 100
/** A transaction whose writer has died stops readers no longer than this. */
const TIMEOUT_MS = 30_000
/** A batch with more is sent. Small: the next record may be large, and a topic takes 1 MiB unless it says otherwise. */
const BATCH_BYTES = 64 << 10
/** Read and not decided, of one partition: the reader says so instead of holding a whole topic. */
const UNDECIDED_BYTES_MAX = 256 << 20

/** A record whose turn has not come: its own transaction, or one before it, is not decided. */
interface Held {
  readonly record: StoredRecord
  outcome: 'open' | 'commit' | 'abort'
}

export class KafkaTopics implements Topics {
  readonly #kafka: KafkaConnections
  readonly #clock: Clock
  readonly #signal: AbortSignal

  /** `signal` ends every wait. The connections are closed with it. */
  constructor(deps: { readonly kafka: KafkaConnections; readonly clock: Clock; readonly signal: AbortSignal }) {
    this.#kafka = deps.kafka
    this.#clock = deps.clock
    this.#signal = deps.signal
  }

  async *read(topic: string, from: TopicCursor = { partition: 0, offset: 0 }): AsyncGenerator<StoredRecord> {
    for (const partition of await this.#kafka.partitions(topic)) {
      if (partition < from.partition) continue
      yield* this.#partition(topic, partition, partition === from.partition ? BigInt(from.offset) : 0n)
    }
  }

  /**
   * Of every partition, the offset behind its last record; `stable`: behind the last one in front of which every transaction has
   * ended. Throws as `read`.
   */
  async ends(topic: string, stable: boolean): Promise<readonly number[]> {
    const partitions = await this.#kafka.partitions(topic)
    return Promise.all(partitions.map(async (partition) => Number(await this.#offset(topic, partition, -1n, stable))))
  }

  /**
   * Committed records of one partition from `from` up to `until`, each of which has been decided: `ends(topic, true)` is not in
   * front of it. Throws `RECORDS_EXPIRED` (invalid) when the topic begins behind `from`.
   */
  async *range(topic: string, partition: number, from: number, until: number): AsyncGenerator<StoredRecord> {
    if (from >= until) return
    await this.#kafka.partitions(topic)
    const earliest = Number(await this.#offset(topic, partition, -2n))
    if (earliest > from) throw expired(topic, partition, from, earliest)
    for await (const record of this.#partition(topic, partition, BigInt(from))) {
      if (record.offset >= until) return
      yield record
    }
  }

  /** Uncommitted, with the control records as judges: a transaction that is open holds up nothing but itself. */
  async *#partition(topic: string, partition: number, from: bigint): AsyncGenerator<StoredRecord> {
    const [earliest, end] = await Promise.all([
      this.#offset(topic, partition, -2n),
      this.#offset(topic, partition, -1n),
    ])
    const held: Held[] = []
    const open = new Map<bigint, Held[]>()
    let heldBytes = 0
    for (let offset = from > earliest ? from : earliest; offset < end;) {
      const { chunks, owners, control, nextOffset } = await this.#fetch(topic, partition, offset)
      if (nextOffset === null || nextOffset <= offset) break
      let judged = 0
      const judge = (before: number): void => {
        for (; judged < control.length && Number(control[judged]!.offset) < before; judged++) {
          const { producerId, type } = control[judged]!
          for (const one of open.get(producerId) ?? []) one.outcome = type
          open.delete(producerId)
        }
      }
      for (const [i, raw] of chunks.entries()) {
        const { producerId, producerEpoch, transactional } = owners[i]!
        judge(raw.offsets[0]!)
        for (let n = 0; n < raw.count; n++) {
          const at = { partition, offset: raw.offsets[n]!, transaction: `${producerId}:${producerEpoch}` }
          const one: Held = { record: { ...recordAt(raw, n), ...at }, outcome: transactional ? 'open' : 'commit' }
          held.push(one)
          heldBytes += bytesOf(one)
          if (!transactional) continue
          const mine = open.get(producerId)
          if (mine === undefined) open.set(producerId, [one])
          else mine.push(one)
        }
      }
      judge(Number.POSITIVE_INFINITY)
      let decided = 0
      for (; decided < held.length && held[decided]!.outcome !== 'open'; decided++) {
        const one = held[decided]!
        heldBytes -= bytesOf(one)
        if (one.outcome === 'commit') yield one.record
      }
      held.splice(0, decided)
      if (heldBytes > UNDECIDED_BYTES_MAX) throw tooLong(topic, partition, held[0]!.record.offset)
      offset = nextOffset
    }
    for (const { record, outcome } of held) if (outcome === 'commit') yield record
  }

  async #fetch(topic: string, partition: number, offset: bigint): Promise<ReturnType<typeof readBatches>> {
    const api = fetchRecords(topic, [{ partition, offset, maxBytes: FETCH_BYTES_MAX }], {
      maxWaitMs: FETCH_WAIT_MS,
      readCommitted: false,
    })
    const one = { ...api, read: (r: Reader) => ({ ...api.read(r).partitions[0]! }) }
    const { errorCode, records } = await this.#kafka.toLeader(topic, partition, one, this.#signal)
    if (errorCode !== 0) throw refused('Fetch', errorCode, `${topic}-${partition}`)
    return readBatches(records ?? Buffer.alloc(0), offset, null)
  }

  async #offset(topic: string, partition: number, at: -1n | -2n, stable = false): Promise<bigint> {
    const api = listOffsets(topic, partition, at, stable)
    const answer = await this.#kafka.toLeader(topic, partition, api, this.#signal)
    if (answer.errorCode !== 0) throw refused('ListOffsets', answer.errorCode, `${topic}-${partition}`)
    return answer.offset
  }

  async begin(transactionalId: string): Promise<TopicsTransaction> {
    const protocol = await this.#kafka.transactionProtocol()
    const deps = { kafka: this.#kafka, clock: this.#clock, signal: this.#signal, released: () => {} }
    const lane = new TransactionLane({ transactionalId, protocol, transactionTimeoutMs: TIMEOUT_MS }, deps)
    await lane.fence()
    return new KafkaTransaction(this.#kafka, lane)
  }

  close(): Promise<void> {
    return this.#kafka.close()
  }
}

class KafkaTransaction implements TopicsTransaction {
  readonly #kafka: KafkaConnections
  readonly #lane: TransactionLane
  /** A topic that is written to; null: nothing is open. */
  #topic: string | null = null
  #commits = 0

  constructor(kafka: KafkaConnections, lane: TransactionLane) {
    this.#kafka = kafka
    this.#lane = lane
  }

  async write(records: readonly AsideRecord[]): Promise<void> {
    const builders = new Map<string, { place: Place; builder: BatchBuilder }>()
    for (const { topic, partition: any, key, value, timestamp, headers } of records) {
      const partition = any % (await this.#kafka.partitions(topic)).length
      const name = `${topic}-${partition}`
      let filling = builders.get(name)
      if (filling === undefined || filling.builder.bytes > BATCH_BYTES) {
        if (filling !== undefined) this.#lane.append(filling.place, filling.builder)
        builders.set(name, (filling = { place: { topic, partition }, builder: new BatchBuilder() }))
      }
      filling.builder.append(key, value, timestamp, headers)
      this.#topic = topic
    }
    for (const { place, builder } of builders.values()) this.#lane.append(place, builder)
  }

  /** By way of a marker: a lane knows no other end of a transaction. */
  async commit(): Promise<void> {
    if (this.#topic === null) return
    await this.#lane.flush()
    const group = this.#lane.transactionalId
    const sequence = ++this.#commits
    const offsets = [{ partition: 0, offset: BigInt(sequence), metadata: '' }]
    await this.#lane.mark({ group, topic: this.#topic, sequence, offsets })
    await this.#lane.commit()
    this.#topic = null
  }
}

/** With what an object costs, so that many small ones count too. */
const bytesOf = ({ record: { key, value } }: Held): number => 200 + (key?.length ?? 0) + (value?.length ?? 0)

const tooLong = (topic: string, partition: number, offset: number): WeirError =>
  new WeirError(
    { code: 'TOPIC_UNDECIDED', kind: 'retry', topic, partition, offset },
    `${topic}-${partition} holds more than ${UNDECIDED_BYTES_MAX >> 20} MiB behind offset ${offset}, whose transaction is open: end it first (weir txn list)`,
  )

const expired = (topic: string, partition: number, from: number, earliest: number): WeirError =>
  new WeirError(
    { code: 'RECORDS_EXPIRED', kind: 'invalid', topic, partition, from, earliest },
    `${topic}-${partition} begins at ${earliest}, and is to be read from ${from}: what was there is deleted (retention.ms, retention.bytes, or compaction)`,
  )

const refused = (request: string, code: number, what: string): WeirError =>
  new WeirError(
    { code: 'KAFKA_REFUSED', kind: 'retry', request, error: errorName(code), what },
    `${request} of ${what}: ${errorName(code)}`,
  )
