/** The requests Weir sends itself, with the grammar of each above it. All are flexible: they end in tagged fields. */
import { Reader, Writer } from './bytes.ts'
import { mustWait } from './errors.ts'

/** What kafkajs' connection sends: key, version, payload behind the header, and how to read the answer. */
export interface ApiCall<T> {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly payload: Buffer
  readonly read: (r: Reader) => T
}

export const call = <T>(
  apiName: string,
  apiKey: number,
  apiVersion: number,
  w: Writer,
  read: (r: Reader) => T,
): ApiCall<T> => ({
  apiName,
  apiKey,
  apiVersion,
  // A flexible request header ends in a tag byte that kafkajs does not write: it leads our payload instead.
  payload: Buffer.concat([Buffer.of(0), w.done()]),
  read: (r) => {
    r.tags()
    return read(r)
  },
})

export interface BrokerVersions {
  /** Highest version of each request, by key. */
  readonly requests: ReadonlyMap<number, number>
  /** Finalized features of the cluster: name → level. */
  readonly features: ReadonlyMap<string, number>
}

const UNSUPPORTED_VERSION = 35

/** ApiVersions 3: software name, version → keys, throttle, features. The answer's header has no tag byte. */
export function apiVersions(): ApiCall<BrokerVersions> {
  const w = new Writer().string('weir').string('1').tags()
  return {
    apiName: 'ApiVersions',
    apiKey: 18,
    apiVersion: 3,
    payload: Buffer.concat([Buffer.of(0), w.done()]),
    read(r) {
      const requests = new Map<number, number>()
      const features = new Map<string, number>()
      if (r.i16() === UNSUPPORTED_VERSION) return { requests, features } // before 2.4, in another format
      r.array(() => {
        const key = r.i16()
        r.i16()
        requests.set(key, r.i16())
        r.tags()
      })
      r.i32()
      for (let n = r.uvarint(); n > 0; n--) {
        const tag = r.uvarint()
        const end = r.uvarint() + r.at
        if (tag === 2) {
          r.array(() => {
            const name = r.string()!
            features.set(name, r.i16())
            r.i16()
            r.tags()
          })
        }
        r.at = end
      }
      return { requests, features }
    },
  }
}

/**
 * Metadata 12: [topic id, name], create topics, authorized operations → throttle, brokers, cluster, controller, [error, name, topic id, …].
 * The id of one topic, as Kafka's tools show it; null: it is not there (any more).
 */
export const topicId = (topic: string) => {
  const api = topicIdentity(topic)
  return { ...api, read: (r: Reader): string | null => api.read(r).topicId }
}

/** `topicId` null: there is none of the name. */
export const topicIdentity = (topic: string) => {
  const w = new Writer()
  w.array([topic], (name) => w.raw(NO_ID).string(name).tags())
    .bool(false)
    .bool(false)
    .tags()
  return call('Metadata', 3, 12, w, (r): { readonly clusterId: string; readonly topicId: string | null } => {
    r.i32()
    r.array(() => {
      r.i32()
      r.string()
      r.i32()
      r.string()
      r.tags()
    })
    const clusterId = r.string() ?? ''
    r.i32()
    if (r.uvarint() < 2 || r.i16() !== 0) return { clusterId, topicId: null }
    r.string()
    return { clusterId, topicId: r.buffer.subarray(r.at, r.at + NO_ID.length).toString('base64url') }
  })
}
const NO_ID = Buffer.alloc(16)

export interface ProducerIdentity {
  readonly producerId: bigint
  readonly producerEpoch: number
}
const identity = (r: Reader): ProducerIdentity & { errorCode: number } => {
  r.i32()
  return { errorCode: r.i16(), producerId: r.i64(), producerEpoch: r.i16() }
}

/**
 * Kafka's two transaction protocols. The broker tells clients apart by the versions of their requests: `v2` sends Produce
 * 12, TxnOffsetCommit 5 and EndTxn 5, `v1` older ones with the same fields.
 */
