/** In-memory ends for slices: a source over an array, a two-phase sink, a state store and links inside one thread. */
import type { InFlightPart, InFlightRef, InFlightStore } from '@weir/checkpoint'
import {
  EMPTY_SINK_STATE,
  MemoryKeyedState,
  isEntries,
  ownerOfEntry,
  type HandleProof,
  type KeyedState,
  type PreparedHandle,
  type SegmentRef,
  type SinkState,
  type SourcePoll,
  type SourceReader,
  type SourceState,
  type StateStore,
  type TwoPhaseSink,
} from '@weir/dataflow'
import {
  WeirError,
  keyGroupOf,
  type KeyGroupRange,
  type AsideRecord,
  type CheckpointId,
  type Key,
  type OperatorUid,
  type RecordBatch,
} from '@weir/model'
import { CHANNEL_CREDITS } from '../channel.ts'
import type { ExchangePort, InboundLink, LinkId, OutboundLink } from '../ports.ts'

/** One split holding `values`; event time is the index in seconds. */
export class MemorySource implements SourceReader {
  #at = 0
  #splitEnded = false
  readonly #values: readonly unknown[]
  readonly #split: number
  /** Stops handing out records here until it is raised: tests choose where the barrier falls. */
  limit = Number.MAX_SAFE_INTEGER

  constructor(values: readonly unknown[], split: number) {
    this.#values = values
    this.#split = split
  }

