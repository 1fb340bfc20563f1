/** The simulated broker as a `TransactionalLog`: what the real LogSink and LogSource talk to. */
import type { LogRecord, ReadRecord, TransactionalLog } from '@weir/connectors'
import { SUSPENDED_MS, WeirError } from '@weir/model'
import {
  CONCURRENT_TRANSACTIONS,
  INVALID_TXN_STATE,
  NONE,
  UNSTABLE_OFFSET_COMMIT,
  sizeOf,
  type ProducerOf,
  type SimKafka,
} from './kafka.ts'
import type { Network } from './network.ts'
import type { Process } from './world.ts'

const CALL_TIMEOUT_MS = 2_000
const RETRY_MS = 15
/** How long "later" is repeated. */
const LATER_MS_MAX = 10_000

interface Identity {
  readonly transactionalId: string
  readonly producerId: string
  readonly producerEpoch: number
}
const producerOf = (i: Identity): ProducerOf => ({ pid: Number(i.producerId), epoch: i.producerEpoch })
const identity = ({ pid, epoch }: ProducerOf) => ({ producerId: String(pid), producerEpoch: epoch })

export class SimLogClient implements TransactionalLog {
  readonly #process: Process
  readonly #network: Network
  readonly #kafka: SimKafka

  constructor(process: Process, network: Network, kafka: SimKafka) {
    this.#process = process
    this.#network = network
    this.#kafka = kafka
  }

  createTopic(): Promise<boolean> {
    throw new Error('not simulated')
  }

  describe(topic: string): Promise<{ endOffsets: number[]; stableOffsets: number[]; openTransactions: number }> {
    return this.#ask(`describe ${topic}`, () => {
      const partitions = Array.from({ length: this.#kafka.partitionCount(topic) }, (_, i) => i)
      return {
        endOffsets: partitions.map((i) => this.#kafka.endOffset(topic, i)),
        stableOffsets: partitions.map((i) => this.#kafka.stableOffset(topic, i)),
        openTransactions: this.#kafka.openTransactions().length,
      }
    })
  }

  async initProducer(
    transactionalId: string,
    timeoutMs: number,
  ): Promise<{ producerId: string; producerEpoch: number }> {
    const handle = (sentAt: number) => this.#kafka.initProducerId(transactionalId, timeoutMs, null, sentAt)
    const answer = await this.#patiently(`InitProducerId ${transactionalId}`, handle, SUSPENDED_MS)
    if (answer.errorCode !== NONE) throw refused('InitProducerId', transactionalId, answer.errorCode)
    return identity(answer)
  }

  async append(request: Parameters<TransactionalLog['append']>[0]): Promise<number> {
    const { transactionalId: id, topic, partition, baseSequence: sequence } = request
    const records = request.records.map(copied)
    const answer = await this.#patiently(`Produce ${id}`, () =>
      this.#kafka.produce(id, producerOf(request), { topic, partition, sequence }, records),
    )
    if (answer.errorCode !== NONE) throw refused('Produce', id, answer.errorCode)
    return answer.offset
  }

  async mark(producer: Identity, marker: { readonly group: string; readonly sequence: number }): Promise<void> {
    const { transactionalId: id } = producer
    const { group, sequence } = marker
    const answer = await this.#patiently(`TxnOffsetCommit ${id}`, () =>
      this.#kafka.txnOffsetCommit(id, producerOf(producer), group, sequence, ''),
    )
    if (answer.errorCode !== NONE) throw refused('TxnOffsetCommit', id, answer.errorCode)
  }

  async end(producer: Identity, commit: boolean): Promise<{ producerId: string; producerEpoch: number }> {
    const { transactionalId: id } = producer
    const answer = await this.#patiently(`EndTxn ${id}`, () => this.#kafka.endTxn(id, producerOf(producer), commit))
    if (answer.errorCode !== NONE) throw refused('EndTxn', id, answer.errorCode)
    return identity(answer)
  }