export type Protocol = 'v1' | 'v2'

/** InitProducerId 4: transactional id, timeout ms, producer id, epoch → throttle, error, producer id, epoch. */
export const initProducerId = (id: string, timeoutMs: number, current: ProducerIdentity | null) =>
  call(
    'InitProducerId',
    22,
    4,
    new Writer()
      .string(id)
      .i32(timeoutMs)
      .i64(current?.producerId ?? -1n)
      .i16(current?.producerEpoch ?? -1)
      .tags(),
    identity,
  )

/** EndTxn 3 | 5: transactional id, producer id, epoch, committed → throttle, error; 5: *next* producer id and epoch (C7). */
export const endTxn = (protocol: Protocol, id: string, of: ProducerIdentity, commit: boolean) =>
  call(
    'EndTxn',
    26,
    protocol === 'v2' ? 5 : 3,
    new Writer().string(id).i64(of.producerId).i16(of.producerEpoch).bool(commit).tags(),
    (r): { errorCode: number; identity?: ProducerIdentity } => {
      r.i32()
      const errorCode = r.i16()
      if (protocol === 'v1' || errorCode !== 0) return { errorCode }
      return { errorCode, identity: { producerId: r.i64(), producerEpoch: r.i16() } }
    },
  )

/** AddPartitionsToTxn 3: id, producer id, epoch, [topic, [partition]] → throttle, [topic, [partition, error]]. v1 only. */
export function addPartitionsToTxn(
  id: string,
  of: ProducerIdentity,
  places: readonly { topic: string; partition: number }[],
) {
  const topics = new Map<string, { partition: number }[]>()
  for (const place of places) topics.set(place.topic, [...(topics.get(place.topic) ?? []), place])
  const w = new Writer().string(id).i64(of.producerId).i16(of.producerEpoch)
  w.array([...topics], ([topic, partitions]) =>
    w
      .string(topic)
      .array(partitions, (p) => w.i32(p.partition))
      .tags(),
  ).tags()
  return call('AddPartitionsToTxn', 24, 3, w, (r) => {
    r.i32()
    const codes = r
      .array(() => {
        r.string()
        const partitions = r.array(() => {
          r.i32()
          const errorCode = r.i16()
          r.tags()
          return errorCode
        })
        r.tags()
        return partitions
      })
      .flat()
    // Where one partition fails, the others are answered with OPERATION_NOT_ATTEMPTED.
    return { errorCode: codes.find((code) => code !== 0 && code !== 55) ?? Math.max(0, ...codes) }
  })
}

/** AddOffsetsToTxn 3: id, producer id, epoch, group → throttle, error. v1 only. */
export const addOffsetsToTxn = (id: string, of: ProducerIdentity, group: string) =>
  call(
    'AddOffsetsToTxn',
    25,
    3,
    new Writer().string(id).i64(of.producerId).i16(of.producerEpoch).string(group).tags(),
    (r) => {
      r.i32()
      return { errorCode: r.i16() }
    },
  )

/** A partition is in a request once. */
export interface ProducedBatch {
  readonly topic: string
  readonly partition: number
  readonly records: Uint8Array
}

/** Produce 9 | 12: transactional id, acks, timeout, [topic, [partition, records]]. Under v2 it also adds the partitions. `errorCode`: of the first that is refused. */
export function produce(protocol: Protocol, id: string, batches: readonly ProducedBatch[]) {
  const topics = [...Map.groupBy(batches, ({ topic }) => topic)]
  const bytes = batches.reduce((sum, { records }) => sum + records.length + 64, 256)
  const w = new Writer(bytes).string(id).i16(-1).i32(30_000)
  w.array(topics, ([topic, of]) => {
    w.string(topic)
    w.array(of, ({ partition, records }) => w.i32(partition).bytes(records).tags()).tags()
  }).tags()
  return call('Produce', 0, protocol === 'v2' ? 12 : 9, w, (r) => {
    const answers = r
      .array(() => {
        const topic = r.string()!
        const partitions = r.array(() => {
          const one = { topic, partition: r.i32(), errorCode: r.i16(), baseOffset: r.i64() }
          r.at += 16
          r.array(() => {
            r.i32()
            r.string()
            r.tags()
          })
          r.string()
          r.tags()
          return one
        })
        r.tags()
        return partitions
      })
      .flat()
    return { errorCode: answers.find(({ errorCode }) => errorCode !== 0)?.errorCode ?? 0, answers }
  })
}

