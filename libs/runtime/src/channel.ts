/**
 * One direction between two stages of two slices: elements in order, credits against overrun. In one thread elements
 * are passed by reference; between threads and processes they travel as frames over a link.
 */
import { barrier, sameCheckpoint, type CheckpointId, type StreamElement } from '@weir/model'
import { FrameSize } from './frame-size.ts'
import { decodeFrame, encodeFrame } from './frame.ts'
import type { InboundLink, OutboundLink } from './ports.ts'
import { roughBytes } from './rough-bytes.ts'

/** Elements in flight per channel, and frames per link: with `FRAME_BYTES_MAX` a bound of the receiver's memory. */
export const CHANNEL_CREDITS = 8
/** From here on what is in flight on all of them lasts for a round trip, and more would only be longer in front of a barrier. */
const MANY_CHANNELS = 4
/** In flight where elements are passed by reference. One that is larger alone is on the way alone: it was made at once. */
export const LOCAL_BYTES_MAX = 4 << 20

export interface OutputChannel {
  /** Never blocks and never loses: what has no credit waits here; callers hold back while `waiting` > 0. */
  send(element: StreamElement): void
  /** Elements that wait for credit. */
  readonly waiting: number
  /** What waits in front of this barrier; null: the barrier is on its way, or was never sent. */
  inFrontOf(checkpoint: CheckpointId): readonly StreamElement[] | null
  /** The barrier goes in front of what waits. Barriers of older epochs that wait there are dropped: nobody needs them. */
  overtake(checkpoint: CheckpointId): void
  /** One listener, called when a barrier is on its way. */
  onBarrier(call: (checkpoint: CheckpointId) => void): void
  close(): void
}

export interface InputChannel {
  /** One listener; called in order. `frame`: as it came, of a remote channel. It is not changed and may be kept. */
  onElement(call: (element: StreamElement, frame: Uint8Array | null) => void): void
  /** One element was consumed: the sender may send one more. */
  consumed(): void
  close(): void
}

export interface ChannelOptions {
  /**
   * Barriers may overtake on this edge: one more credit is theirs alone, given back when they arrive, and the receiver
   * consumes none for them.
   */
  readonly overtaking: boolean
}

export interface InputOptions extends ChannelOptions {
  /** Of the receiving stage, this one included. */
  readonly channels: number
}

/** Elements that wait for credit, in order. */
class Waiting {
  #elements: StreamElement[] = []

  get length(): number {
    return this.#elements.length
  }

  get first(): StreamElement | undefined {
    return this.#elements[0]
  }

  push(element: StreamElement): void {
    this.#elements.push(element)
  }

  shift(): StreamElement | undefined {
    return this.#elements.shift()
  }

  putBack(...elements: readonly StreamElement[]): void {
    this.#elements.unshift(...elements)
  }

  inFrontOf(checkpoint: CheckpointId): readonly StreamElement[] | null {
    const at = this.#elements.findIndex((e) => e.kind === 'barrier' && sameCheckpoint(e.checkpoint, checkpoint))
    return at < 0 ? null : this.#elements.slice(0, at)
  }

  overtake(checkpoint: CheckpointId): void {
    const overtaken = this.inFrontOf(checkpoint)
    if (overtaken === null) return
    const behind = this.#elements.slice(overtaken.length + 1)
    this.#elements = [barrier(checkpoint), ...overtaken.filter((e) => e.kind !== 'barrier'), ...behind]
  }

  clear(): void {
    this.#elements = []
  }
}

/** Both ends of a channel inside one thread. */
export class LocalChannel implements OutputChannel, InputChannel {
  #call: (element: StreamElement, frame: null) => void = () => {}
  #onBarrier: (checkpoint: CheckpointId) => void = () => {}
  /** Of what was delivered and not consumed, oldest first. */
  readonly #inFlight: number[] = []
  #inFlightBytes = 0
  readonly #queue = new Waiting()
  readonly #onRoom: () => void
  readonly #overtaking: boolean

  constructor(onRoom: () => void, { overtaking }: ChannelOptions) {
    this.#onRoom = onRoom
    this.#overtaking = overtaking
  }

  get waiting(): number {
    return this.#queue.length
  }