  open(restored: SourceState | null): Promise<readonly number[]> {
    this.#at = (restored?.['at'] as number | undefined) ?? 0
    return Promise.resolve([this.#split])
  }

  poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    const isHeld = held?.has(this.#split) ?? false
    const to = Math.min(this.#values.length, this.#at + Math.min(maxRecords, 3), isHeld ? this.#at : this.limit)
    if (to <= this.#at) {
      if (isHeld || this.#at < this.#values.length)
        return new Promise((resolve) => setTimeout(() => resolve('idle'), 1))
      if (this.#splitEnded) return Promise.resolve('end')
      this.#splitEnded = true
      return Promise.resolve({ kind: 'split-end', split: this.#split })
    }
    const from = this.#at
    this.#at = to
    const offsets = Array.from({ length: to - from }, (_, i) => from + i)
    const values = this.#values.slice(from, to)
    return Promise.resolve({
      kind: 'values',
      split: this.#split,
      values,
      timestamps: offsets.map((o) => o * 1_000),
      offsets,
    })
  }

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return { at: from?.get(this.#split) ?? this.#at }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

/** The server's side of a MemorySink: it outlives the instances, as a broker does. */
export class MemoryTopic {
  readonly committed: { key: Key | null; value: unknown }[] = []
  readonly committedAsides: AsideRecord[] = []
  readonly prepared = new Map<number, { batches: RecordBatch[]; asides: AsideRecord[] }>()
  fence = 0
}

export class MemorySink implements TwoPhaseSink {
  readonly #topic: MemoryTopic
  #fence = 0
  #open: RecordBatch[] = []
  #asides: AsideRecord[] = []
  #sequence = 0
  #handles: PreparedHandle[] = []

  constructor(topic: MemoryTopic) {
    this.#topic = topic
  }

  get pending(): { open: boolean; prepared: number } {
    return { open: this.#open.length + this.#asides.length > 0, prepared: this.#handles.length }
  }

  async recover(restored: SinkState | null): Promise<readonly HandleProof[]> {
    const { sequence, handles } = restored ?? EMPTY_SINK_STATE
    this.#fence = ++this.#topic.fence
    this.#sequence = sequence
    for (const handle of handles) this.#end(handle.sequence)
    this.#topic.prepared.clear()
    return handles.map((h) => ({ sequence: h.sequence, outcome: 'committed', by: 'end-txn' }))
  }

  write(batch: RecordBatch): undefined {
    this.#check()
    this.#open.push(batch)
  }

  writeAside(records: readonly AsideRecord[]): undefined {
    this.#check()
    this.#asides.push(...records)
  }

  async prepare(_checkpoint: CheckpointId): Promise<SinkState> {
    this.#check()
    if (this.pending.open) {
      const records = this.#open.reduce((n, b) => n + b.values.length, this.#asides.length)
      this.#topic.prepared.set(++this.#sequence, { batches: this.#open, asides: this.#asides })
      this.#open = []
      this.#asides = []
      const { sequence } = { sequence: this.#sequence }
      this.#handles.push({
        sequence,
        transactionalId: 'm',
        producerId: '0',
        producerEpoch: 0,
        firstOffsets: {},
        records,
      })
    }
    return { sequence: this.#sequence, handles: [...this.#handles] }
  }

  async commit(upTo: number): Promise<void> {
    this.#check()
    while (this.#handles.length > 0 && this.#handles[0]!.sequence <= upTo) this.#end(this.#handles.shift()!.sequence)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #end(sequence: number): void {
    const { batches = [], asides = [] } = this.#topic.prepared.get(sequence) ?? {}
    this.#topic.committedAsides.push(...asides)
    for (const { keys, values } of batches) {
      values.forEach((value, i) => this.#topic.committed.push({ key: keys?.[i] ?? null, value }))
    }
    this.#topic.prepared.delete(sequence)
  }

  #check(): void {
    if (this.#fence !== this.#topic.fence)
      throw new WeirError({ code: 'PRODUCER_FENCED', kind: 'fenced' }, 'a newer attempt has taken over')
  }
}

/** As in the default settings. */
const MAX_PARALLELISM = 128

/** Snapshots are deep copies kept in `objects`, named by their reference. */
export class MemoryStateStore implements StateStore {
  readonly #objects: Map<string, string>
  readonly #name: string
  readonly #groups: KeyGroupRange
  readonly #states = new Map<string, { state: MemoryKeyedState<unknown>; keys: Set<string> }>()

  constructor(objects: Map<string, string>, name: string, maxParallelism = MAX_PARALLELISM) {
    this.#objects = objects
    this.#name = name
    this.#groups = { from: 0, to: maxParallelism }
  }

  restore(segments: readonly SegmentRef[]): Promise<void> {
    for (const { key, only = this.#groups } of segments) {
      for (const [id, entries] of JSON.parse(this.#objects.get(key)!) as [string, [Key, number, unknown][]][]) {
        const [uid, name, split] = JSON.parse(id) as [OperatorUid, string, number?]
        const state = this.keyed(uid, name, split)
        for (const [k, namespace, value] of entries) {
          const group = split ?? keyGroupOf(isEntries(name) ? ownerOfEntry(String(k)) : k, this.#groups.to)
          if (group >= only.from && group < only.to) state.put(k, value, namespace)
        }
      }
    }
    return Promise.resolve()
  }

  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V> {
    const id = JSON.stringify(split === undefined ? [operatorUid, name] : [operatorUid, name, split])
    let entry = this.#states.get(id)
    if (entry === undefined) {
      const state = new MemoryKeyedState<unknown>()
      const keys = new Set<string>()
      const put = state.put.bind(state)
      state.put = (key, value, namespace = 0) => {
        keys.add(JSON.stringify([key, namespace]))
        put(key, value, namespace)
      }
      this.#states.set(id, (entry = { state, keys }))
    }
    return entry.state as KeyedState<V>
  }

  snapshot(checkpoint: CheckpointId): Promise<readonly SegmentRef[]> {
    const all = [...this.#states].map(([id, { state, keys }]) => [
      id,
      [...keys].flatMap((k) => {
        const [key, namespace] = JSON.parse(k) as [Key, number]
        const value = state.get(key, namespace)
        return value === undefined ? [] : [[key, namespace, value]]
      }),
    ])
    const key = `${this.#name}-${checkpoint.epoch}-${checkpoint.attempt}`
    this.#objects.set(key, JSON.stringify(all))
    return Promise.resolve([{ key, bytes: 0, entries: 0, sha256: '', kind: 'base', keyGroups: this.#groups }])
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

/** Of one slice; `objects` outlives it. */
export class MemoryInFlightStore implements InFlightStore {
  readonly #objects: Map<string, Uint8Array>
  readonly #name: string
  readonly #delay: () => Promise<void>

  constructor(objects: Map<string, Uint8Array>, name: string, delay: () => Promise<void> = () => Promise.resolve()) {
    this.#objects = objects
    this.#name = name
    this.#delay = delay
  }

  async write(checkpoint: CheckpointId, { stage, side }: InFlightPart, bytes: Uint8Array) {
    const key = `${this.#name}-${checkpoint.epoch}-${checkpoint.attempt}-${stage}-${side}`
    await this.#delay()
    this.#objects.set(key, bytes)
    return { key, bytes: bytes.byteLength, sha256: '' }
  }

  read({ key }: InFlightRef): Promise<Uint8Array> {
    return Promise.resolve(this.#objects.get(key)!)
  }
}

/** Links between slices of one thread, frames included: what is sent is what is decoded on the other side. */
export class MemoryExchange implements ExchangePort {
  readonly #links = new Map<string, { out: OutboundLink; in: InboundLink }>()

  connect(id: LinkId): Promise<OutboundLink> {
    return Promise.resolve(this.#pair(id).out)
  }

  accept(id: LinkId): Promise<InboundLink> {
    return Promise.resolve(this.#pair(id).in)
  }

  #pair(id: LinkId): { out: OutboundLink; in: InboundLink } {
    const name = JSON.stringify(id)
    let pair = this.#links.get(name)
    if (pair) return pair
    let credits = 0
    let onFrame: (frame: Uint8Array) => void = () => {}
    let onCredit = (): void => {}
    const out: OutboundLink = {
      id,
      get credits() {
        return credits
      },
      send(frame) {
        if (credits-- <= 0) throw new Error('sent without credit')
        queueMicrotask(() => onFrame(frame))
      },
      onCredit: (call) => void (onCredit = call),
      onBroken: () => {},
      close: () => {},
    }
    const inbound: InboundLink = {
      id,
      framesMax: CHANNEL_CREDITS,
      onFrame: (call) => void (onFrame = call),
      onBroken: () => {},
      grant(frames) {
        credits += frames
        queueMicrotask(() => onCredit())
      },
      close: () => {},
    }
    this.#links.set(name, (pair = { out, in: inbound }))
    return pair
  }
}