/** TxnOffsetCommit 3 | 5: id, group, producer id, epoch, generation −1, member '', [topic, [partition, offset, epoch, metadata]]. */
export const txnOffsetCommit = (
  protocol: Protocol,
  id: string,
  group: string,
  of: ProducerIdentity,
  topic: string,
  offsets: readonly PartitionOffset[],
) =>
  call(
    'TxnOffsetCommit',
    28,
    protocol === 'v2' ? 5 : 3,
    offsetsOf(
      new Writer().string(id).string(group).i64(of.producerId).i16(of.producerEpoch).i32(-1).string('').string(null),
      topic,
      offsets,
    ),
    offsetsAnswer,
  )

/** OffsetCommit 8: group, generation −1, member '', instance null, [topic, [partition, offset, epoch, metadata]]. */
export const offsetCommit = (group: string, topic: string, offsets: readonly PartitionOffset[]) =>
  call(
    'OffsetCommit',
    8,
    8,
    offsetsOf(new Writer().string(group).i32(-1).string('').string(null), topic, offsets),
    offsetsAnswer,
  )

export interface PartitionOffset {
  readonly partition: number
  readonly offset: bigint
  readonly metadata: string
}
function offsetsOf(w: Writer, topic: string, offsets: readonly PartitionOffset[]): Writer {
  w.uvarint(2).string(topic)
  w.array(offsets, (o) => w.i32(o.partition).i64(o.offset).i32(-1).string(o.metadata).tags())
  return w.tags().tags()
}
const offsetsAnswer = (r: Reader): { errorCode: number } => {
  r.i32()
  let errorCode = 0
  r.array(() => {
    r.string()
    r.array(() => {
      r.i32()
      errorCode = r.i16() || errorCode
      r.tags()
    })
    r.tags()
  })
  return { errorCode }
}

export interface CommittedPartition {
  readonly partition: number
  /** −1: none. */
  readonly offset: bigint
  readonly metadata: string | null
}

/** OffsetFetch 7: group, [topic, [partition]], require_stable = true (PROTOCOL A13). */
export const offsetFetch = (group: string, topic: string, partitions: readonly number[]) => {
  const w = new Writer().string(group).uvarint(2).string(topic)
  w.array(partitions, (partition) => w.i32(partition))
  return call('OffsetFetch', 9, 7, w.tags().bool(true).tags(), (r) => {
    r.i32()
    const committed: CommittedPartition[] = []
    let failed = 0
    r.array(() => {
      r.string()
      r.array(() => {
        const partition = r.i32()
        const offset = r.i64()
        r.i32()
        committed.push({ partition, offset, metadata: r.string() })
        failed = r.i16() || failed
        r.tags()
      })
      r.tags()
    })
    return { errorCode: r.i16() || failed, committed }
  })
}

/** ListOffsets 7: −1, isolation, [topic, [partition, leader epoch, timestamp]]; timestamp −1 latest, −2 earliest. */
export const listOffsets = (topic: string, partition: number, timestamp: -1n | -2n, readCommitted: boolean) =>
  call(
    'ListOffsets',
    2,
    7,
    new Writer()
      .i32(-1)
      .i8(readCommitted ? 1 : 0)
      .uvarint(2)
      .string(topic)
      .uvarint(2)
      .i32(partition)
      .i32(-1)
      .i64(timestamp)
      .tags()
      .tags()
      .tags(),
    (r) => {
      r.i32()
      let answer = { errorCode: 0, offset: -1n }
      r.array(() => {
        r.string()
        r.array(() => {
          r.i32()
          const errorCode = r.i16()
          r.i64()
          answer = { errorCode, offset: r.i64() }
          r.i32()
          r.tags()
        })
        r.tags()
      })
      return answer
    },
  )

