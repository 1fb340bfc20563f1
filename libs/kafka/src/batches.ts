/** The batches of one transaction that are being filled, by topic and partition. */
import { RECORDS_REFUSED, SUSPECTS_MAX, type SinkOrigin } from '@weir/dataflow'
import { WeirError, type AsideRecord } from '@weir/model'
import type { EncodedRecord } from './record-encoder.ts'
import type { Place } from './transaction-state.ts'
import { BatchBuilder, headerBytesAtMost, recordBytesAtMost } from './wire/records.ts'

export interface FilledBatch {
  readonly place: Place
  readonly builder: BatchBuilder
  /** Makes of the broker's refusal of the batch one that names its records (PROTOCOL B7). */
  readonly refused: (error: WeirError) => WeirError
}

const BATCH_BYTES_MIN = 64 << 10

interface Filling {
  readonly place: Place
  readonly builder: BatchBuilder
  readonly suspects: SinkOrigin[]
}

export class Batches {
  readonly #bytesMax: number
  readonly #send: (batch: FilledBatch) => void
  /** By topic, then partition. */
  readonly #filling = new Map<string, (Filling | undefined)[]>()
  #records = 0
  /** Of the largest batch of this transaction so far: the next ones are not copied while they grow. */
  #bytes = BATCH_BYTES_MIN

  /** @param send gets every batch that is full, and on `flush` the others. */
  constructor(bytesMax: number, send: (batch: FilledBatch) => void) {
    this.#bytesMax = bytesMax
    this.#send = send
  }

  /** Ever added. */
  get records(): number {
    return this.#records
  }

  add(topic: string, record: EncodedRecord, timestamp: number): void {
    const { partition, key, value, headers, bytes, origin, suspect } = record
    // A suspect travels alone: refused, it is the one.
    const filling = this.#at(topic, partition, suspect ? Number.POSITIVE_INFINITY : bytes)
    const { builder, suspects } = filling
    builder.append(key, value, timestamp, headers)
    this.#records++
    if (origin === null) return
    suspects.push(origin)
    if (suspect || builder.count === SUSPECTS_MAX) this.#sent(filling)
  }

  addAside(place: Place, { key, value, timestamp, headers }: Omit<AsideRecord, 'topic' | 'partition'>): void {
    const { topic, partition } = place
    const { builder } = this.#at(topic, partition, recordBytesAtMost(key, value) + headerBytesAtMost(headers))
    builder.append(key, value, timestamp, headers)
    this.#records++
  }

  flush(): void {
    for (const ofTopic of this.#filling.values())
      for (const filling of ofTopic) if (filling !== undefined) this.#sent(filling)
  }

  /** The batch of a partition that has room for so many bytes, unless a single record is larger. */
  #at(topic: string, partition: number, bytes: number): Filling {
    let ofTopic = this.#filling.get(topic)
    if (ofTopic === undefined) this.#filling.set(topic, (ofTopic = []))
    const known = ofTopic[partition]
    if (known !== undefined) {
      if (known.builder.bytes + bytes <= this.#bytesMax) return known
      this.#sent(known)
    }
    return (ofTopic[partition] = { place: { topic, partition }, builder: new BatchBuilder(this.#bytes), suspects: [] })
  }

  #sent({ place, builder, suspects }: Filling): void {
    this.#filling.get(place.topic)![place.partition] = undefined
    if (builder.bytes > this.#bytes) this.#bytes = builder.bytes
    this.#send({ place, builder, refused: (error) => recordsRefused(error, suspects) })
  }
}

/** Refusals that a record earns, not its producer. */
const OF_RECORDS = ['MESSAGE_TOO_LARGE', 'INVALID_TIMESTAMP', 'INVALID_RECORD']

/** Records whose origin is known are looked for by the next attempt; others stop the job, as without dead letters. */
function recordsRefused(error: WeirError, suspects: readonly SinkOrigin[]): WeirError {
  if (suspects.length === 0 || !OF_RECORDS.includes(String(error.facts['error']))) return error
  return new WeirError(
    { ...error.facts, code: RECORDS_REFUSED, kind: 'restart', suspects },
    `${error.message}. The attempt restarts to find it among ${suspects.length} records.`,
    { cause: error },
  )
}
