/** What a test has fed: a log per topic, read again from the restored position like any other. */
import { recordHeaders, type SourceNode } from '@weir/dataflow'
import type { Key, RecordHeader } from '@weir/model'
import { encodeJson } from '../codecs/json.ts'

/** How records are fed; what is left out is chosen. */
export interface FeedOptions<T> {
  /** Default: one after the other. */
  readonly partition?: number
  /** Of the record in its topic; default: none. */
  readonly key?: (value: T) => Key | null
  /** Of the record in its topic, ms since 1970; default: the test's clock. A source with a `timestamp` of its own ignores it. */
  readonly timestamp?: (value: T, index: number) => number
  /** Behind those the source's codec writes. */
  readonly headers?: (value: T) => readonly RecordHeader[]
}

export type FedEntry =
  | {
      readonly kind: 'record'
      readonly key: Uint8Array | null
      readonly bytes: Uint8Array | null
      /** For sources that make objects themselves. */
      readonly value: unknown
      readonly timestamp: number
      readonly headers: readonly RecordHeader[]
    }
  /** Event time has come so far: the test says so, no record does. */
  | { readonly kind: 'time'; readonly timeMs: number }

/**
 * Handed out in the portions it was fed in, also behind a restart: event time goes on behind a portion, so what is late is so
 * in every run.
 */
export class FedTopic {
  readonly partitions: readonly FedEntry[][]
  /** No more will be fed. */
  ended = false
  #turn = 0
  /** By partition: where portions end, exclusive, ascending. */
  readonly #ends: number[][]

  constructor(partitions: number) {
    this.partitions = Array.from({ length: partitions }, () => [])
    this.#ends = this.partitions.map(() => [])
  }

  append(entry: FedEntry, partition: number | undefined): void {
    const to = partition ?? this.#turn++ % this.partitions.length
    this.partitions[to]!.push(entry)
  }

  timePassed(timeMs: number): void {
    for (const partition of this.partitions) partition.push({ kind: 'time', timeMs })
  }

  /** What was appended since the last call is one. */
  portion(): void {
    this.partitions.forEach((entries, i) => {
      if (entries.length > (this.#ends[i]!.at(-1) ?? 0)) this.#ends[i]!.push(entries.length)
    })
  }

  /** Of one portion; empty: there is no more yet. */
  read(partition: number, from: number, max: number): readonly FedEntry[] {
    const end = this.#ends[partition]!.find((at) => at > from) ?? from
    return this.partitions[partition]!.slice(from, Math.min(end, from + max))
  }
}

/** Its topic; of a source without one, its uid. */
export const topicOf = ({ descriptor, uid }: Pick<SourceNode, 'descriptor' | 'uid'>): string =>
  typeof descriptor['topic'] === 'string' ? descriptor['topic'] : uid

/** Bytes as they are, other values as the source's codec writes them. */
export function entryOf<T>(
  { encode = encodeJson, encodeHeaders }: Pick<SourceNode, 'encode' | 'encodeHeaders'>,
  value: T,
  { options, index, nowMs }: { readonly options: FeedOptions<T>; readonly index: number; readonly nowMs: number },
): FedEntry {
  const { key, timestamp, headers } = options
  const keyed = key?.(value) ?? null
  const at = { key: keyed, timestamp: timestamp?.(value, index) ?? nowMs, origin: null }
  const own = isBytes(value) ? [] : (encodeHeaders?.(value, at) ?? [])
  return {
    kind: 'record',
    key: keyed === null ? null : Buffer.from(String(keyed)),
    bytes: isBytes(value) ? value : bytesOf(encode(value)),
    value,
    timestamp: at.timestamp,
    headers: [...recordHeaders(own), ...(headers?.(value) ?? [])],
  }
}

const isBytes = (value: unknown): value is Uint8Array | null => value === null || value instanceof Uint8Array
const bytesOf = (encoded: string | Uint8Array | null): Uint8Array | null =>
  typeof encoded === 'string' ? Buffer.from(encoded) : encoded
