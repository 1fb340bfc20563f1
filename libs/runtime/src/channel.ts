/**
 * One direction between two stages of two slices: elements in order, credits against overrun. In one thread elements
 * are passed by reference; between threads and processes they travel as frames over a link.
 */
import type { StreamElement } from '@weir/model'
import { decodeFrame, encodeFrame } from './frame.ts'
import type { InboundLink, OutboundLink } from './ports.ts'

/** Frames in flight per link: the receiver's memory bound is this × the batch size × its channels. */
export const CHANNEL_CREDITS = 8

export interface OutputChannel {
  /** Never blocks and never loses: what has no credit waits here; callers hold back while `waiting` > 0. */
  send(element: StreamElement): void
  /** Elements that wait for credit. */
  readonly waiting: number
  close(): void
}

export interface InputChannel {
  /** One listener; called in order. */
  onElement(call: (element: StreamElement) => void): void
  /** One element was consumed: the sender may send one more. */
  consumed(): void
  close(): void
}

/** Both ends of a channel inside one thread. */
export class LocalChannel implements OutputChannel, InputChannel {
  #call: (element: StreamElement) => void = () => {}
  #inFlight = 0
  #queue: StreamElement[] = []
  readonly #onRoom: () => void

  constructor(onRoom: () => void) {
    this.#onRoom = onRoom
  }

  get waiting(): number {
    return this.#queue.length
  }

  send(element: StreamElement): void {
    if (this.#inFlight >= CHANNEL_CREDITS) this.#queue.push(element)
    else {
      this.#inFlight++
      this.#call(element)
    }
  }

  onElement(call: (element: StreamElement) => void): void {
    this.#call = call
  }

  consumed(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#inFlight--
    else this.#call(next)
    if (this.#queue.length === 0) this.#onRoom()
  }

  close(): void {
    this.#queue = []
    this.#call = () => {}
  }
}

export class RemoteOutput implements OutputChannel {
  readonly #link: OutboundLink
  #sequence = 0
  #queue: StreamElement[] = []

  constructor(link: OutboundLink, onRoom: () => void) {
    this.#link = link
    link.onCredit(() => {
      while (this.#queue.length > 0 && link.credits > 0) this.#transmit(this.#queue.shift()!)
      if (this.#queue.length === 0) onRoom()
    })
  }

  get waiting(): number {
    return this.#queue.length
  }

  send(element: StreamElement): void {
    if (this.#queue.length > 0 || this.#link.credits === 0) this.#queue.push(element)
    else this.#transmit(element)
  }

  #transmit(element: StreamElement): void {
    this.#link.send(encodeFrame(this.#sequence++, element))
  }

  close(): void {
    this.#queue = []
    this.#link.close()
  }
}

export class RemoteInput implements InputChannel {
  readonly #link: InboundLink
  #sequence = 0

  constructor(link: InboundLink) {
    this.#link = link
  }

  onElement(call: (element: StreamElement) => void): void {
    this.#link.onFrame((frame) => call(decodeFrame(frame, this.#sequence++)))
    this.#link.grant(CHANNEL_CREDITS)
  }

  consumed(): void {
    this.#link.grant(1)
  }

  close(): void {
    this.#link.close()
  }
}
