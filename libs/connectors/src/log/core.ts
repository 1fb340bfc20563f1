/**
 * The embedded transactional log: topics, producers and transactions as one sequence of frames. Every change is a frame
 * first and is then applied, at run time and at the next start by the same code, so memory is always what the file says.
 */
import { WeirError, type Clock, type RecordHeader } from '@weir/model'
import { Packr } from 'msgpackr'
import type {
  AppendRequest,
  Marker,
  OpenTransactionInfo,
  ProducerIdentity,
  ReadRecord,
  TransactionalLog,
} from './port.ts'
import type { FrameRef, LogStorage } from './storage.ts'

type Change =
  | { readonly t: 'topic'; readonly name: string; readonly partitions: number }
  | {
      readonly t: 'init'
      readonly id: string
      readonly pid: string
      readonly epoch: number
      readonly timeoutMs: number
    }
  | {
      readonly t: 'append'
      readonly id: string
      readonly topic: string
      readonly partition: number
      readonly base: number
      readonly at: number
      readonly records: readonly Row[]
    }
  | { readonly t: 'mark'; readonly id: string; readonly group: string; readonly sequence: number }
  | { readonly t: 'end'; readonly id: string; readonly commit: boolean }

type Row = readonly [Uint8Array | null, Uint8Array | null, number, (readonly RecordHeader[])?]

interface Batch {
  readonly offset: number
  readonly count: number
  readonly pid: string
  readonly epoch: number
  readonly frame: FrameRef | null
  readonly control: 'commit' | 'abort' | null
  aborted: boolean
}
interface Partition {
  readonly batches: Batch[]
  end: number
}
interface Part {
  /** Offset of its first record. */
  readonly first: number
  /** Sequence and offset of the last batch, and the sequence after it. */
  readonly lastSequence: number
  readonly lastOffset: number
  readonly next: number
}
interface Transaction {
  /** By `topic/partition`. */
  readonly parts: Map<string, Part>
  readonly batches: Batch[]
  readonly markers: Marker[]
  readonly deadlineMs: number
}
interface Producer {
  readonly pid: string
  epoch: number
  timeoutMs: number
  open: Transaction | null
  /** How the epoch before the current one ended. */
  last: { readonly epoch: number; readonly commit: boolean } | null
}

const EPOCH_MAX = 32_767
const packr = new Packr({ moreTypes: false, useRecords: false })
const TOPIC_PARTITIONS_MAX = 1_024

export class EmbeddedLog implements TransactionalLog {
  readonly #storage: LogStorage
  readonly #clock: Clock
  readonly #topics = new Map<string, Partition[]>()
  readonly #producers = new Map<string, Producer>()
  readonly #markers = new Map<string, number>()
  #nextPid = 1
  #readers: (() => void)[] = []

  private constructor(storage: LogStorage, clock: Clock) {
    this.#storage = storage
    this.#clock = clock
  }

