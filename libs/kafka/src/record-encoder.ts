/**
 * From a batch to the records of one topic: bytes of key and value, headers, and the partition, as Kafka's own clients choose it.
 * What cannot be encoded, or what the topic would refuse, goes aside before it is sent (PROTOCOL B7).
 */
import {
  NO_HEADERS,
  OutputView,
  encodeFailed,
  writesDigits,
  outputHeaders,
  type RecordEncoders,
  type SinkAsides,
  type SinkOrigin,
} from '@weir/dataflow'
import { WeirError, type Clock, type OperatorUid, type RecordBatch, type RecordHeader } from '@weir/model'
import { murmur2, murmur2OfAscii } from './murmur2.ts'
import { refusal, type TopicLimits } from './topic-limits.ts'
import { batchBytesOf, headerBytesAtMost, recordBytesAtMost } from './wire/records.ts'

export interface RecordEncoderOptions extends RecordEncoders {
  /** Of the sink. */
  readonly uid: OperatorUid
  readonly topic: string
  /** Null: nobody takes a record aside, it ends the attempt. */
  readonly asides: SinkAsides | null
}

export interface EncodedRecord {
  readonly partition: number
  readonly key: Bytes
  /** A safe integer: its decimal digits. */
  readonly value: Bytes | number
  readonly headers: readonly RecordHeader[]
  /** In a batch, at most. */
  readonly bytes: number
  /** Where it was read; null where nobody has to know. */
  readonly origin: SinkOrigin | null
  /** A broker has refused a batch with it in an earlier attempt. */
  readonly suspect: boolean
}

/** Text is UTF-8, and becomes bytes where it is written. */
type Bytes = Uint8Array | string | null

export class RecordEncoder {
  readonly #options: RecordEncoderOptions
  readonly #partitions: number
  readonly #limits: TopicLimits | null
  readonly #clock: Clock
  readonly #output: OutputView
  readonly #writesDigits: boolean
  #sticky = 0

  /** @param of `limits` null: not asked for, since nobody would take what does not fit. */
  constructor(
    options: RecordEncoderOptions,
    of: { readonly partitions: number; readonly limits: TopicLimits | null; readonly clock: Clock },
  ) {
    this.#options = options
    this.#output = new OutputView(options.keyOf ?? null)
    this.#writesDigits = writesDigits(options.encodeValue)
    this.#partitions = of.partitions
    this.#limits = of.limits
    this.#clock = of.clock
  }

  /** Records without a key go to the next partition from now on. */
  turn(): void {
    this.#sticky++
  }

  /** Null: it was taken aside. */
  encode(batch: RecordBatch, i: number): EncodedRecord | null {
    const { uid, asides, encodeValue, encodeHeaders, topic } = this.#options
    const known = asides?.known ?? null
    const verdict = known === null || known.empty ? undefined : known.of(batch, i)
    if (verdict === 'poisoned') {
      asides!.refuse(batch, i, poisoned(topic))
      return null
    }
    let key: Bytes
    let value: Bytes | number
    let partition: number
    let headers = NO_HEADERS
    try {
      const output = this.#output.at(batch, i)
      const of = output.key
      key = of === null ? null : this.#options.encodeKey(of)
      partition = of === null ? this.#sticky % this.#partitions : this.#partitionOf(key)
      const given = batch.values[i]
      value = this.#writesDigits && isDigits(given) ? given : encodeValue(given, output)
      if (encodeHeaders !== undefined || batch.origins?.traces !== undefined)
        headers = outputHeaders(encodeHeaders, batch.values[i], output)
    } catch (error) {
      const failed = encodeFailed(error, uid, batch, i)
      if (asides === null) throw failed
      asides.refuse(batch, i, failed)
      return null
    }
    const headerBytes = headers === NO_HEADERS ? 0 : headerBytesAtMost(headers)
    const bytes = recordBytesAtMost(key, value) + headerBytes
    const origin = known === null ? null : known.originOf(batch, i)
    const suspect = verdict === 'suspect'
    const record = { partition, key, value, headers, bytes, origin, suspect }
    return this.#limits === null || this.#fits(this.#limits, batch, i, record) ? record : null
  }

  /** False: the topic would refuse it, and it was taken aside. */
  #fits(limits: TopicLimits, batch: RecordBatch, i: number, encoded: EncodedRecord): boolean {
    const { key, value, headers, bytes } = encoded
    const small = bytes < limits.batchBytesMax / 2
    const record = {
      bytes: small ? 0 : batchBytesOf(key, value, headers),
      timestamp: batch.timestamps[i]!,
      hasKey: key !== null,
    }
    const error = refusal(limits, this.#options.topic, record, this.#clock.now())
    if (error !== null) this.#options.asides!.refuse(batch, i, error)
    return error === null
  }

  /** As Kafka's own clients choose it; a key that is encoded as nothing goes to the first. */
  #partitionOf(key: Bytes): number {
    if (key === null) return 0
    const ofText = typeof key === 'string' ? murmur2OfAscii(key) : -1
    const hash = ofText >= 0 ? ofText : murmur2(typeof key === 'string' ? Buffer.from(key) : key)
    return hash % this.#partitions
  }
}

/** −0 is written 0. */
const isDigits = (value: unknown): value is number => Number.isSafeInteger(value)

const poisoned = (topic: string): WeirError =>
  new WeirError(
    { code: 'RECORD_REFUSED', kind: 'invalid', topic },
    `the brokers have refused this record for topic "${topic}" in an earlier attempt (see the last error of the job then)`,
  )
