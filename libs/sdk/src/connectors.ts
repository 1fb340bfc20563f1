/** Connectors as descriptors: plain data and codecs. The task-manager binds the adapter. */
import {
  OFFSET_POLICIES,
  type ConnectorDescriptor,
  type CustomWatermarks,
  type Decode,
  type Encode,
  type EncodeHeaders,
  type KeyOf,
  type OffsetPolicy,
  type OpenDecoding,
  type OpenEncoding,
  type OutputRecord,
  type SinkHeader,
} from '@weir/dataflow'
import { WeirError, type Key } from '@weir/model'
import type { Codec } from './codecs/codec.ts'
import { encodeJson } from './codecs/json.ts'
import { durationMs, type Duration } from './duration.ts'
import type { WatermarkStrategy } from './watermarks.ts'

export interface Source<T> {
  readonly descriptor: ConnectorDescriptor
  readonly decode: Decode | null
  /** For tests, which write what is read here. */
  readonly encode?: (value: never) => string | Uint8Array | null
  readonly encodeHeaders?: EncodeHeaders | undefined
  /** For tests, which write what is read here. */
  readonly openEncoder?: OpenEncoding | undefined
  readonly openDecoder?: OpenDecoding | undefined
  readonly timestamp: ((value: T) => number) | null
  readonly outOfOrderMs: number
  readonly watermarks?: CustomWatermarks<T, unknown> | null
  readonly idleAfterMs?: number | null
  readonly alignWithinMs?: number | null
  readonly alignGroup?: string | null
  readonly recordsPerSecond: number | null
  readonly minRecordsPerSecond?: number | null
  /** Name in the graph, unless `flow.from` gives another. */
  readonly uid?: string
}
export interface Sink<T> {
  readonly descriptor: ConnectorDescriptor
  readonly keyOf?: KeyOf | undefined
  readonly encodeKey: Encode
  readonly encodeValue: (value: T, record?: OutputRecord) => string | Uint8Array | null
  /** For tests, which read what is written here. */
  readonly decode?: Decode | undefined
  readonly encodeHeaders?: EncodeHeaders | undefined
  readonly openEncoder?: OpenEncoding | undefined
  /** For tests, too. */
  readonly openDecoder?: OpenDecoding | undefined
  readonly origins?: boolean | undefined
}

export interface TopicOptions<T> {
  readonly value: Codec<T, never>
  /** Event time in ms; default: the record's own timestamp. */
  readonly timestamp?: (value: T) => number
  /** Watermark = highest timestamp − this. Default 0. */
  readonly outOfOrder?: Duration
  /** The same as a number of ms; give one of the two. */
  readonly outOfOrderMs?: number
  /** Instead of `outOfOrder`: `boundedOutOfOrderness('5s')`, `monotonous()`, `customWatermarks({ … })`. */
  readonly watermarks?: WatermarkStrategy<T>
  /**
   * A partition that has had no record for so long (of time in which it was read) no longer holds the event time of the others
   * back; `weir_source_idle_splits` counts such. When it has records again it counts again, and those from before what event
   * time has come to meanwhile are late. An outage of the source that lasts longer looks the same. Not before '100ms'.
   * Default: a partition without records is waited for until it ends.
   */
  readonly idleAfter?: Duration
  /**
   * A partition that is further ahead of the slowest than this, in event time, is not read until the slowest comes up: state
   * that waits for the slow ones (windows, joins) stays bounded when a backlog is read. Across subtasks by what the
   * job-manager announces every second; a lead may be longer by what one read has. Who has had no records for `idleAfter`, or a
   * second, is not waited for.
   */
  readonly alignWithin?: Duration
  /** Sources with the same name here wait for each other's partitions, too: the two sides of a join. */
  readonly alignGroup?: string
  readonly startFrom?: 'earliest' | 'latest'
  /** `latest`: bounded, the job finishes at the end the topic had at its first start. */
  readonly until?: 'none' | 'latest'
  /** Upper bound over all subtasks. */
  readonly recordsPerSecond?: number
  /**
   * As far as the rate may be lowered while what lies behind cannot follow (reads downstream above 200 ms, 15 % of the
   * reservations of 10 s, a late event loop), and raised again when it can. Default: the rate is fixed.
   */
  readonly minRecordsPerSecond?: number
  readonly uid?: string
}

export interface KafkaTopicOptions<T> extends TopicOptions<T> {
  /**
   * When the job's offset is not in the log any more (retention, DeleteRecords, a topic made anew). `fail` (default): the
   * job stops and says how many records are missing. `earliest`, `latest`: it goes on there, and its view, its alerts, the
   * log and the metric `weir_source_gap_records` say what was chosen and how many records lie in the gap.
   */
  readonly outOfRange?: OffsetPolicy
}

