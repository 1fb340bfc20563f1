/**
 * The sending side of one exchange edge: spreads keyed records over the receiving slices and batches them. Watermarks,
 * barriers and the end go to every channel, behind all records written before them.
 */
import {
  END,
  IDLE,
  aside,
  barrier,
  hashKey,
  ownerOf,
  watermark,
  type AsideRecord,
  type CheckpointId,
  type Key,
  type KeyGroup,
  type Origins,
  type RecordBatch,
  type StreamElement,
  type Subtask,
  type Watermark,
} from '@weir/model'
import type { OutputChannel } from './channel.ts'

/** Records per frame: about 32–64 KiB of typical events. */
export const FRAME_RECORDS_MAX = 1_000

interface Buffer {
  keys: Key[]
  values: unknown[]
  timestamps: number[]
  origins?: Origins
}
const empty = (): Buffer => ({ keys: [], values: [], timestamps: [] })
const noOrigins = (ordinals: boolean): Origins => ({ places: [], offsets: [], ordinals: ordinals ? [] : null })

export interface PartitionerOptions {
  /** The receiving stage. */
  readonly stage: number
  readonly maxParallelism: number
  /** Barriers may overtake on this edge. */
  readonly overtaking: boolean
}

export class Partitioner {
  readonly stage: number
  readonly overtaking: boolean
  readonly #channels: readonly OutputChannel[]
  readonly #maxParallelism: number
  #buffers: Buffer[]
  /** Key group → channel, computed once. */
  readonly #owner: Uint16Array

  constructor(channels: readonly OutputChannel[], { stage, maxParallelism, overtaking }: PartitionerOptions) {
    this.stage = stage
    this.overtaking = overtaking
    this.#channels = channels
    this.#maxParallelism = maxParallelism
    this.#buffers = channels.map(empty)
    this.#owner = Uint16Array.from({ length: maxParallelism }, (_, g) =>
      ownerOf(g as KeyGroup, channels.length, maxParallelism),
    )
  }

  /** True when some channel has no credit: the caller stops reading until there is room. */
  get full(): boolean {
    for (const channel of this.#channels) if (channel.waiting > 0) return true
    return false
  }

  /** `batch.keys` must be set. */
  write(batch: RecordBatch): void {
    const { values, timestamps, origins } = batch
    const keys = batch.keys!
    const groups = this.#maxParallelism
    for (let i = 0; i < values.length; i++) {
      const key = keys[i]!
      const to = this.#owner[hashKey(key) % groups]!
      const buffer = this.#buffers[to]!
      buffer.keys.push(key)
      buffer.values.push(values[i])
      if (origins !== undefined) {
        const kept = (buffer.origins ??= noOrigins(origins.ordinals !== null))
        kept.places.push(origins.places[i]!)
        kept.offsets.push(origins.offsets[i]!)
        kept.ordinals?.push(origins.ordinals![i]!)
      }
      if (buffer.timestamps.push(timestamps[i]!) >= FRAME_RECORDS_MAX) this.#flush(to)
    }
  }

  flush(): void {
    for (let i = 0; i < this.#channels.length; i++) this.#flush(i)
  }

  watermark(timestamp: Watermark): void {
    this.flush()
    for (const channel of this.#channels) channel.send(watermark(timestamp))
  }

  /** Until the next watermark nobody waits for this side's event time. */
  idle(): void {
    this.flush()
    for (const channel of this.#channels) channel.send(IDLE)
  }

  barrier(checkpoint: CheckpointId): void {
    this.flush()
    for (const channel of this.#channels) channel.send(barrier(checkpoint))
  }

  /** What waits in front of the barrier, by receiver; one that has it on its way is left out. */
  inFrontOf(checkpoint: CheckpointId): ReadonlyMap<Subtask, readonly StreamElement[]> {
    const waiting = new Map<Subtask, readonly StreamElement[]>()
    this.#channels.forEach((channel, to) => {
      const elements = channel.inFrontOf(checkpoint)
      if (elements !== null) waiting.set(to as Subtask, elements)
    })
    return waiting
  }

  overtake(checkpoint: CheckpointId): void {
    for (const channel of this.#channels) channel.overtake(checkpoint)
  }

  /** One listener, called for every receiver whose barrier is on its way. */
  onBarrier(call: (checkpoint: CheckpointId) => void): void {
    for (const channel of this.#channels) channel.onBarrier(call)
  }

  /** To the given channel: they need no other place than one that leads to a sink. Never behind a later barrier. */
  aside(records: readonly AsideRecord[], channel: number): void {
    this.#channels[channel]!.send(aside(records))
  }

  end(): void {
    this.flush()
    for (const channel of this.#channels) channel.send(END)
  }

  #flush(to: number): void {
    const buffer = this.#buffers[to]!
    if (buffer.values.length === 0) return
    this.#buffers[to] = empty()
    this.#channels[to]!.send({ kind: 'records', batch: buffer })
  }
}
