/**
 * The inputs of a stage behind one queue: elements in order of arrival, barriers aligned, watermarks merged. Pull with
 * `next()`. A channel that has delivered its barrier is held back; its elements wait in their channel's own queue, whose
 * length is bounded by the channel's credits.
 */
import { alignerFor, lateChannels, stepAligner, type AlignerState, type AlignerEffect } from '@weir/checkpoint'
import {
  WATERMARK_MAX,
  type AsideRecord,
  type AttemptId,
  type CheckpointId,
  type RecordBatch,
  type StreamElement,
  type Watermark,
} from '@weir/model'
import type { InputChannel } from './channel.ts'
import { Signal } from './signal.ts'

export type GateEvent =
  | { readonly type: 'records'; readonly batch: RecordBatch }
  /** The minimum over all channels has grown. */
  | { readonly type: 'watermark'; readonly timestamp: Watermark }
  /** Every channel has delivered this barrier; nothing behind it has been handed out. */
  | { readonly type: 'barrier'; readonly checkpoint: CheckpointId; readonly alignMs: number }
  | { readonly type: 'aside'; readonly records: readonly AsideRecord[] }
  /** Every channel has ended. Barriers may still follow. */
  | { readonly type: 'end' }

export class InputGate {
  readonly #channels: readonly InputChannel[]
  readonly #nowMs: () => number
  #aligner: AlignerState
  #alignStartMs = 0
  /** Arrived and not looked at, in order of arrival. */
  #ready: { channel: number; element: StreamElement }[] = []
  #readyHead = 0
  /** Behind a barrier, per channel. */
  #held: StreamElement[][]
  #blocked: boolean[]
  #watermarks: Watermark[]
  #watermark: Watermark
  #ended = 0
  /** The second of two events that one element made. */
  #following: GateEvent | undefined
  readonly #arrived = new Signal()

  constructor(channels: readonly InputChannel[], attempt: AttemptId, restored: Watermark, nowMs: () => number) {
    this.#channels = channels
    this.#nowMs = nowMs
    this.#aligner = alignerFor(attempt, channels.length)
    this.#held = channels.map(() => [])
    this.#blocked = channels.map(() => false)
    this.#watermarks = channels.map(() => restored)
    this.#watermark = restored
    channels.forEach((channel, i) => {
      channel.onElement((element) => {
        this.#ready.push({ channel: i, element })
        this.#arrived.notify()
      })
    })
  }

  get watermark(): Watermark {
    return this.#watermark
  }

  /** Resolves when `next()` may have something, or the signal is aborted. */
  arrival(): Promise<void> {
    return this.#following !== undefined || this.#readyHead < this.#ready.length
      ? Promise.resolve()
      : this.#arrived.wait()
  }

  wake(): void {
    this.#arrived.notify()
  }

  /** Undefined when nothing is there now. */
  next(): GateEvent | undefined {
    const following = this.#following
    if (following !== undefined) {
      this.#following = undefined
      return following
    }
    while (this.#readyHead < this.#ready.length) {
      const { channel, element } = this.#ready[this.#readyHead]!
      this.#readyHead++
      if (this.#readyHead === this.#ready.length) {
        this.#ready = []
        this.#readyHead = 0
      }
      if (this.#blocked[channel]) {
        // Behind its channel's barrier. Only here, so that the order of arrival within the channel is kept.
        this.#held[channel]!.push(element)
        continue
      }
      const event = this.#take(channel, element)
      this.#channels[channel]!.consumed()
      if (event !== undefined) return event
    }
    return undefined
  }

  giveUp(checkpoint: CheckpointId): void {
    this.#align({ type: 'give-up', checkpoint })
  }

  /** Of an epoch just given up: channels whose barrier had not been taken. */
  late(checkpoint: CheckpointId): readonly number[] {
    return lateChannels(this.#aligner, checkpoint)
  }

  #take(channel: number, element: StreamElement): GateEvent | undefined {
    switch (element.kind) {
      case 'records':
        return { type: 'records', batch: element.batch }
      case 'aside':
        return { type: 'aside', records: element.records }
      case 'watermark':
        return this.#advance(channel, element.timestamp)
      case 'barrier': {
        if (this.#aligner.phase !== 'ALIGNING') this.#alignStartMs = this.#nowMs()
        const done = this.#align({ type: 'barrier', channel, checkpoint: element.checkpoint })
        return done === undefined
          ? undefined
          : { type: 'barrier', checkpoint: done, alignMs: this.#nowMs() - this.#alignStartMs }
      }
      case 'end': {
        // An ended channel no longer holds the watermark back; the others may be further on already.
        const advanced = this.#advance(channel, WATERMARK_MAX)
        const all = ++this.#ended === this.#channels.length
        if (!all) return advanced
        if (advanced === undefined) return { type: 'end' }
        this.#following = { type: 'end' }
        return advanced
      }
    }
  }

  #advance(channel: number, timestamp: Watermark): GateEvent | undefined {
    if (timestamp <= this.#watermarks[channel]!) return undefined
    this.#watermarks[channel] = timestamp
    const lowest = Math.min(...this.#watermarks)
    if (lowest <= this.#watermark) return undefined
    this.#watermark = lowest
    return { type: 'watermark', timestamp: lowest }
  }

  #align(event: Parameters<typeof stepAligner>[1]): CheckpointId | undefined {
    const { state, effects } = stepAligner(this.#aligner, event)
    this.#aligner = state
    let snapshot: CheckpointId | undefined
    for (const effect of effects) snapshot = this.#perform(effect) ?? snapshot
    return snapshot
  }

  #perform(effect: AlignerEffect): CheckpointId | undefined {
    switch (effect.type) {
      case 'block':
        this.#blocked[effect.channel] = true
        return undefined
      case 'unblock': {
        // Held elements are older than anything that has arrived on their channel since: they go first.
        const later = this.#ready.slice(this.#readyHead)
        this.#ready = []
        this.#readyHead = 0
        this.#held.forEach((elements, channel) => {
          for (const element of elements) this.#ready.push({ channel, element })
        })
        this.#held = this.#channels.map(() => [])
        this.#blocked = this.#channels.map(() => false)
        this.#ready.push(...later)
        if (this.#ready.length > 0) this.#arrived.notify()
        return undefined
      }
      case 'snapshot':
        return effect.checkpoint
    }
  }
}
