/**
 * Codecs that have to be opened (those of a schema registry), on a test's side: they write what is fed, and read what the job has
 * written. What a decoder must know of records it fetches between two calls of the test, so that reading outputs waits for nothing.
 */
import {
  type CodecContext,
  type Decode,
  type JobDefinition,
  type OpenDecoder,
  type OpenEncoder,
  type RawRecords,
  type SinkNode,
  type SourceNode,
} from '@weir/dataflow'
import type { Clock, TopicRecord } from '@weir/model'
import { topicOf } from './fed-topic.ts'
import { outputOf } from './written-sink.ts'
import type { WrittenTopics } from './written-topics.ts'

export class OpenedCodecs {
  readonly #registry: CodecContext['registry']
  readonly #clock: Clock
  readonly #sinks: readonly SinkNode[]
  readonly #encoders = new Map<string, OpenEncoder>()
  readonly #decoders = new Map<string, OpenDecoder>()

  constructor({ graph }: JobDefinition, registry: CodecContext['registry'], clock: Clock) {
    this.#registry = registry
    this.#clock = clock
    this.#sinks = graph.nodes.filter((node) => node.kind === 'sink').filter(({ openDecoder }) => openDecoder)
  }

  /** The source, with an encoder that works. */
  async writing(source: SourceNode): Promise<SourceNode> {
    const { uid, openEncoder } = source
    if (openEncoder === undefined) return source
    let opened = this.#encoders.get(uid)
    if (opened === undefined)
      this.#encoders.set(uid, (opened = await openEncoder(this.#contextOf(uid, topicOf(source)))))
    return { ...source, encode: opened.encode, encodeHeaders: opened.headers }
  }

  /** Everything that is written can be read. */
  async prepare(written: WrittenTopics): Promise<void> {
    for (const sink of this.#sinks) {
      const topic = outputOf(sink)
      let opened = this.#decoders.get(topic)
      if (opened === undefined)
        this.#decoders.set(topic, (opened = await sink.openDecoder!(this.#contextOf(sink.uid, topic))))
      await opened.prepare(rawOf(written.read(topic, 'read_uncommitted')))
    }
  }

  /** Undefined: its codec needs no opening. */
  reading(topic: string): Decode | undefined {
    return this.#decoders.get(topic)?.decode
  }

  #contextOf(operatorUid: CodecContext['operatorUid'], topic: string): CodecContext {
    return {
      ...{ operatorUid, topic, clock: this.#clock, signal: new AbortController().signal, placeName: String },
      registry: this.#registry,
    }
  }
}

function rawOf(records: readonly TopicRecord[]): RawRecords {
  const ends: number[] = []
  let at = 0
  for (const { value } of records) ends.push((at += value?.length ?? 0))
  const none = new Int32Array(records.length).fill(-1)
  return {
    ...{ count: records.length, buffer: Buffer.concat(records.map(({ value }) => value ?? new Uint8Array())) },
    ...{ keyStart: none, keyEnd: none, valueEnd: Int32Array.from(ends) },
    valueStart: Int32Array.from(records, ({ value }, i) => (value === null ? -1 : ends[i]! - value.length)),
    offsets: Float64Array.from(records, (_, i) => i),
    timestamps: Float64Array.from(records, ({ timestamp }) => timestamp),
  }
}
