/**
 * Kafka's broker as far as transactions (KIP-98, KIP-890: "v2") go: producer epochs, two-step ends whose control records
 * come later, time-outs, read_committed, offsets inside transactions. Answers are Kafka's error codes.
 *
 *   Empty ─▶ Ongoing ─▶ PrepareCommit ─▶ CompleteCommit         every end raises the producer's epoch by one
 *                └────▶ PrepareAbort ──▶ CompleteAbort
 */
import type { Server } from './network.ts'
import type { World } from './world.ts'

export const NONE = 0
const OUT_OF_ORDER_SEQUENCE = 45
export const INVALID_PRODUCER_EPOCH = 47
export const INVALID_TXN_STATE = 48
export const INVALID_PRODUCER_ID_MAPPING = 49
export const CONCURRENT_TRANSACTIONS = 51
export const UNSTABLE_OFFSET_COMMIT = 88
export const PRODUCER_FENCED = 90

export interface BrokerRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: number
}
export interface Batch {
  readonly offset: number
  readonly pid: number
  readonly epoch: number
  /** Null: a control record. */
  readonly records: readonly BrokerRecord[] | null
  readonly commit: boolean
  /** Of a transaction: its serial number over the whole broker; −1: written outside of one. */
  readonly transaction: number
}
export interface ProducerOf {
  readonly pid: number
  readonly epoch: number
}
interface Mark {
  readonly group: string
  readonly offset: number
  readonly metadata: string
  /** Its place in the log of offset commits. */
  readonly appended: number
}
/** A transaction as the checkers see it. */
export interface TransactionRecord {
  readonly serial: number
  readonly transactionalId: string
  readonly pid: number
  readonly epoch: number
  readonly startedAt: number
  readonly marks: Mark[]
  records: number
  outcome: 'open' | 'commit' | 'abort'
  why: string
}

interface Open {
  readonly record: TransactionRecord
  readonly partitions: Map<string, number>
  readonly deadline: number
}
interface Producer {
  readonly id: string
  pid: number
  epoch: number
  timeoutMs: number
  state: 'empty' | 'ongoing' | 'ending' | 'complete'
  open: Open | null
  /** How the transaction of the epoch before this one ended. */
  last: { readonly pid: number; readonly epoch: number; readonly commit: boolean } | null
}
interface PartitionProducer {
  epoch: number
  nextSequence: number
  /** The last batches: repeated ones are answered again and not written again. */
  recent: { readonly base: number; readonly offset: number }[]
}
interface Partition {
  readonly batches: Batch[]
  end: number
  readonly producers: Map<number, PartitionProducer>
  /** The open transaction of each producer: its first offset and its epoch. */
  readonly ongoing: Map<number, { readonly from: number; readonly epoch: number }>
  /** Producer id and first offset → was aborted. */
  readonly aborted: { readonly pid: number; readonly from: number; readonly to: number }[]
}
interface Group {
  offset: number | null
  metadata: string
  /** Place of the commit that stands in `offset`. */
  appended: number
  readonly pending: Set<number>
}

const EPOCH_MAX = 32_766

export interface KafkaLimits {
  /** How long control records take to reach a partition or a group, ms. */
  readonly materialiseMs: readonly [number, number]
}

export class SimKafka implements Server {
  readonly host = 'kafka'
  up = true
  /** Of every new producer id of a transactional id. */
  firstEpoch = 0
  limits: KafkaLimits = { materialiseMs: [0.2, 5] }
  readonly #world: World
  readonly #topics = new Map<string, Partition[]>()
  readonly #producers = new Map<string, Producer>()
  readonly #groups = new Map<string, Group>()
  readonly transactions: TransactionRecord[] = []
  #nextPid = 1_000
  #appended = 0
  /** Told when a commit is decided: from here on it will be visible, whatever happens. */
  onCommit: (transaction: TransactionRecord) => void = () => {}

  constructor(world: World) {
    this.#world = world
  }