export interface SinkOptions<T> {
  /**
   * The key of a record, of its value: text, a finite number, or null for none. Default: the key of the stream (`keyBy`), and none
   * where it has none, since sources hand out no keys.
   */
  readonly keyOf?: (value: T) => Key | null
  /**
   * Bytes of a record's key; default: its text. Null: no key. Or a codec, e.g. of a schema registry, whose subject is `<topic>-key`
   * then: `key: registry.avro({ type: 'string' })`.
   */
  readonly key?: Encode | Codec<unknown, never>
  readonly value?: Codec<unknown, T>
  /** Written with every record, behind those the codec itself writes. Text as UTF-8. */
  readonly headers?: (value: T, record: OutputRecord) => readonly SinkHeader[]
  /**
   * When the broker aborts output of a published epoch (nobody ended its transaction inside `transactionTimeoutMs`).
   * `heal` (default): it is written again from a copy in the object store, exactly once and in order. `fail`: no copy is
   * kept, and the job stops saying what is missing.
   */
  readonly onLost?: 'heal' | 'fail'
}

/** What topics have in common, whoever keeps them. */
function topicSource<T>(descriptor: ConnectorDescriptor, options: TopicOptions<T>): Source<T> {
  const { value, timestamp = null, outOfOrder, outOfOrderMs, watermarks, recordsPerSecond = null, uid } = options
  const { idleAfter, alignWithin, alignGroup, minRecordsPerSecond } = options
  if ([outOfOrder, outOfOrderMs, watermarks].filter((given) => given !== undefined).length > 1) {
    throw new WeirError(
      { code: 'OPTION_INVALID', kind: 'invalid', option: 'outOfOrder', topic: descriptor['topic'] },
      `topic "${String(descriptor['topic'])}": outOfOrder, outOfOrderMs and watermarks are the same setting; give one of them`,
    )
  }
  return {
    descriptor,
    decode: value.decode,
    encode: value.encode,
    encodeHeaders: value.headers as EncodeHeaders | undefined,
    openDecoder: value.openDecoder,
    openEncoder: value.openEncoder,
    timestamp,
    outOfOrderMs: watermarks?.outOfOrderMs ?? (outOfOrder === undefined ? (outOfOrderMs ?? 0) : durationMs(outOfOrder)),
    ...(watermarks?.custom && { watermarks: watermarks.custom }),
    ...(idleAfter !== undefined && { idleAfterMs: durationMs(idleAfter) }),
    ...(alignWithin !== undefined && { alignWithinMs: durationMs(alignWithin) }),
    ...(alignGroup !== undefined && { alignGroup }),
    recordsPerSecond,
    ...(minRecordsPerSecond !== undefined && { minRecordsPerSecond }),
    uid,
  }
}

/** Keys as text, values by the codec, JSON where none is given. */
function topicSink<T>(descriptor: ConnectorDescriptor, options: SinkOptions<T>): Sink<T> {
  const { keyOf, key, value, headers, onLost = 'heal' } = options
  if (onLost !== 'heal' && onLost !== 'fail') {
    throw new WeirError(
      { code: 'OPTION_INVALID', kind: 'invalid', option: 'onLost', topic: descriptor['topic'], value: onLost },
      `sink "${String(descriptor['topic'])}": onLost is "heal" (write lost output again) or "fail" (stop the job), not ${JSON.stringify(onLost)}`,
    )
  }
  return {
    descriptor: onLost === 'heal' ? descriptor : { ...descriptor, onLost },
    ...(keyOf && { keyOf: keyOf as KeyOf }),
    encodeKey: keyEncoder(key),
    encodeValue: value?.encode ?? encodeJson,
    decode: value?.decode,
    encodeHeaders: bothHeaders(value?.headers, headers),
    openEncoder: openEncoderOf(options),
    openDecoder: value?.openDecoder,
    origins: value?.origins,
  }
}

const ifAny =
  (encode: Encode): Encode =>
  (key) =>
    key === null ? null : encode(key)

function keyEncoder(key: SinkOptions<never>['key'] = String): Encode {
  if (typeof key === 'function') return key === String ? ifAny(String) : key
  if (key.headers === undefined) return ifAny(key.encode as Encode)
  throw new WeirError(
    { code: 'OPTION_INVALID', kind: 'invalid', option: 'key' },
    'the codec of a key writes headers; those of a record are its value’s',
  )
}

/** Undefined: neither codec has to be opened. */
function openEncoderOf<T>({ key, value, headers }: SinkOptions<T>): OpenEncoding | undefined {
  const openKey = typeof key === 'object' ? key.openEncoder : undefined
  if (openKey === undefined && value?.openEncoder === undefined) return undefined
  return async (context) => {
    const own = value?.openEncoder
      ? await value.openEncoder(context)
      : { encode: (value?.encode ?? encodeJson) as Encode, headers: value?.headers as EncodeHeaders | undefined }
    const ownKey = openKey && (await openKey({ ...context, part: 'key' }))
    return {
      encode: own.encode,
      headers: bothHeaders(own.headers, headers),
      key: ownKey && ifAny(ownKey.encode),
    }
  }
}

