/** Connectors as descriptors: plain data and codecs. The task-manager binds the adapter. */
import type { ConnectorDescriptor, Decode, Encode } from '@weir/dataflow'
import type { Codec } from './codec.ts'
import { durationMs, type Duration } from './duration.ts'

export interface Source<T> {
  readonly descriptor: ConnectorDescriptor
  readonly decode: Decode | null
  readonly timestamp: ((value: T) => number) | null
  readonly outOfOrderMs: number
  readonly recordsPerSecond: number | null
}
export interface Sink<T> {
  readonly descriptor: ConnectorDescriptor
  readonly encodeKey: Encode
  readonly encodeValue: (value: T) => string | Uint8Array | null
}

export interface TopicOptions<T> {
  readonly value: Codec<T>
  /** Event time in ms; default: the record's own timestamp. */
  readonly timestamp?: (value: T) => number
  /** Watermark = highest timestamp − this. Default 0. */
  readonly outOfOrder?: Duration
  readonly startFrom?: 'earliest' | 'latest'
  /** `latest`: bounded, the job finishes at the end the topic had at its first start. */
  readonly until?: 'none' | 'latest'
  /** Upper bound over all subtasks. */
  readonly recordsPerSecond?: number
}

export const kafka = {
  topic<T>(topic: string, options: TopicOptions<T>): Source<T> {
    const {
      value,
      timestamp = null,
      outOfOrder,
      startFrom = 'earliest',
      until = 'none',
      recordsPerSecond = null,
    } = options
    return {
      descriptor: { connector: 'kafka', topic, startFrom, until, isolation: 'read_committed' },
      decode: value.decode,
      timestamp,
      outOfOrderMs: outOfOrder === undefined ? 0 : durationMs(outOfOrder),
      recordsPerSecond,
    }
  },
  /** Keys are written as text; values by the codec, JSON when there is none. */
  sink<T = unknown>(topic: string, options: { readonly value?: Codec<T> } = {}): Sink<T> {
    return {
      descriptor: { connector: 'kafka', topic },
      encodeKey: (key) => String(key),
      encodeValue: options.value?.encode ?? ((value) => JSON.stringify(value)),
    }
  },
}
