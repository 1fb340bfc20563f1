/** Codecs that have to be opened: for each slice, outside of the per-record path (`dataflow/src/codec-port.ts`). */
import type {
  CodecContext,
  OffsetGap,
  OpenDecoder,
  OpenEncoder,
  RestoreContext,
  SinkNode,
  SourceNode,
  SourcePoll,
  SourceReader,
  SourceState,
} from '@weir/dataflow'
import { WeirError, assert, sourceOf, splitOf, type TopicRecord } from '@weir/model'
import type { SliceScope } from './slice-scope.ts'

export function codecContext(scope: SliceScope, { uid, descriptor }: SourceNode | SinkNode): CodecContext {
  const { clock, schemaRegistry } = scope.deps
  return {
    operatorUid: uid,
    topic: String(descriptor['topic']),
    clock,
    signal: scope.signal,
    placeName(place) {
      const source = scope.node(sourceOf(place))
      const topic = source.kind === 'source' ? source.descriptor['topic'] : undefined
      return `${typeof topic === 'string' ? topic : source.uid}-${splitOf(place)}`
    },
    registry(settings) {
      if (schemaRegistry !== undefined) return schemaRegistry(settings, scope.signal)
      throw new WeirError(
        { code: 'REGISTRY_NOT_CONFIGURED', kind: 'invalid', operatorUid: uid },
        `"${uid}" needs a schema registry, and there is none where this job runs`,
      )
    },
  }
}

/** A source whose records are decoded only when the decoder has what it needs for them. */
export class PreparedReader implements SourceReader {
  /** The source, with the decoder in it. */
  readonly node: SourceNode
  readonly #reader: SourceReader
  readonly #open: () => Promise<OpenDecoder>
  #decoder: OpenDecoder | null = null

  constructor(node: SourceNode, reader: SourceReader, open: () => Promise<OpenDecoder>) {
    this.#reader = reader
    this.#open = open
    this.node = {
      ...node,
      decode: (buffer, start, end, headers) => this.#decoder!.decode(buffer, start, end, headers),
    }
  }

  async open(restored: SourceState | null, context?: RestoreContext | null): Promise<readonly number[]> {
    this.#decoder = await this.#open()
    return this.#reader.open(restored, context)
  }

  /** What waits here is polled already: positions are behind it, and no barrier is injected before it is handed out. */
  async poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    const polled = await this.#reader.poll(maxRecords, held)
    if (typeof polled === 'object' && polled.kind === 'raw') await this.#decoder!.prepare(polled.raw)
    return polled
  }

  interrupt(): void {
    this.#reader.interrupt?.()
  }

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return this.#reader.snapshot(from)
  }

  onGap(call: (gap: OffsetGap) => void): void {
    this.#reader.onGap?.(call)
  }

  async originals(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]> {
    return (await this.#reader.originals?.(split, offsets)) ?? offsets.map(() => null)
  }

  lags(): ReadonlyMap<number, number> {
    return this.#reader.lags?.() ?? new Map()
  }

  committed(state: SourceState): void {
    this.#reader.committed?.(state)
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}

/** A sink is recovered before its encoder is opened: what it has published must not wait for a registry. */
export class LateEncoder {
  /** The sink, with the encoder in it. */
  readonly node: SinkNode
  readonly #open: () => Promise<OpenEncoder>
  #encoder: OpenEncoder | null = null

  constructor(node: SinkNode, open: () => Promise<OpenEncoder>) {
    this.#open = open
    const opened = (): OpenEncoder => {
      assert(this.#encoder !== null, `${node.uid} was given a record before it was opened`)
      return this.#encoder
    }
    this.node = {
      ...node,
      encodeKey: (key) => (opened().key ?? node.encodeKey)(key),
      encodeValue: (value, record) => opened().encode(value, record),
      encodeHeaders: (value, record) => opened().headers?.(value, record) ?? [],
    }
  }

  async open(): Promise<void> {
    this.#encoder = await this.#open()
  }
}
