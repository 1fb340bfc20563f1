/**
 * The sending side of one edge between two stages. Watermarks, barriers and the end go to every channel, behind all records
 * written before them.
 */
import { copyOf } from '@weir/dataflow'
import {
  END,
  IDLE,
  aside,
  barrier,
  watermark,
  type AsideRecord,
  type CheckpointId,
  type RecordBatch,
  type StreamElement,
  type Subtask,
  type Watermark,
} from '@weir/model'
import type { OutputChannel } from './channel.ts'

export interface OutletOptions {
  /** The receiving stage, and which of its inputs this is. */
  readonly stage: number
  readonly input: number
  /** Barriers may overtake on this edge. */
  readonly overtaking: boolean
}

export abstract class Outlet {
  readonly stage: number
  readonly input: number
  readonly overtaking: boolean
  protected readonly channels: readonly OutputChannel[]

  constructor(channels: readonly OutputChannel[], { stage, input, overtaking }: OutletOptions) {
    this.stage = stage
    this.input = input
    this.overtaking = overtaking
    this.channels = channels
  }

  /** The outlet owns the arrays from here on. */
  abstract write(batch: RecordBatch): void
  /** Nothing that was written stays behind. */
  abstract flush(): void
  /** By the one channel that is `subtask`'s: asides need no other place than one that leads to a sink. Never behind a later barrier. */
  abstract aside(records: readonly AsideRecord[], subtask: Subtask): void

  /** True when some channel has no credit: the caller stops reading until there is room. */
  get full(): boolean {
    for (const channel of this.channels) if (channel.waiting > 0) return true
    return false
  }

  /** Elements that have no credit, over all channels. */
  get waiting(): number {
    return this.channels.reduce((sum, channel) => sum + channel.waiting, 0)
  }

  watermark(timestamp: Watermark): void {
    this.flush()
    for (const channel of this.channels) channel.send(watermark(timestamp))
  }

  /** Until the next watermark nobody waits for this side's event time. */
  idle(): void {
    this.flush()
    for (const channel of this.channels) channel.send(IDLE)
  }

  barrier(checkpoint: CheckpointId): void {
    this.flush()
    for (const channel of this.channels) channel.send(barrier(checkpoint))
  }

  end(): void {
    this.flush()
    for (const channel of this.channels) channel.send(END)
  }

  /** What waits in front of the barrier, by receiver; one that has it on its way is left out. */
  inFrontOf(checkpoint: CheckpointId): ReadonlyMap<Subtask, readonly StreamElement[]> {
    const waiting = new Map<Subtask, readonly StreamElement[]>()
    this.channels.forEach((channel, to) => {
      const elements = channel.inFrontOf(checkpoint)
      if (elements !== null) waiting.set(to as Subtask, elements)
    })
    return waiting
  }

  overtake(checkpoint: CheckpointId): void {
    for (const channel of this.channels) channel.overtake(checkpoint)
  }

  /** One listener, called for every receiver whose barrier is on its way. */
  onBarrier(call: (checkpoint: CheckpointId) => void): void {
    for (const channel of this.channels) channel.onBarrier(call)
  }
}

/** To all slices: each has every record. */
export class Broadcast extends Outlet {
  constructor(channels: readonly OutputChannel[], options: Omit<OutletOptions, 'overtaking'>) {
    super(channels, { ...options, overtaking: false })
  }

  write(batch: RecordBatch): void {
    // In one thread elements are passed by reference, and the receiver owns the arrays.
    for (const channel of this.channels) channel.send({ kind: 'records', batch: copyOf(batch) })
  }

  flush(): void {}

  aside(records: readonly AsideRecord[], subtask: Subtask): void {
    this.channels[subtask]!.send(aside(records))
  }
}

/** To the same slice: batches go on as they are. */
export class Forward extends Outlet {
  constructor(channel: OutputChannel, options: Omit<OutletOptions, 'overtaking'>) {
    super([channel], { ...options, overtaking: false })
  }

  write(batch: RecordBatch): void {
    this.channels[0]!.send({ kind: 'records', batch })
  }

  flush(): void {}

  aside(records: readonly AsideRecord[]): void {
    this.channels[0]!.send(aside(records))
  }
}
