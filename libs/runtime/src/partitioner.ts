/**
 * The sending side of a keyed edge: spreads records over the receiving slices and batches them.
 */
import {
  aside,
  emptyOrigins,
  haveSameColumns,
  keyGroupOf,
  ownerOf,
  pushOrigin,
  type AsideRecord,
  type Key,
  type KeyGroup,
  type Origins,
  type RecordBatch,
  type Subtask,
} from '@weir/model'
import type { OutputChannel } from './channel.ts'
import { Outlet, type OutletOptions } from './outlet.ts'

/** Records per frame: about 32–64 KiB of typical events. */
export const FRAME_RECORDS_MAX = 1_000

interface Buffer {
  keys: Key[]
  values: unknown[]
  timestamps: number[]
  origins?: Origins
}
const empty = (): Buffer => ({ keys: [], values: [], timestamps: [] })

export interface PartitionerOptions extends OutletOptions {
  readonly maxParallelism: number
}

export class Partitioner extends Outlet {
  readonly #maxParallelism: number
  #buffers: Buffer[]
  /** Of what was written last: the buffers hold records that carry the same. */
  #origins: Origins | undefined
  /** Key group → channel, computed once. */
  readonly #owner: Uint16Array

  constructor(channels: readonly OutputChannel[], options: PartitionerOptions) {
    super(channels, options)
    const { maxParallelism } = options
    this.#maxParallelism = maxParallelism
    this.#buffers = channels.map(empty)
    this.#owner = Uint16Array.from({ length: maxParallelism }, (_, g) =>
      ownerOf(g as KeyGroup, channels.length, maxParallelism),
    )
  }

  /** `batch.keys` must be set. */
  write(batch: RecordBatch): void {
    const { values, timestamps, origins } = batch
    if (!haveSameColumns(origins, this.#origins)) this.flush()
    this.#origins = origins
    const keys = batch.keys!
    const groups = this.#maxParallelism
    for (let i = 0; i < values.length; i++) {
      const key = keys[i]!
      const to = this.#owner[keyGroupOf(key, groups)]!
      const buffer = this.#buffers[to]!
      buffer.keys.push(key)
      buffer.values.push(values[i])
      if (origins !== undefined) {
        pushOrigin((buffer.origins ??= emptyOrigins(origins, origins.ordinals !== null)), origins, i)
      }
      if (buffer.timestamps.push(timestamps[i]!) >= FRAME_RECORDS_MAX) this.#flush(to)
    }
  }

  flush(): void {
    for (let i = 0; i < this.#buffers.length; i++) this.#flush(i)
  }

  aside(records: readonly AsideRecord[], subtask: Subtask): void {
    this.channels[subtask]!.send(aside(records))
  }

  #flush(to: number): void {
    const buffer = this.#buffers[to]!
    if (buffer.values.length === 0) return
    this.#buffers[to] = empty()
    this.channels[to]!.send({ kind: 'records', batch: buffer })
  }
}
