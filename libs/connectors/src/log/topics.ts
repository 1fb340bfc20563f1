/** Topics of the embedded log from outside every job. */
import type { StoredRecord, TopicCursor, Topics, TopicsTransaction } from '@weir/dataflow'
import type { AsideRecord } from '@weir/model'
import type { ProducerIdentity, TransactionalLog } from './port.ts'

const READ_RECORDS = 500
/** A transaction whose writer has died stops readers no longer than this. */
const TIMEOUT_MS = 30_000

type Log = Pick<TransactionalLog, 'describe' | 'read' | 'initProducer' | 'append' | 'end'> & { close?(): void }

export class LogTopics implements Topics {
  readonly #log: Log

  /** The log's client is closed with it. */
  constructor(log: Log) {
    this.#log = log
  }

  async *read(topic: string, from: TopicCursor = { partition: 0, offset: 0 }): AsyncGenerator<StoredRecord> {
    const { endOffsets } = await this.#log.describe(topic)
    for (let partition = from.partition; partition < endOffsets.length; partition++) {
      const end = endOffsets[partition]!
      for (let offset = partition === from.partition ? from.offset : 0; offset < end;) {
        const at = { topic, partition, offset, maxRecords: READ_RECORDS }
        const { records, nextOffset } = await this.#log.read({
          ...at,
          readCommitted: true,
          beyondOpen: true,
          maxWaitMs: 0,
        })
        for (const { headers = [], ...record } of records) yield { ...record, headers, partition }
        if (nextOffset <= offset) break
        offset = nextOffset
      }
    }
  }

  async begin(transactionalId: string): Promise<TopicsTransaction> {
    return new LogTransaction(this.#log, transactionalId, await this.#log.initProducer(transactionalId, TIMEOUT_MS))
  }

  close(): Promise<void> {
    this.#log.close?.()
    return Promise.resolve()
  }
}

class LogTransaction implements TopicsTransaction {
  readonly #log: Log
  readonly #transactionalId: string
  #identity: ProducerIdentity
  /** Next sequence by `topic-partition`; empty: nothing is open. */
  #sequences = new Map<string, number>()

  constructor(log: Log, transactionalId: string, identity: ProducerIdentity) {
    this.#log = log
    this.#transactionalId = transactionalId
    this.#identity = identity
  }

  async write(records: readonly AsideRecord[]): Promise<void> {
    const producer = { transactionalId: this.#transactionalId, ...this.#identity }
    for (const { topic, partition: any, ...record } of records) {
      const partition = any % (await this.#log.describe(topic)).endOffsets.length
      const place = `${topic}-${partition}`
      const baseSequence = this.#sequences.get(place) ?? 0
      this.#sequences.set(place, baseSequence + 1)
      await this.#log.append({ ...producer, topic, partition, baseSequence, records: [record] })
    }
  }

  async commit(): Promise<void> {
    if (this.#sequences.size === 0) return
    this.#identity = await this.#log.end({ transactionalId: this.#transactionalId, ...this.#identity }, true)
    this.#sequences = new Map()
  }
}