  outcome(producerId: string, topic: string, partition: number, from: number): Promise<'commit' | 'abort' | 'none'> {
    return this.#ask(`outcome ${producerId}`, () => {
      const control = this.#kafka
        .batches(topic, partition, from, false)
        .find((b) => b.records === null && b.pid === Number(producerId) && b.offset >= from)
      return control === undefined ? 'none' : control.commit ? 'commit' : 'abort'
    })
  }

  async marker(group: string): Promise<number | null> {
    const { errorCode, offset } = await this.#ask(`OffsetFetch ${group}`, () => this.#kafka.offsetFetch(group, true))
    if (errorCode === UNSTABLE_OFFSET_COMMIT)
      throw new WeirError({ code: 'MARKER_UNSTABLE', kind: 'retry', group }, `a transaction on ${group} is open`)
    return offset
  }

  transactions(prefix: string): ReturnType<TransactionalLog['transactions']> {
    return this.#ask(`ListTransactions ${prefix}`, () =>
      this.#kafka
        .openTransactions()
        .filter((t) => t.transactionalId.startsWith(prefix))
        .map(({ transactionalId, pid, epoch }) => {
          return { transactionalId, ...identity({ pid, epoch }), timeoutMs: 0, partitions: [] }
        }),
    )
  }

  read(request: Parameters<TransactionalLog['read']>[0]): ReturnType<TransactionalLog['read']> {
    const { topic, partition, offset, maxRecords, readCommitted } = request
    return this.#ask(`Fetch ${topic}-${partition}@${offset}`, () => {
      const records: ReadRecord[] = []
      let next = offset
      for (const batch of this.#kafka.batches(topic, partition, offset, readCommitted)) {
        if (records.length >= maxRecords) break
        next = batch.offset + sizeOf(batch)
        if (batch.records === null || (readCommitted && this.#kafka.isAborted(topic, partition, batch))) continue
        for (const [i, record] of batch.records.entries()) {
          if (batch.offset + i < offset || records.length >= maxRecords) continue
          records.push({ ...record, offset: batch.offset + i, transaction: `${batch.pid}:${batch.epoch}` })
          next = batch.offset + i + 1
        }
      }
      return { records, nextOffset: Math.max(offset, next) }
    })
  }

  /** @param oversleptMsMax as in libs/kafka/src/lane.ts: who has stood still takes no id over */
  async #patiently<T extends { errorCode: number }>(
    what: string,
    handle: (sentAt: number) => T,
    oversleptMsMax = Infinity,
  ): Promise<T> {
    const { clock, world } = this.#process
    const deadline = clock.monotonic() + LATER_MS_MAX
    for (;;) {
      const sentAt = world.now
      const answer = await this.#ask(what, () => handle(sentAt))
      if (answer.errorCode !== CONCURRENT_TRANSACTIONS) return answer
      if (clock.monotonic() >= deadline) throw away(what, 'still ending')
      const sleptAt = clock.monotonic()
      await clock.sleep(RETRY_MS)
      if (clock.monotonic() - sleptAt - RETRY_MS >= oversleptMsMax) throw away(what, 'this process stood still')
    }
  }

  async #ask<T>(what: string, handle: () => T): Promise<T> {
    try {
      return await this.#network.call(this.#process, this.#kafka, what, CALL_TIMEOUT_MS, handle)
    } catch (error) {
      throw away(what, (error as Error).message)
    }
  }
}

const away = (what: string, why: string): WeirError =>
  new WeirError({ code: 'LOG_UNREACHABLE', kind: 'restart' }, `${what}: ${why}`)

const refused = (request: string, id: string, errorCode: number): WeirError =>
  new WeirError(
    {
      code: errorCode === INVALID_TXN_STATE ? 'NO_TRANSACTION' : 'PRODUCER_FENCED',
      kind: errorCode === INVALID_TXN_STATE ? 'restart' : 'fenced',
      transactionalId: id,
      errorCode,
    },
    `${request} of ${id} was refused with ${errorCode}`,
  )

const copied = ({ key, value, timestamp }: LogRecord) => ({
  key: key && Buffer.from(key),
  value: value && Buffer.from(value),
  timestamp,
})