  createTopic(topic: string, partitions: number): void {
    this.#topics.set(
      topic,
      Array.from({ length: partitions }, () => ({
        batches: [],
        end: 0,
        producers: new Map(),
        ongoing: new Map(),
        aborted: [],
      })),
    )
  }

  partitionCount(topic: string): number {
    return this.#topics.get(topic)?.length ?? 0
  }

  /** Input, written outside of a transaction before the job begins. */
  feed(topic: string, partition: number, records: readonly BrokerRecord[]): void {
    const p = this.#partition(topic, partition)
    p.batches.push({ offset: p.end, pid: -1, epoch: -1, records, commit: false, transaction: -1 })
    p.end += records.length
  }

  // ---- transactions -------------------------------------------------------------------------------------------------

  /** @param known null: recovery's blank form, fences whoever has the id. */
  initProducerId(
    id: string,
    timeoutMs: number,
    known: ProducerOf | null,
    sentAt = this.#world.now,
  ): { errorCode: number; pid: number; epoch: number } {
    const refuse = (errorCode: number) => ({ errorCode, pid: -1, epoch: -1 })
    let producer = this.#producers.get(id)
    if (producer === undefined) {
      producer = {
        id,
        pid: this.#nextPid++,
        epoch: this.firstEpoch - 1,
        timeoutMs,
        state: 'empty',
        open: null,
        last: null,
      }
      this.#producers.set(id, producer)
    }
    if (known !== null && (known.pid !== producer.pid || known.epoch !== producer.epoch)) {
      const answeredBefore = known.pid === producer.last?.pid && known.epoch === producer.epoch - 1
      return refuse(answeredBefore ? CONCURRENT_TRANSACTIONS : PRODUCER_FENCED)
    }
    if (producer.state === 'ending') return refuse(CONCURRENT_TRANSACTIONS)
    if (producer.state === 'ongoing') {
      this.#end(producer, false, sentAt < producer.open!.record.startedAt ? LATE_FENCE : 'fenced')
      return refuse(CONCURRENT_TRANSACTIONS)
    }
    this.#raise(producer)
    producer.timeoutMs = timeoutMs
    producer.state = 'empty'
    this.#world.trace(`kafka init ${id} ${producer.pid}/${producer.epoch}`)
    return { errorCode: NONE, pid: producer.pid, epoch: producer.epoch }
  }

  /** The first batch adds the partition to the transaction (v2) and begins it where none is open. */
  produce(
    id: string,
    by: ProducerOf,
    at: { readonly topic: string; readonly partition: number; readonly sequence: number },
    records: readonly BrokerRecord[],
  ): { errorCode: number; offset: number } {
    const p = this.#partition(at.topic, at.partition)
    const state = p.producers.get(by.pid)
    const refuse = (errorCode: number) => ({ errorCode, offset: -1 })
    if (state !== undefined && by.epoch < state.epoch) return refuse(INVALID_PRODUCER_EPOCH)
    const current = state?.epoch === by.epoch ? state : undefined
    const again = current?.recent.find((b) => b.base === at.sequence)
    if (again !== undefined) return { errorCode: NONE, offset: again.offset }
    if (at.sequence !== (current?.nextSequence ?? 0)) return refuse(OUT_OF_ORDER_SEQUENCE)
    if (p.ongoing.get(by.pid)?.epoch !== by.epoch) {
      // Verified with the coordinator: a late batch of an ended transaction opens nothing, an early one of the next waits.
      const refusal = this.#join(id, by)
      if (refusal !== NONE) return refuse(refusal)
      const open = this.#producers.get(id)!.open!
      open.partitions.set(`${at.topic}/${at.partition}`, p.end)
      p.ongoing.set(by.pid, { from: p.end, epoch: by.epoch })
    }
    const open = this.#producers.get(id)!.open
    const offset = p.end
    const transaction = open?.record.serial ?? this.#last(by)
    p.batches.push({ offset, pid: by.pid, epoch: by.epoch, records, commit: false, transaction })
    p.end += records.length
    if (open !== null) open.record.records += records.length
    const recent = [...(current?.recent ?? []), { base: at.sequence, offset }].slice(-5)
    p.producers.set(by.pid, { epoch: by.epoch, nextSequence: at.sequence + records.length, recent })
    this.#world.trace(
      `kafka produce ${id} ${by.pid}/${by.epoch} ${at.topic}-${at.partition}@${offset}+${records.length}`,
    )
    return { errorCode: NONE, offset }
  }

  txnOffsetCommit(id: string, by: ProducerOf, group: string, offset: number, metadata: string): { errorCode: number } {
    const errorCode = this.#join(id, by)
    if (errorCode !== NONE) return { errorCode }
    const { record } = this.#producers.get(id)!.open!
    record.marks.push({ group, offset, metadata, appended: ++this.#appended })
    this.#group(group).pending.add(record.serial)
    this.#world.trace(`kafka mark ${group}=${offset} by ${id} ${by.pid}/${by.epoch}`)
    return { errorCode: NONE }
  }

  endTxn(id: string, by: ProducerOf, commit: boolean): { errorCode: number; pid: number; epoch: number } {
    const refuse = (errorCode: number) => ({ errorCode, pid: -1, epoch: -1 })
    const producer = this.#producers.get(id)
    if (producer === undefined) return refuse(INVALID_PRODUCER_ID_MAPPING)
    const { last } = producer
    const repeated = last !== null && last.pid === by.pid && last.epoch === by.epoch
    if (repeated && producer.state === 'ending') {
      return refuse(last.commit === commit ? CONCURRENT_TRANSACTIONS : INVALID_TXN_STATE)
    }
    if (repeated && producer.state === 'complete') {
      if (last.commit !== commit) return refuse(INVALID_TXN_STATE)
      return { errorCode: NONE, pid: producer.pid, epoch: producer.epoch }
    }
    if (producer.pid !== by.pid || producer.epoch !== by.epoch) return refuse(PRODUCER_FENCED)
    if (producer.state !== 'ongoing') return refuse(INVALID_TXN_STATE)
    this.#end(producer, commit, 'EndTxn')
    return { errorCode: NONE, pid: producer.pid, epoch: producer.epoch }
  }

  offsetCommit(group: string, offset: number, metadata: string): { errorCode: number } {
    const g = this.#group(group)
    g.offset = offset
    g.metadata = metadata
    g.appended = ++this.#appended
    this.#world.trace(`kafka offset ${group}=${offset}`)
    return { errorCode: NONE }
  }

  offsetFetch(group: string, requireStable: boolean): { errorCode: number; offset: number | null } {
    const g = this.#groups.get(group)
    if (g === undefined) return { errorCode: NONE, offset: null }
    if (requireStable && g.pending.size > 0) return { errorCode: UNSTABLE_OFFSET_COMMIT, offset: null }
    return { errorCode: NONE, offset: g.offset }
  }

  /** Aborts what is open for too long; `ratio` < 1: sooner, as after a jump of the broker's clock. */
  expire(ratio: number): number {
    let expired = 0
    for (const producer of this.#producers.values()) {
      if (producer.state !== 'ongoing') continue
      const { deadline, record } = producer.open!
      if (this.#world.now < record.startedAt + (deadline - record.startedAt) * ratio) continue
      this.#end(producer, false, 'expired')
      expired++
    }
    return expired
  }

  // ---- reading ------------------------------------------------------------------------------------------------------

  /** Everything below it is decided. */
  stableOffset(topic: string, partition: number): number {
    const p = this.#partition(topic, partition)
    return Math.min(p.end, ...[...p.ongoing.values()].map(({ from }) => from))
  }

  endOffset(topic: string, partition: number): number {
    return this.#partition(topic, partition).end
  }

  /** Batches from the offset on, below the limit of the isolation level. */
  batches(topic: string, partition: number, from: number, readCommitted: boolean): Batch[] {
    const limit = readCommitted ? this.stableOffset(topic, partition) : this.#partition(topic, partition).end
    return this.#partition(topic, partition).batches.filter((b) => b.offset < limit && b.offset + sizeOf(b) > from)
  }

  abortedIn(
    topic: string,
    partition: number,
  ): readonly { readonly pid: number; readonly from: number; readonly to: number }[] {
    return this.#partition(topic, partition).aborted
  }

  isAborted(topic: string, partition: number, batch: Batch): boolean {
    return this.#partition(topic, partition).aborted.some(
      (a) => a.pid === batch.pid && batch.offset >= a.from && batch.offset < a.to,
    )
  }

  openTransactions(): TransactionRecord[] {
    return this.transactions.filter((t) => t.outcome === 'open')
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  /** Begins a transaction or finds that it is open; refuses who is not the current one. */
  #join(id: string, by: ProducerOf): number {
    const producer = this.#producers.get(id)
    if (producer === undefined || producer.pid !== by.pid) return INVALID_PRODUCER_ID_MAPPING
    if (producer.epoch !== by.epoch) return INVALID_PRODUCER_EPOCH
    if (producer.state === 'ending') return CONCURRENT_TRANSACTIONS
    if (producer.state === 'ongoing') return NONE
    const record: TransactionRecord = {
      serial: this.transactions.length,
      transactionalId: id,
      pid: by.pid,
      epoch: by.epoch,
      startedAt: this.#world.now,
      marks: [],
      records: 0,
      outcome: 'open',
      why: '',
    }
    this.transactions.push(record)
    const deadline = this.#world.now + producer.timeoutMs
    producer.open = { record, partitions: new Map(), deadline }
    producer.state = 'ongoing'
    this.#world.at(deadline + EXPIRY_CHECK_MS, () => {
      if (producer.open?.record === record && producer.state === 'ongoing') this.#end(producer, false, 'expired')
    })
    return NONE
  }

  /** Decides at once; the control records come one by one. The epoch is the next one already. */
  #end(producer: Producer, commit: boolean, why: string): void {
    const open = producer.open!
    const { record } = open
    record.outcome = commit ? 'commit' : 'abort'
    record.why = why
    this.#world.trace(`kafka ${record.outcome} ${producer.id} ${record.pid}/${record.epoch} (${why})`)
    producer.state = 'ending'
    producer.last = { pid: producer.pid, epoch: producer.epoch, commit }
    producer.open = null
    this.#raise(producer)
    if (commit) this.onCommit(record)
    let left = open.partitions.size + record.marks.length
    const done = (): void => {
      if (--left <= 0) producer.state = 'complete'
    }
    if (left === 0) done()
    const { chance } = this.#world
    const later = (call: () => void): void =>
      this.#world.after(chance.between(...this.limits.materialiseMs), () => {
        call()
        done()
      })
    for (const [place, from] of open.partitions) {
      later(() => {
        const slash = place.lastIndexOf('/')
        const p = this.#partition(place.slice(0, slash), Number(place.slice(slash + 1)))
        if (!commit) p.aborted.push({ pid: record.pid, from, to: p.end })
        // The marker carries the raised epoch: a late batch of the old one is refused from here on.
        const epoch = Math.min(record.epoch + 1, EPOCH_MAX + 1)
        p.batches.push({ offset: p.end, pid: record.pid, epoch, records: null, commit, transaction: record.serial })
        p.end++
        p.ongoing.delete(record.pid)
        p.producers.set(record.pid, { epoch, nextSequence: 0, recent: [] })
      })
    }
    for (const { group, offset, metadata, appended } of record.marks) {
      later(() => {
        const g = this.#group(group)
        g.pending.delete(record.serial)
        // Control records may come in any order; what was written later stands.
        if (commit && appended > g.appended) Object.assign(g, { offset, metadata, appended })
      })
    }
  }

  #raise(producer: Producer): void {
    producer.epoch++
    if (producer.epoch <= EPOCH_MAX) return
    producer.pid = this.#nextPid++
    producer.epoch = 0
  }

  #last(by: ProducerOf): number {
    return this.transactions.findLast((t) => t.pid === by.pid && t.epoch === by.epoch)?.serial ?? -1
  }

  #group(name: string): Group {
    let group = this.#groups.get(name)
    if (group === undefined)
      this.#groups.set(name, (group = { offset: null, metadata: '', appended: 0, pending: new Set() }))
    return group
  }

  #partition(topic: string, partition: number): Partition {
    const found = this.#topics.get(topic)?.[partition]
    if (found === undefined) throw new Error(`no partition ${topic}-${partition}`)
    return found
  }
}

/** The fence of a recovery that knew nothing of the transaction: it was on its way before that began. */
export const LATE_FENCE = 'fenced late'

/** The coordinator looks for expired transactions from time to time. */
const EXPIRY_CHECK_MS = 100

export const sizeOf = (batch: Batch): number => batch.records?.length ?? 1
