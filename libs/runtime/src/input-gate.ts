/**
 * The inputs of a stage behind one queue: elements in order of arrival, barriers aligned, watermarks merged. Pull with
 * `next()`. A channel that has delivered its barrier is held back; its elements wait in their channel's own queue, whose
 * length is bounded by the channel's credits.
 *
 * Where barriers may overtake, one whose epoch is `due` comes before everything that waits here; what it has overtaken is
 * handed out with it, to be stored, and is processed afterwards all the same.
 */
import {
  hasArrived,
  lateChannels,
  overtakerFor,
  stepOvertaker,
  type OvertakerEffect,
  type OvertakerState,
} from '@weir/checkpoint'
import { MergedWatermark } from '@weir/dataflow'
import { WATERMARK_MAX, sameCheckpoint, type CheckpointId, type StreamElement, type Watermark } from '@weir/model'
import { Capture } from './capture.ts'
import type { InputChannel } from './channel.ts'
import { encodeFrame } from './frame.ts'
import type { GateBarrier, GateEvent, GateOptions, OvertakingGate } from './gate-event.ts'
import { Signal } from './signal.ts'

interface Entry {
  readonly channel: number
  readonly element: StreamElement
  /** As it came, where it came in one and a barrier may overtake it. */
  frame: Uint8Array | null
  /** It has used a credit of its channel. */
  readonly credited: boolean
}

export class InputGate {
  readonly #channels: readonly InputChannel[]
  readonly #nowMs: () => number
  readonly #overtaking: OvertakingGate | null
  readonly #operands: readonly number[]
  #state: OvertakerState
  #alignStartMs = 0
  /** When the first barrier of this epoch arrived. */
  #arrivedFirst: { readonly checkpoint: CheckpointId; readonly ms: number } | null = null
  /** Arrived and not looked at, in order of arrival. */
  #ready: Entry[] = []
  #readyHead = 0
  /** Behind a barrier, per channel. */
  #held: Entry[][]
  #blocked: boolean[]
  readonly #watermarks: MergedWatermark
  /** As it was handed out. */
  #isIdle = false
  #ended = 0
  /** What one element made beside the event that was handed out. */
  #following: GateEvent[] = []
  /** A barrier that has overtaken everything here. */
  #overtaken: GateBarrier | undefined
  #due: CheckpointId | null = null
  /** The newest barrier that has overtaken. */
  #overtakes: CheckpointId | null = null
  #capture: Capture | null = null
  /** Channels whose barrier has not arrived: what does goes into the capture. */
  #capturing = new Set<number>()
  #discarded: { readonly checkpoint: CheckpointId; readonly missing: readonly number[] } | null = null
  /** A capture had no room for all that came: the next barrier waits for its turn. */
  #alignNext = false
  readonly #arrived = new Signal()