  /** Everything that was acknowledged is there again; what was open stays open until its timeout, as at a broker. */
  static async open(storage: LogStorage, clock: Clock): Promise<EmbeddedLog> {
    const log = new EmbeddedLog(storage, clock)
    await storage.replay((payload, frame) => log.#apply(packr.unpack(payload) as Change, frame))
    return log
  }

  createTopic(topic: string, partitions: number): Promise<boolean> {
    if (this.#topics.has(topic)) return Promise.resolve(false)
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > TOPIC_PARTITIONS_MAX) {
      throw new WeirError(
        { code: 'TOPIC_INVALID', kind: 'invalid', topic, partitions },
        `topic "${topic}" cannot have ${partitions} partitions: give 1 to ${TOPIC_PARTITIONS_MAX}`,
      )
    }
    this.#change({ t: 'topic', name: topic, partitions })
    return this.#storage.sync().then(() => true)
  }

  describe(topic: string): Promise<{ endOffsets: number[]; stableOffsets: number[]; openTransactions: number }> {
    const partitions = this.#partitions(topic)
    return Promise.resolve({
      endOffsets: partitions.map((p) => p.end),
      stableOffsets: partitions.map((_, i) => this.#stable(topic, i)),
      openTransactions: [...this.#producers.values()].filter((p) => p.open !== null).length,
    })
  }

  async initProducer(transactionalId: string, timeoutMs: number): Promise<ProducerIdentity> {
    const known = this.#producers.get(transactionalId)
    if (known?.open) this.#change({ t: 'end', id: transactionalId, commit: false })
    const epoch = known === undefined ? 0 : known.epoch + 1
    // An epoch has 15 bits: then a new producer id begins, as at a broker.
    const fresh = known === undefined || epoch > EPOCH_MAX
    const pid = fresh ? String(this.#nextPid) : known.pid
    this.#change({ t: 'init', id: transactionalId, pid, epoch: fresh ? 0 : epoch, timeoutMs })
    await this.#storage.sync()
    return this.#identity(transactionalId)
  }

  append(request: AppendRequest): Promise<number> {
    const { transactionalId, topic, partition, baseSequence, records } = request
    const producer = this.#current(request)
    const at = this.#partition(topic, partition).end
    const part = producer.open?.parts.get(`${topic}/${partition}`)
    const next = part?.next ?? 0
    // The same batch again: its answer was lost.
    if (part?.lastSequence === baseSequence) return Promise.resolve(part.lastOffset)
    if (baseSequence !== next) {
      throw new WeirError(
        { code: 'SEQUENCE_OUT_OF_ORDER', kind: 'restart', transactionalId, expected: next, got: baseSequence },
        `batch ${baseSequence} of ${transactionalId} came where ${next} was expected`,
      )
    }
    const rows = records.map((r): Row =>
      r.headers ? [r.key, r.value, r.timestamp, r.headers] : [r.key, r.value, r.timestamp],
    )
    this.#change({ t: 'append', id: transactionalId, topic, partition, base: baseSequence, at, records: rows })
    return this.#storage.flushed().then(() => at)
  }

  mark(producer: ProducerIdentity & { transactionalId: string }, marker: Marker): Promise<void> {
    this.#current(producer)
    this.#change({ t: 'mark', id: producer.transactionalId, ...marker })
    return this.#storage.sync()
  }

  async end(request: ProducerIdentity & { transactionalId: string }, commit: boolean): Promise<ProducerIdentity> {
    const { transactionalId, producerEpoch, producerId } = request
    const producer = this.#producers.get(transactionalId)
    const last = producer?.last
    if (producer?.pid === producerId && last?.epoch === producerEpoch) {
      if (last.commit !== commit) {
        throw new WeirError(
          { code: last.commit ? 'TRANSACTION_COMMITTED' : 'TRANSACTION_ABORTED', kind: 'restart', transactionalId },
          `the transaction of ${transactionalId} was ${last.commit ? 'committed' : 'aborted'} before`,
        )
      }
      await this.#storage.sync()
      return this.#identity(transactionalId)
    }
    if (this.#current(request).open === null) {
      throw new WeirError(
        { code: 'NO_TRANSACTION', kind: 'restart', transactionalId },
        `${transactionalId} has no open transaction`,
      )
    }
    this.#change({ t: 'end', id: transactionalId, commit })
    await this.#storage.sync()
    this.#wake()
    return this.#identity(transactionalId)
  }

  transactions(prefix: string): Promise<readonly OpenTransactionInfo[]> {
    const open = [...this.#producers].filter(([id, producer]) => id.startsWith(prefix) && producer.open !== null)
    return Promise.resolve(
      open.map(([transactionalId, { pid, epoch, timeoutMs, open }]) => ({
        transactionalId,
        producerId: pid,
        producerEpoch: epoch,
        timeoutMs,
        partitions: [...open!.parts.keys()].map((key) => key.replace(/\/(\d+)$/, '-$1')),
      })),
    )
  }

  outcome(producerId: string, topic: string, partition: number, from: number): Promise<'commit' | 'abort' | 'none'> {
    const { batches } = this.#partition(topic, partition)
    const control = batches.find((b) => b.control !== null && b.pid === producerId && b.offset >= from)
    return Promise.resolve(control?.control ?? 'none')
  }

  marker(group: string): Promise<number | null> {
    for (const { open } of this.#producers.values()) {
      if (!open?.markers.some((m) => m.group === group)) continue
      throw new WeirError({ code: 'MARKER_UNSTABLE', kind: 'retry', group }, `a transaction on ${group} is open`)
    }
    return Promise.resolve(this.#markers.get(group) ?? null)
  }

  async read(request: Parameters<TransactionalLog['read']>[0]): Promise<{ records: ReadRecord[]; nextOffset: number }> {
    const { topic, partition, offset, maxRecords, readCommitted, beyondOpen = false, maxWaitMs } = request
    const { batches, end } = this.#partition(topic, partition)
    const limit = readCommitted && !beyondOpen ? this.#stable(topic, partition) : end
    const undecided = new Set(beyondOpen ? [...this.#producers.values()].flatMap((p) => p.open?.batches ?? []) : [])
    if (offset >= limit && maxWaitMs > 0) {
      await this.#arrival(maxWaitMs)
      return this.read({ ...request, maxWaitMs: 0 })
    }
    const records: ReadRecord[] = []
    let next = offset
    for (let i = firstAt(batches, offset); i < batches.length && records.length < maxRecords; i++) {
      const batch = batches[i]!
      if (batch.offset >= limit) break
      next = batch.offset + batch.count
      if (batch.frame === null || (readCommitted && batch.aborted) || undecided.has(batch)) continue
      const change = packr.unpack(await this.#storage.read(batch.frame)) as Extract<Change, { t: 'append' }>
      const transaction = `${batch.pid}:${batch.epoch}`
      change.records.forEach(([key, value, timestamp, headers], n) => {
        const at = batch.offset + n
        if (at < offset || records.length >= maxRecords) return
        records.push({ key, value, timestamp, offset: at, transaction, ...(headers && { headers }) })
        next = at + 1
      })
    }
    return { records, nextOffset: Math.max(offset, next) }
  }

  /** Aborts transactions that are open for longer than their timeout; call it from time to time. */
  async expire(now = this.#clock.monotonic()): Promise<number> {
    const overdue = [...this.#producers].filter(([, p]) => p.open !== null && p.open.deadlineMs <= now)
    for (const [id] of overdue) this.#change({ t: 'end', id, commit: false })
    if (overdue.length > 0) {
      await this.#storage.sync()
      this.#wake()
    }
    return overdue.length
  }

  close(): Promise<void> {
    this.#wake()
    return this.#storage.close()
  }

  // ---- changes ------------------------------------------------------------------------------------------------------

  #change(change: Change): void {
    this.#apply(change, this.#storage.append(packr.pack(change)))
  }

  #apply(change: Change, frame: FrameRef): void {
    switch (change.t) {
      case 'topic':
        this.#topics.set(
          change.name,
          Array.from({ length: change.partitions }, () => ({ batches: [], end: 0 })),
        )
        return
      case 'init': {
        const { id, pid, epoch, timeoutMs } = change
        this.#nextPid = Math.max(this.#nextPid, Number(pid) + 1)
        this.#producers.set(id, { pid, epoch, timeoutMs, open: null, last: this.#producers.get(id)?.last ?? null })
        return
      }
      case 'append': {
        const producer = this.#producers.get(change.id)!
        const open = (producer.open ??= this.#begin(producer))
        const partition = this.#partition(change.topic, change.partition)
        const count = change.records.length
        const { pid, epoch } = producer
        const batch: Batch = { offset: change.at, count, pid, epoch, frame, control: null, aborted: false }
        partition.batches.push(batch)
        partition.end = change.at + count
        open.batches.push(batch)
        const key = `${change.topic}/${change.partition}`
        const first = open.parts.get(key)?.first ?? change.at
        open.parts.set(key, { first, lastSequence: change.base, lastOffset: change.at, next: change.base + count })
        return
      }
      case 'mark': {
        const producer = this.#producers.get(change.id)!
        const open = (producer.open ??= this.#begin(producer))
        open.markers.push({ group: change.group, sequence: change.sequence })
        return
      }
      case 'end':
        return this.#close(this.#producers.get(change.id)!, change.commit)
    }
  }

  #begin(producer: Producer): Transaction {
    const deadlineMs = this.#clock.monotonic() + producer.timeoutMs
    return { parts: new Map(), batches: [], markers: [], deadlineMs }
  }

  #close(producer: Producer, commit: boolean): void {
    const open = producer.open!
    for (const key of open.parts.keys()) {
      const slash = key.lastIndexOf('/')
      const partition = this.#partition(key.slice(0, slash), Number(key.slice(slash + 1)))
      const control = commit ? ('commit' as const) : ('abort' as const)
      partition.batches.push({
        offset: partition.end,
        count: 1,
        pid: producer.pid,
        epoch: producer.epoch,
        frame: null,
        control,
        aborted: false,
      })
      partition.end++
    }
    if (commit) for (const { group, sequence } of open.markers) this.#markers.set(group, sequence)
    else for (const batch of open.batches) batch.aborted = true
    producer.open = null
    // The epoch grows with every end (KIP-890): a late request of this transaction cannot join the next one.
    producer.last = { epoch: producer.epoch, commit }
    producer.epoch++
  }

  // ---- looking ------------------------------------------------------------------------------------------------------

  #current({ transactionalId, producerId, producerEpoch }: ProducerIdentity & { transactionalId: string }): Producer {
    const producer = this.#producers.get(transactionalId)
    if (producer?.pid === producerId && producer.epoch === producerEpoch) return producer
    throw new WeirError(
      { code: 'PRODUCER_FENCED', kind: 'fenced', transactionalId, producerEpoch, current: producer?.epoch ?? null },
      `${transactionalId} was taken over: epoch ${producerEpoch} is not the current one`,
    )
  }

  #identity(transactionalId: string): ProducerIdentity {
    const { pid, epoch } = this.#producers.get(transactionalId)!
    return { producerId: pid, producerEpoch: epoch }
  }

  #partitions(topic: string): Partition[] {
    const partitions = this.#topics.get(topic)
    if (partitions) return partitions
    throw new WeirError(
      { code: 'UNKNOWN_TOPIC', kind: 'invalid', topic, known: [...this.#topics.keys()] },
      `the log has no topic "${topic}"; it has: ${[...this.#topics.keys()].join(', ') || 'none'}`,
    )
  }

  #partition(topic: string, partition: number): Partition {
    const found = this.#partitions(topic)[partition]
    if (found) return found
    throw new WeirError(
      { code: 'UNKNOWN_TOPIC', kind: 'invalid', topic, partition },
      `no partition ${partition} in ${topic}`,
    )
  }

  /** Everything below it is decided. */
  #stable(topic: string, partition: number): number {
    let stable = this.#partition(topic, partition).end
    for (const { open } of this.#producers.values()) {
      const first = open?.parts.get(`${topic}/${partition}`)?.first
      if (first !== undefined && first < stable) stable = first
    }
    return stable
  }

  #wake(): void {
    const readers = this.#readers
    this.#readers = []
    for (const wake of readers) wake()
  }

  #arrival(maxWaitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(maxWaitMs, resolve)
      this.#readers.push(() => {
        cancel()
        resolve()
      })
    })
  }
}

/** Index of the batch that holds the offset. */
function firstAt(batches: readonly Batch[], offset: number): number {
  let [low, high] = [0, batches.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const batch = batches[middle]!
    if (batch.offset + batch.count <= offset) low = middle + 1
    else high = middle
  }
  return low
}