type Headers<T> = ((value: T, record: OutputRecord) => readonly SinkHeader[]) | undefined

function bothHeaders<T>(codec: Headers<T>, sink: Headers<T>): EncodeHeaders | undefined {
  if (codec === undefined || sink === undefined) return (codec ?? sink) as EncodeHeaders | undefined
  return (value, record) => [...codec(value as T, record), ...sink(value as T, record)]
}

export const kafka = {
  topic<T>(topic: string, options: KafkaTopicOptions<T>): Source<T> {
    const { startFrom = 'earliest', until = 'none', outOfRange = 'fail' } = options
    if (!OFFSET_POLICIES.includes(outOfRange)) {
      throw new WeirError(
        { code: 'OPTION_INVALID', kind: 'invalid', option: 'outOfRange', topic, value: outOfRange },
        `topic "${topic}": outOfRange is one of ${OFFSET_POLICIES.join(', ')}, not ${JSON.stringify(outOfRange)}`,
      )
    }
    const descriptor = { connector: 'kafka', topic, startFrom, until, isolation: 'read_committed' }
    return topicSource(outOfRange === 'fail' ? descriptor : { ...descriptor, outOfRange }, options)
  },
  /** Keys are written as text; values by the codec, JSON when there is none. */
  sink<T = unknown>(topic: string, options: SinkOptions<T> = {}): Sink<T> {
    return topicSink({ connector: 'kafka', topic }, options)
  },
}

/** The embedded transactional log of `weir dev` and the demo: the same options, no server. */
export const log = {
  topic<T>(topic: string, options: TopicOptions<T>): Source<T> {
    const { startFrom = 'earliest', until = 'none' } = options
    return topicSource({ connector: 'log', topic, startFrom, until }, options)
  },
  sink<T = unknown>(topic: string, options: SinkOptions<T> = {}): Sink<T> {
    return topicSink({ connector: 'log', topic }, options)
  },
}

/** A generated payment; money in minor units. */
export interface Payment {
  readonly id: string
  readonly user: string
  readonly amountMinor: number
  readonly status: 'PAID' | 'FAILED'
  /** Event time, ms since 1970. */
  readonly ts: number
}

export interface PaymentsOptions {
  /** Partitions of the generated stream. Default 4. */
  readonly splits?: number
  /** Null (default): without end. */
  readonly recordsPerSplit?: number | null
  /** How many users pay. Default 1,000. */
  readonly users?: number
  /** 0 … 100. Default 80. */
  readonly paidPercent?: number
  /** Event time of the first record, ms. Default: 1 January 2026, so that every run makes the same records. */
  readonly startTs?: number
  /** Event time between two records of a split, ms. Default 10. */
  readonly stepMs?: number
  readonly seed?: number
  readonly recordsPerSecond?: number
  /** As that of a topic. */
  readonly minRecordsPerSecond?: number
  readonly uid?: string
}

/** Records that are a function of (seed, split, offset): made again after a restart, they are the same. */
export const datagen = {
  /** Throws `OPTION_INVALID` (invalid) naming the option. */
  payments(options: PaymentsOptions = {}): Source<Payment> {
    const { splits = 4, recordsPerSplit = null, users = 1_000, paidPercent = 80, uid } = options
    const { startTs = Date.UTC(2026, 0, 1), stepMs = 10, seed = 1, recordsPerSecond = null } = options
    const { minRecordsPerSecond } = options
    whole('splits', splits, 1, 1_024)
    if (recordsPerSplit !== null) whole('recordsPerSplit', recordsPerSplit, 0, Number.MAX_SAFE_INTEGER)
    whole('users', users, 1, 100_000_000)
    whole('paidPercent', paidPercent, 0, 100)
    whole('startTs', startTs, 0, 8_640_000_000_000_000)
    whole('stepMs', stepMs, 0, 86_400_000)
    whole('seed', seed, 0, 0xffff_ffff)
    return {
      descriptor: {
        connector: 'datagen',
        generator: 'payments',
        splits,
        recordsPerSplit,
        users,
        paidPercent,
        startTs,
        stepMs,
        seed,
      },
      decode: null,
      timestamp: (payment) => payment.ts,
      outOfOrderMs: 0,
      recordsPerSecond,
      ...(minRecordsPerSecond !== undefined && { minRecordsPerSecond }),
      uid,
    }
  },
}

function whole(option: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new WeirError(
    { code: 'OPTION_INVALID', kind: 'invalid', option, got: value },
    `datagen.payments: ${option} is ${value}; it must be a whole number from ${min} to ${max}`,
  )
}
