/** Records of one partition as the job reads them: by its own source, from one offset to another. Nothing is committed by that. */
import type { Manifest } from '@weir/checkpoint'
import { LogClient, LogSource, PaymentsSource, paymentsOptions } from '@weir/connectors'
import {
  batchOf,
  countOf,
  offsetAt,
  type SourceBatch,
  type SourceNode,
  type SourceReader,
  type SourceState,
} from '@weir/dataflow'
import { KafkaConnections, KafkaSource, kafkaSecurity, type KafkaSourceOptions } from '@weir/kafka'
import { WeirError, asWeirError, attempt, generation, jobId, subtask, type Clock } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { usage } from '../usage.ts'

/** Connectors whose records have a partition and an offset by which they are found again. */
const ADDRESSED = ['kafka', 'log', 'datagen']
/** How long a record is waited for that the log does not show (it is not written, or not committed), ms. */
const RECORD_WAIT_MS = 10_000
const RECORDS_AT_ONCE = 1_000
/** Longest time until the log has answered at first, ms. */
const OPEN_MS_MAX = 30_000

/** Throws `DEBUG_SOURCE_UNKNOWN`, `DEBUG_SOURCE_AMBIGUOUS`, `DEBUG_SOURCE_NOT_A_LOG` (invalid), naming those there are. */
export function sourceOf(
  nodes: readonly SourceNode[],
  by: { readonly uid: string | undefined; readonly topic: string | undefined },
): SourceNode {
  const { uid, topic } = by
  const fits = nodes.filter(
    (node) => (uid === undefined || node.uid === uid) && (topic === undefined || node.descriptor['topic'] === topic),
  )
  const [found, other] = fits
  const sources = nodes.map((node) => `${node.uid} (${placeOf(node)})`)
  if (found === undefined) {
    throw new WeirError(
      { code: 'DEBUG_SOURCE_UNKNOWN', kind: 'invalid', ...by, sources },
      `the job has no such source; it has ${sources.join(', ')}: give --source UID or --topic TOPIC of one of them`,
    )
  }
  if (other !== undefined) {
    throw new WeirError(
      { code: 'DEBUG_SOURCE_AMBIGUOUS', kind: 'invalid', ...by, sources },
      `which source is the record of? ${sources.join(', ')}: give --source UID`,
    )
  }
  if (ADDRESSED.includes(found.descriptor.connector)) return found
  throw new WeirError(
    { code: 'DEBUG_SOURCE_NOT_A_LOG', kind: 'invalid', uid: found.uid, connector: found.descriptor.connector },
    `"${found.uid}" reads from ${found.descriptor.connector}, where a record has no partition and offset; one can be replayed from: ${ADDRESSED.join(', ')}`,
  )
}

const placeOf = ({ descriptor }: SourceNode): string =>
  typeof descriptor['topic'] === 'string' ? descriptor['topic'] : descriptor.connector

/** Of the next record a checkpoint has not read of the partition; null: it has not seen the partition. */
export function positionIn({ subtasks }: Manifest, uid: string, partition: number): number | null {
  for (const { sources } of subtasks) {
    const state = (sources[uid] ?? {}) as SourceState
    const bySplit = (state['partitions'] ?? state) as Readonly<Record<string, unknown>>
    const at = bySplit[partition]
    if (at === undefined) continue
    return Number(typeof at === 'object' && at !== null ? (at as { offset: unknown }).offset : at)
  }
  return null
}

export interface RecordPlace {
  readonly source: SourceNode
  readonly partition: number
  /** Of the first record wanted, and behind the last. */
  readonly from: number
  readonly to: number
  /** `last`: there must be a record right before `to`. `some`: as far as there are records, markers have offsets too. */
  readonly wanted: 'last' | 'some'
}

export interface RecordDeps {
  /** host:port,… */
  readonly kafka: string | undefined
  /** host:port of the embedded log. */
  readonly log: string | undefined
  readonly env: NodeJS.ProcessEnv
  readonly clock?: Clock
}

/**
 * In order, the last one alone in its batch. Throws `DEBUG_PARTITION_UNKNOWN`, `DEBUG_OFFSET_GONE`, `DEBUG_OFFSET_NOT_WRITTEN`,
 * `DEBUG_NO_RECORD` (invalid), and what the server refuses.
 */
export async function* recordsOf(place: RecordPlace, deps: RecordDeps): AsyncGenerator<SourceBatch> {
  const { source, partition, to, wanted } = place
  const { clock = systemClock } = deps
  const ended = new AbortController()
  const { reader, position, isThere, close } = readerOf(place, deps, ended.signal)
  try {
    const opening = isThere().then((there) => (there ? reader.open(position, null) : []))
    const splits = await within(clock, opening).catch((thrown: unknown) => {
      const error = asWeirError(thrown, 'DEBUG_READ_FAILED', 'retry')
      throw error.code === 'OFFSET_OUT_OF_RANGE' ? gone(place, error) : error
    })
    if (!splits.includes(partition)) {
      throw new WeirError(
        { code: 'DEBUG_PARTITION_UNKNOWN', kind: 'invalid', source: source.uid, partition },
        `${placeOf(source)} has no partition ${partition}`,
      )
    }
    let last = -1
    const until = clock.monotonic() + RECORD_WAIT_MS
    while (last < to - 1) {
      const polled = await reader.poll(RECORDS_AT_ONCE)
      if (polled === 'idle') {
        if (clock.monotonic() > until) throw notWritten(place)
      } else if (polled === 'end' || polled.kind === 'split-end') break
      else {
        const batch = upTo(polled, to)
        const count = countOf(batch)
        if (count === 0) break // a generator has no end
        last = offsetAt(batch, count - 1)
        if (last === to - 1 && count > 1) {
          yield batchOf(batch, 0, count - 1)
          yield batchOf(batch, count - 1, count)
        } else yield batch
      }
    }
    if (wanted === 'last' && last !== to - 1) throw noRecord(place)
  } finally {
    ended.abort()
    await reader.close()
    await close()
  }
}