  send(element: StreamElement): void {
    const bytes = bytesOf(element)
    if (this.#queue.length > 0 || !this.#mayGo(element, bytes)) this.#queue.push(element)
    else this.#deliver(element, bytes)
  }

  inFrontOf(checkpoint: CheckpointId): readonly StreamElement[] | null {
    return this.#queue.inFrontOf(checkpoint)
  }

  overtake(checkpoint: CheckpointId): void {
    this.#queue.overtake(checkpoint)
    this.#flow()
  }

  onBarrier(call: (checkpoint: CheckpointId) => void): void {
    this.#onBarrier = call
  }

  onElement(call: (element: StreamElement, frame: null) => void): void {
    this.#call = call
  }

  consumed(): void {
    this.#inFlightBytes -= this.#inFlight.shift()!
    this.#flow()
    if (this.#queue.length === 0) this.#onRoom()
  }

  close(): void {
    this.#queue.clear()
    this.#call = () => {}
  }

  #flow(): void {
    for (let next = this.#queue.first; next !== undefined; next = this.#queue.first) {
      const bytes = bytesOf(next)
      if (!this.#mayGo(next, bytes)) return
      this.#queue.shift()
      this.#deliver(next, bytes)
    }
  }

  #deliver(element: StreamElement, bytes: number): void {
    if (!this.#isFree(element)) {
      this.#inFlight.push(bytes)
      this.#inFlightBytes += bytes
    }
    this.#call(element, null)
    if (element.kind === 'barrier') this.#onBarrier(element.checkpoint)
  }

  #mayGo(element: StreamElement, bytes: number): boolean {
    if (this.#isFree(element) || this.#inFlight.length === 0) return true
    return this.#inFlight.length < CHANNEL_CREDITS && this.#inFlightBytes + bytes <= LOCAL_BYTES_MAX
  }

  #isFree({ kind }: StreamElement): boolean {
    return this.#overtaking && kind === 'barrier'
  }
}

const bytesOf = (element: StreamElement): number => (element.kind === 'records' ? roughBytes(element.batch) : 0)

export class RemoteOutput implements OutputChannel {
  readonly #link: OutboundLink
  readonly #overtaking: boolean
  #sequence = 0
  readonly #queue = new Waiting()
  readonly #size = new FrameSize()
  #failure: unknown = null
  #onBarrier: (checkpoint: CheckpointId) => void = () => {}

  constructor(link: OutboundLink, onRoom: () => void, { overtaking }: ChannelOptions) {
    this.#link = link
    this.#overtaking = overtaking
    link.onCredit(() => {
      try {
        this.#flow()
      } catch (error) {
        this.#failure = error
      }
      if (this.#queue.length === 0 || this.#failure !== null) onRoom()
    })
  }

  /** Throws what could not be sent when there was credit for it: nobody else is there to hear of it. */
  get waiting(): number {
    if (this.#failure !== null) throw this.#failure as Error
    return this.#queue.length
  }

  send(element: StreamElement): void {
    this.#queue.push(element)
    this.#flow()
  }

  inFrontOf(checkpoint: CheckpointId): readonly StreamElement[] | null {
    return this.#queue.inFrontOf(checkpoint)
  }

  overtake(checkpoint: CheckpointId): void {
    this.#queue.overtake(checkpoint)
    this.#flow()
  }

  onBarrier(call: (checkpoint: CheckpointId) => void): void {
    this.#onBarrier = call
  }

  close(): void {
    this.#queue.clear()
    this.#link.close()
  }

  #flow(): void {
    for (let next = this.#queue.first; next !== undefined && this.#mayGo(next); next = this.#queue.first) {
      this.#queue.shift()
      const parts = this.#size.split(next)
      if (parts !== null) this.#queue.putBack(...parts)
      else this.#transmit(next)
    }
  }

  #transmit(element: StreamElement): void {
    const frame = encodeFrame(this.#sequence, element)
    if (!this.#size.fits(element, frame.byteLength)) return this.#queue.putBack(element)
    this.#sequence++
    this.#link.send(frame)
    if (element.kind === 'barrier') this.#onBarrier(element.checkpoint)
  }

  #mayGo({ kind }: StreamElement): boolean {
    const kept = this.#overtaking && kind !== 'barrier' ? 1 : 0
    return this.#link.credits > kept
  }
}

export class RemoteInput implements InputChannel {
  readonly #link: InboundLink
  readonly #overtaking: boolean
  readonly #credits: number
  #sequence = 0

  constructor(link: InboundLink, { overtaking, channels }: InputOptions) {
    this.#link = link
    this.#overtaking = overtaking
    this.#credits = channels < MANY_CHANNELS ? link.framesMax : CHANNEL_CREDITS
  }

  onElement(call: (element: StreamElement, frame: Uint8Array) => void): void {
    this.#link.onFrame((frame) => {
      const element = decodeFrame(frame, this.#sequence++)
      if (this.#overtaking && element.kind === 'barrier') this.#link.grant(1)
      call(element, frame)
    })
    this.#link.grant(this.#credits + (this.#overtaking ? 1 : 0))
  }

  consumed(): void {
    this.#link.grant(1)
  }

  close(): void {
    this.#link.close()
  }
}
