/** Topics of one server seen from outside every job: what a janitor reads and writes for people. */
import type { AsideRecord, TopicRecord } from '@weir/model'

export interface StoredRecord extends TopicRecord {
  readonly partition: number
  readonly offset: number
  /** Which transaction it came in: the same for all its records in all topics, of no other one. */
  readonly transaction: string
}

/** A place between two records. */
export interface TopicCursor {
  readonly partition: number
  /** Of the next record. */
  readonly offset: number
}

export interface Topics {
  /**
   * Every committed record that is in the topic now, partition after partition, each in order. Also those behind a
   * transaction that is still open, where a reader with `read_committed` stops: a running job has one open nearly always.
   * Throws `UNKNOWN_TOPIC` (invalid), kind `retry` when a server is away.
   */
  read(topic: string, from?: TopicCursor): AsyncIterable<StoredRecord>
  /** Takes the id over: what it has left open is aborted and decided when this resolves, and its holder is fenced. */
  begin(transactionalId: string): Promise<TopicsTransaction>
  close(): Promise<void>
}

/** One transaction after the other. */
export interface TopicsTransaction {
  write(records: readonly AsideRecord[]): Promise<void>
  /** Nothing written: nothing is done. Throws `PRODUCER_FENCED` when somebody else has begun under the id. */
  commit(): Promise<void>
}