function upTo(batch: SourceBatch, to: number): SourceBatch {
  let count = countOf(batch)
  while (count > 0 && offsetAt(batch, count - 1) >= to) count--
  return batchOf(batch, 0, count)
}

/** A server that does not answer is one that cannot be reached. Throws `DEBUG_UNREACHABLE` (retry). */
async function within<T>(clock: Clock, opening: Promise<T>): Promise<T> {
  const answered = new AbortController()
  const tooLate = clock.sleep(OPEN_MS_MAX, answered.signal).then(() => {
    throw new WeirError(
      { code: 'DEBUG_UNREACHABLE', kind: 'retry', waitedMs: OPEN_MS_MAX },
      `the log did not answer within ${OPEN_MS_MAX / 1_000} s: is it the address of the fleet's own, as this machine reaches it?`,
    )
  })
  tooLate.catch(() => {}) // thrown by the race, or nobody waits any more
  try {
    return await Promise.race([opening, tooLate])
  } finally {
    answered.abort()
  }
}

interface OpenReader {
  readonly reader: SourceReader
  readonly position: SourceState
  /** Is there such a partition? A source would wait for it. */
  isThere(): Promise<boolean>
  close(): Promise<void>
}

function readerOf({ source, partition, from, to }: RecordPlace, deps: RecordDeps, signal: AbortSignal): OpenReader {
  const { descriptor, uid } = source
  const { clock = systemClock, env } = deps
  const context = {
    ...{ operatorUid: uid, signal, maxParallelism: PARTITIONS_MAX, parallelism: PARTITIONS_MAX },
    // The subtask of just this partition.
    subtask: subtask(partition),
    jobId: jobId('debug'),
    attempt: { generation: generation(0), attempt: attempt(0) },
  }
  const topic = String(descriptor['topic'])
  const nothing = (): Promise<void> => Promise.resolve()
  const always = (): Promise<boolean> => Promise.resolve(true)
  switch (descriptor.connector) {
    case 'kafka': {
      if (!deps.kafka) throw usage(`"${uid}" reads from Kafka: give --kafka HOST:PORT,… or WEIR_KAFKA_BROKERS`)
      const of = { brokers: deps.kafka.split(','), clientId: 'weir-debug', security: kafkaSecurity(env) }
      const kafka = new KafkaConnections(of, { clock })
      const isolation = (descriptor['isolation'] ?? 'read_committed') as KafkaSourceOptions['isolation']
      const options: KafkaSourceOptions = {
        topic,
        isolation,
        startFrom: 'earliest',
        until: 'latest',
        outOfRange: 'fail',
      }
      const position = { partitions: { [partition]: { offset: String(from), end: String(to) } } }
      const isThere = async (): Promise<boolean> => {
        await kafka.connect()
        return (await kafka.partitions(topic)).includes(partition)
      }
      return {
        reader: new KafkaSource(options, { context, kafka, clock }),
        position,
        isThere,
        close: () => kafka.close(),
      }
    }
    case 'log': {
      if (!deps.log)
        throw usage(`"${uid}" reads from the embedded log: set WEIR_LOG (host:port), as \`weir dev\` tells it`)
      const log = new LogClient(deps.log)
      const reader = new LogSource({ topic, startFrom: 'earliest', until: 'latest' }, { context, log, clock })
      const close = (): Promise<void> => {
        log.close()
        return Promise.resolve()
      }
      return { reader, position: { [partition]: { offset: from, end: to } }, isThere: always, close }
    }
    default: {
      const reader = new PaymentsSource(paymentsOptions(descriptor), { context, clock })
      return { reader, position: { [partition]: from }, isThere: always, close: nothing }
    }
  }
}
const PARTITIONS_MAX = 1_000_000

const at = ({ source, partition, to }: RecordPlace): string => `${placeOf(source)}-${partition} at offset ${to - 1}`

const gone = ({ source, partition, from }: RecordPlace, cause: WeirError): WeirError => {
  const { logStart, logEnd } = cause.facts
  const holds = logStart === undefined ? `ends at ${String(logEnd)}` : `holds ${String(logStart)} to ${String(logEnd)}`
  return new WeirError(
    { code: 'DEBUG_OFFSET_GONE', kind: 'invalid', source: source.uid, partition, offset: from, logStart, logEnd },
    `${placeOf(source)}-${partition} ${holds}, so there is no record at offset ${from}: it was deleted, or is not written yet`,
    { cause },
  )
}

const notWritten = (place: RecordPlace): WeirError =>
  new WeirError(
    { code: 'DEBUG_OFFSET_NOT_WRITTEN', kind: 'invalid', source: place.source.uid, partition: place.partition },
    `there was no record for ${RECORD_WAIT_MS / 1_000} s in ${at(place)}: it is not written yet, or its transaction has not been committed`,
  )

const noRecord = (place: RecordPlace): WeirError =>
  new WeirError(
    { code: 'DEBUG_NO_RECORD', kind: 'invalid', source: place.source.uid, partition: place.partition },
    `no reader sees a record in ${at(place)}: it is a marker of a transaction, was aborted, or was compacted away; the job has not read one there`,
  )