  constructor(channels: readonly InputChannel[], options: GateOptions, nowMs: () => number) {
    const { attempt, restored, overtaking, inFlight, operands = channels.map(() => 0) } = options
    this.#channels = channels
    this.#operands = operands
    this.#nowMs = nowMs
    this.#overtaking = overtaking
    this.#state = overtakerFor(attempt, channels.length)
    this.#held = channels.map(() => [])
    this.#blocked = channels.map(() => false)
    this.#watermarks = new MergedWatermark(channels.map((_, i) => [i, restored]))
    for (const { channel, element } of inFlight) this.#ready.push({ channel, element, frame: null, credited: false })
    channels.forEach((channel, i) => channel.onElement((element, frame) => this.#arrive(i, element, frame)))
  }

  get watermark(): Watermark {
    return this.#watermarks.current
  }

  /** Resolves when `next()` may have something, or the signal is aborted. */
  arrival(): Promise<void> {
    return this.#following.length > 0 || this.#overtaken !== undefined || this.#readyHead < this.#ready.length
      ? Promise.resolve()
      : this.#arrived.wait()
  }

  wake(): void {
    this.#arrived.notify()
  }

  /** Undefined when nothing is there now. */
  next(): GateEvent | undefined {
    const following = this.#following.shift()
    if (following !== undefined) return following
    const overtaken = this.overtakenBarrier()
    if (overtaken !== undefined) return overtaken
    while (this.#readyHead < this.#ready.length) {
      const entry = this.#ready[this.#readyHead]!
      const { channel } = entry
      this.#readyHead++
      if (this.#readyHead === this.#ready.length) {
        this.#ready = []
        this.#readyHead = 0
      }
      if (this.#blocked[channel]) {
        // Behind its channel's barrier. Only here, so that the order of arrival within the channel is kept.
        this.#held[channel]!.push(entry)
        continue
      }
      const event = this.#take(channel, entry.element)
      if (entry.credited) this.#channels[channel]!.consumed()
      if (event !== undefined) return event
    }
    return undefined
  }

  /** What `next()` has to hand out at once, also to a stage that can take nothing else now. */
  overtakenBarrier(): GateBarrier | undefined {
    const barrier = this.#overtaken
    this.#overtaken = undefined
    return barrier
  }

  /** It has one. */
  get isOvertaken(): boolean {
    return this.#overtaken !== undefined
  }

  /** Where barriers may overtake: from now on this one does, as soon as it is there on some channel. */
  due(checkpoint: CheckpointId): void {
    this.#due = checkpoint
    this.#overtakeWhenThere(checkpoint)
  }

  giveUp(checkpoint: CheckpointId): void {
    if (this.#due !== null && this.#due.epoch <= checkpoint.epoch) this.#due = null
    this.#step({ type: 'give-up', checkpoint })
  }

  #arrive(channel: number, element: StreamElement, frame: Uint8Array | null): void {
    const isBarrier = element.kind === 'barrier'
    const credited = !(isBarrier && this.#overtaking)
    const entry = { channel, element, frame: this.#overtaking ? frame : null, credited }
    if (this.#capturing.has(channel) && !isBarrier) this.#captured(entry)
    this.#ready.push(entry)
    if (isBarrier) {
      const { checkpoint } = element
      if (this.#arrivedFirst === null || !sameCheckpoint(this.#arrivedFirst.checkpoint, checkpoint))
        this.#arrivedFirst = { checkpoint, ms: this.#nowMs() }
      this.#step({ type: 'arrived', channel, checkpoint })
      this.#overtakeWhenThere(checkpoint)
    }
    this.#arrived.notify()
  }

  #overtakeWhenThere(checkpoint: CheckpointId): void {
    if (this.#overtaking === null || this.#due === null || !sameCheckpoint(this.#due, checkpoint)) return
    if (!hasArrived(this.#state, checkpoint)) return
    this.#due = null
    if (this.#alignNext || this.#waitingBytes() > this.#overtaking.bytesMax) {
      this.#alignNext = false
      return
    }
    this.#overtakes = checkpoint
    this.#step({ type: 'due', checkpoint })
  }

  /** More than any barrier here can overtake: also what is behind one is counted. */
  #waitingBytes(): number {
    let bytes = 0
    for (const entry of [...this.#ready.slice(this.#readyHead), ...this.#held.flat()]) {
      if (entry.element.kind === 'barrier' || entry.element.kind === 'end') continue
      entry.frame ??= encodeFrame(0, entry.element)
      bytes += entry.frame.byteLength
    }
    return bytes
  }

  #captured({ channel, element, frame }: Entry): void {
    if (this.#capture!.add(this.#overtaking!.nameOf(channel), element, frame)) return
    this.#capturing.clear()
    this.#alignNext = true
  }

  /** Of an epoch just given up: channels whose barrier had not been taken, or had not come. */
  late(checkpoint: CheckpointId): readonly number[] {
    const discarded = this.#discarded
    if (discarded !== null && sameCheckpoint(discarded.checkpoint, checkpoint)) return discarded.missing
    return lateChannels(this.#state.aligner, checkpoint)
  }

  #take(channel: number, element: StreamElement): GateEvent | undefined {
    switch (element.kind) {
      case 'records':
        return { type: 'records', batch: element.batch, operand: this.#operands[channel]! }
      case 'aside':
        return { type: 'aside', records: element.records }
      case 'watermark':
        return this.#merged(() => this.#watermarks.advance(channel, element.timestamp))
      case 'idle':
        return this.#merged(() => this.#watermarks.idle(channel))
      case 'barrier': {
        if (this.#state.aligner.phase !== 'ALIGNING') this.#alignStartMs = this.#nowMs()
        const done = this.#step({ type: 'reached', channel, checkpoint: element.checkpoint })
        return done === undefined
          ? undefined
          : { type: 'barrier', checkpoint: done, alignMs: this.#nowMs() - this.#alignStartMs, overtaken: null }
      }
      case 'end': {
        // An ended channel no longer holds the watermark back; the others may be further on already.
        const advanced = this.#merged(() => this.#watermarks.advance(channel, WATERMARK_MAX))
        const all = ++this.#ended === this.#channels.length
        if (!all) return advanced
        this.#following.push({ type: 'end' })
        return advanced ?? this.#following.shift()
      }
    }
  }

  /** What a change of the channels' event times means for what lies behind. Active again comes before its watermark. */
  #merged(change: () => Watermark): GateEvent | undefined {
    const before = this.#watermarks.current
    const timestamp = change()
    const { isIdle } = this.#watermarks
    const advanced: GateEvent[] = timestamp > before ? [{ type: 'watermark', timestamp }] : []
    if (isIdle === this.#isIdle) return advanced[0]
    this.#isIdle = isIdle
    this.#following.push(...advanced)
    return { type: 'idle', isIdle }
  }

  /** Of the epoch that overtakes: its barrier is taken out where it is there, those of older epochs mean nothing. */
  #captureWaiting(channel: number, until: 'barrier' | 'arrival'): void {
    const checkpoint = this.#overtakes!
    for (let i = this.#readyHead; i < this.#ready.length; i++) {
      const entry = this.#ready[i]!
      if (entry.channel !== channel) continue
      const { element } = entry
      if (until === 'barrier' && element.kind === 'barrier' && sameCheckpoint(element.checkpoint, checkpoint)) {
        this.#ready.splice(i, 1)
        return
      }
      this.#captured(entry)
    }
  }

  #endCapture(): void {
    this.#capture = null
    this.#capturing.clear()
  }

  /** @returns the barrier that is aligned by it. */
  #step(event: Parameters<typeof stepOvertaker>[1]): CheckpointId | undefined {
    const { state, effects } = stepOvertaker(this.#state, event)
    this.#state = state
    let aligned: CheckpointId | undefined
    for (const effect of effects) aligned = this.#perform(effect) ?? aligned
    return aligned
  }

  #perform(effect: OvertakerEffect): CheckpointId | undefined {
    switch (effect.type) {
      case 'block':
        this.#blocked[effect.channel] = true
        return undefined
      case 'unblock': {
        // Held elements are older than anything that has arrived on their channel since: they go first.
        const later = this.#ready.slice(this.#readyHead)
        this.#ready = []
        this.#readyHead = 0
        this.#held.forEach((elements) => this.#ready.push(...elements))
        this.#held = this.#channels.map(() => [])
        this.#blocked = this.#channels.map(() => false)
        this.#ready.push(...later)
        if (this.#ready.length > 0) this.#arrived.notify()
        return undefined
      }
      case 'snapshot': {
        if (this.#capture === null) return effect.checkpoint
        const { checkpoint } = effect
        const alignMs = this.#nowMs() - (this.#arrivedFirst?.ms ?? this.#nowMs())
        this.#overtaken = { type: 'barrier', checkpoint, alignMs, overtaken: this.#capture }
        this.#arrived.notify()
        this.#overtaking!.onOvertaken()
        return undefined
      }
      case 'capture': {
        this.#capture ??= new Capture(this.#overtaking!.bytesMax)
        if (effect.until === 'arrival') this.#capturing.add(effect.channel)
        this.#captureWaiting(effect.channel, effect.until)
        return undefined
      }
      case 'complete':
        this.#capturing.delete(effect.channel)
        this.#ready.pop() // the barrier that has just arrived
        return undefined
      case 'captured':
        this.#capture!.complete()
        this.#endCapture()
        return undefined
      case 'discard':
        this.#discarded = { checkpoint: effect.checkpoint, missing: [...this.#capturing] }
        this.#endCapture()
        return undefined
    }
  }
}
