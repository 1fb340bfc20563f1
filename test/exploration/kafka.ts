/**
 * One sink subtask's corner of a Kafka cluster: the coordinator of its transactional ids (transactions v2), the log its
 * records go to, and the commit marker. Values are replaced, never changed.
 *
 * A transaction holds the chunk of one cut. Records lie in the log from the first write on; the control record is kept
 * as the `status` of the transaction's records, since the first control record of a producer behind a record is always
 * that of the record's own transaction.
 */
export interface TransactionalId {
  /** Producer epoch. v2: every end of a transaction and every InitProducerId raises it. */
  readonly epoch: number
  readonly state: 'empty' | 'open' | 'committed'
  /** Sequence in the open transaction's TxnOffsetCommit; null = not marked yet. */
  readonly marking: number | null
}

export interface LogRecord {
  readonly chunk: number
  readonly id: number
  readonly status: 'open' | 'commit' | 'abort'
}

export interface KafkaSubtask {
  readonly ids: readonly TransactionalId[]
  /** In physical order; the index is the offset. */
  readonly log: readonly LogRecord[]
  /** Offsets before it are deleted by retention; their records stay here for the checks. */
  readonly logStart: number
  /** Committed offset of the marker's group. */
  readonly marker: number | null
}

export type Control = 'commit' | 'abort' | 'none' | 'gone'

export const freshKafka = (ids: number): KafkaSubtask => ({
  ids: Array.from({ length: ids }, () => ({ epoch: 0, state: 'empty' as const, marking: null })),
  log: [],
  logStart: 0,
  marker: null,
})

/** Aborts what is open and raises the epoch: every holder of the old one is fenced. `epoch` null is the blank form. */
export function initProducerId(kafka: KafkaSubtask, id: number, epoch: number | null): KafkaSubtask | 'refused' {
  const { epoch: present } = kafka.ids[id]!
  return epoch !== null && epoch !== present ? 'refused' : aborted(kafka, id)
}

/** The broker's transaction timeout: as if somebody had called InitProducerId. */
export const expire = (kafka: KafkaSubtask, id: number): KafkaSubtask => aborted(kafka, id)

function aborted(kafka: KafkaSubtask, id: number): KafkaSubtask {
  const { epoch, state } = kafka.ids[id]!
  const next = withId(kafka, id, { epoch: epoch + 1, state: 'empty', marking: null })
  return state === 'open' ? { ...next, log: decided(kafka.log, id, 'abort') } : next
}

/**
 * The first batch of a transaction. `dropped`: another attempt has begun a transaction under the same epoch, the broker
 * takes the batch for a repeat, acknowledges it and throws it away (PROTOCOL A12).
 */
export function produce(
  kafka: KafkaSubtask,
  id: number,
  epoch: number,
  chunks: readonly number[],
): { kafka: KafkaSubtask; offset: number } | 'refused' | 'dropped' {
  const present = kafka.ids[id]!
  if (present.epoch !== epoch) return 'refused'
  if (present.state === 'open') return 'dropped'
  const log = [...kafka.log, ...chunks.map((chunk) => ({ chunk, id, status: 'open' as const }))]
  return { kafka: { ...withId(kafka, id, { epoch, state: 'open', marking: null }), log }, offset: kafka.log.length }
}

/** TxnOffsetCommit of the marker. */
export function mark(kafka: KafkaSubtask, id: number, epoch: number, sequence: number): KafkaSubtask | 'refused' {
  const present = kafka.ids[id]!
  if (present.epoch !== epoch || present.state !== 'open') return 'refused'
  return withId(kafka, id, { ...present, marking: sequence })
}

/** EndTxn(commit). Answers with the next epoch; a repeat of the one that was applied last is a success again. */
export function endTxn(kafka: KafkaSubtask, id: number, epoch: number): KafkaSubtask | 'refused' {
  const present = kafka.ids[id]!
  if (present.state === 'committed' && present.epoch === epoch + 1) return kafka
  if (present.state !== 'open' || present.epoch !== epoch) return 'refused'
  const next = withId(kafka, id, { epoch: epoch + 1, state: 'committed', marking: null })
  return { ...next, log: decided(kafka.log, id, 'commit'), marker: present.marking ?? kafka.marker }
}

export function controlRecord(kafka: KafkaSubtask, offset: number): Control {
  if (offset < kafka.logStart) return 'gone'
  const record = kafka.log[offset]
  return record === undefined || record.status === 'open' ? 'none' : record.status
}

export const isOpen = (kafka: KafkaSubtask, id: number): boolean => kafka.ids[id]!.state === 'open'

const withId = (kafka: KafkaSubtask, id: number, to: TransactionalId): KafkaSubtask => ({
  ...kafka,
  ids: kafka.ids.map((present, i) => (i === id ? to : present)),
})

const decided = (log: readonly LogRecord[], id: number, status: 'commit' | 'abort'): readonly LogRecord[] =>
  log.map((record) => (record.id === id && record.status === 'open' ? { ...record, status } : record))
