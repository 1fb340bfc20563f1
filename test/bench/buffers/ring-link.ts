/** The links of the exchange (`OutboundLink`, `InboundLink`) over a ring in shared memory: what a MessagePort does today. */
import type { InboundLink, LinkId, OutboundLink } from '@weir/runtime'
import { SharedRing, type RingMemory } from './shared-ring.ts'

/** Credits are free slots: nothing is sent back for them. */
export class RingOutbound implements OutboundLink {
  readonly id: LinkId
  readonly #ring: SharedRing
  #onCredit: () => void = () => {}
  #waits = false

  constructor(id: LinkId, memory: RingMemory) {
    this.id = id
    this.#ring = new SharedRing(memory)
  }

  get credits(): number {
    const { capacity, size } = this.#ring
    if (size === capacity) void this.#tellRoom()
    return capacity - size
  }

  send(frame: Uint8Array): void {
    if (!this.#ring.offer(frame)) throw new Error('the ring is full')
  }

  onCredit(call: () => void): void {
    this.#onCredit = call
  }

  onBroken(): void {}

  close(): void {
    this.#ring.close()
  }

  async #tellRoom(): Promise<void> {
    if (this.#waits) return
    this.#waits = true
    await this.#ring.roomy()
    this.#waits = false
    if (!this.#ring.isClosed) this.#onCredit()
  }
}

export class RingInbound implements InboundLink {
  readonly id: LinkId
  /** Bounded by the ring. */
  readonly framesMax = Number.POSITIVE_INFINITY
  readonly #ring: SharedRing

  constructor(id: LinkId, memory: RingMemory) {
    this.id = id
    this.#ring = new SharedRing(memory)
  }

  onFrame(call: (frame: Uint8Array) => void): void {
    void this.#read(call)
  }

  onBroken(): void {}
  grant(): void {}

  close(): void {
    this.#ring.close()
  }

  async #read(call: (frame: Uint8Array) => void): Promise<void> {
    while (!this.#ring.isClosed) {
      for (let frame = this.#ring.poll(); frame !== undefined; frame = this.#ring.poll()) call(frame)
      await this.#ring.filled()
    }
  }
}