export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: bigint
  readonly lastStableOffset: bigint
  readonly logStartOffset: bigint
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[]
  readonly records: Buffer | null
}

/** Of one answer, however many partitions are asked for; a first batch that is larger comes whole. */
const ANSWER_BYTES_MAX = 8 << 20

/** Fetch 12 without a session: one topic, several partitions. */
export const fetchRecords = (
  topic: string,
  partitions: readonly { partition: number; offset: bigint; maxBytes: number }[],
  options: { maxWaitMs: number; readCommitted: boolean },
) => {
  const w = new Writer()
    .i32(-1)
    .i32(options.maxWaitMs)
    .i32(1)
    .i32(ANSWER_BYTES_MAX)
    .i8(options.readCommitted ? 1 : 0)
    .i32(0)
    .i32(-1)
    .uvarint(2)
    .string(topic)
  w.array(partitions, (p) => w.i32(p.partition).i32(-1).i64(p.offset).i32(-1).i64(-1n).i32(p.maxBytes).tags())
  w.tags().uvarint(1).string('').tags()
  return call('Fetch', 1, 12, w, (r) => {
    r.i32()
    const errorCode = r.i16()
    r.i32()
    const fetched = r
      .array(() => {
        r.string()
        const of = r.array((): FetchedPartition => {
          const partition = r.i32()
          const code = r.i16()
          const highWatermark = r.i64()
          const lastStableOffset = r.i64()
          const logStartOffset = r.i64()
          const aborted = r.array(() => {
            const one = { producerId: r.i64(), firstOffset: r.i64() }
            r.tags()
            return one
          })
          r.i32()
          const records = r.bytes()
          r.tags()
          return { partition, errorCode: code, highWatermark, lastStableOffset, logStartOffset, aborted, records }
        })
        r.tags()
        return of
      })
      .flat()
    return { errorCode, partitions: fetched }
  })
}

/** ListTransactions 0: state filters (none = every state), producer id filters → [transactional id, producer id, state]. */
export const listTransactions = (states: readonly string[] = []) =>
  call('ListTransactions', 66, 0, strings(states).uvarint(1).tags(), (r) => {
    r.i32()
    const errorCode = r.i16()
    r.array(() => r.string())
    const transactions = r.array(() => {
      const one = { transactionalId: r.string()!, producerId: r.i64(), state: r.string()! }
      r.tags()
      return one
    })
    return { errorCode, transactions }
  })

/**
 * DescribeTransactions 0: [transactional id] → throttle, [error, id, state, timeout ms, start ms, producer id, epoch,
 * [topic, [partition]]]. To the coordinator of the ids.
 */
export const describeTransactions = (ids: readonly string[]) =>
  call('DescribeTransactions', 65, 0, strings(ids).tags(), (r) => {
    r.i32()
    const transactions = r.array(() => {
      const one = {
        errorCode: r.i16(),
        transactionalId: r.string()!,
        state: r.string()!,
        timeoutMs: r.i32(),
        startedAt: r.i64(),
        producerId: r.i64(),
        producerEpoch: r.i16(),
        partitions: r
          .array(() => {
            const topic = r.string()!
            const of = r.array(() => `${topic}-${r.i32()}`)
            r.tags()
            return of
          })
          .flat(),
      }
      r.tags()
      return one
    })
    // One that must wait makes the answer one that must wait.
    return { errorCode: transactions.find((t) => mustWait(t.errorCode))?.errorCode ?? 0, transactions }
  })

function strings(items: readonly string[]): Writer {
  const w = new Writer()
  return w.array(items, (item) => w.string(item))
}
