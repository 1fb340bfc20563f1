/**
 * Between two threads: frames in slots of shared memory, each copied in and out. The writer owns `WRITTEN`, the reader `READ`; both are
 * counters that only grow (modulo 2³²), so the ring needs no lock.
 *
 * Who waits raises a flag, looks once more, and sleeps on the flag while it is up. Who moves a counter then takes the flag down, and wakes
 * whom it belonged to. Atomics are totally ordered, so one of the two sees the other: no wake-up is lost, and none is sent for nothing.
 */
import { checkCapacity, type BoundedBuffer } from './bounded-buffer.ts'

const WRITTEN = 0
const READ = 1
const READER_WAITS = 2
const WRITER_WAITS = 3
const CLOSED = 4
const CONTROL_INTS = 5

export interface RingMemory {
  readonly control: SharedArrayBuffer
  readonly bytes: SharedArrayBuffer
  readonly capacity: number
}

/** A slot begins with the length of what is in it. */
const LENGTH_BYTES = 4

export class SharedRing implements BoundedBuffer<Uint8Array> {
  readonly capacity: number
  readonly slotBytes: number
  readonly #control: Int32Array<SharedArrayBuffer>
  readonly #bytes: Uint8Array
  readonly #lengths: DataView
  /** Offsets of the next slot: of an end that writes, and of one that reads. */
  #writeAt = 0
  #readAt = 0

  static memory(capacity: number, slotBytes: number): RingMemory {
    return {
      control: new SharedArrayBuffer(CONTROL_INTS * Int32Array.BYTES_PER_ELEMENT),
      bytes: new SharedArrayBuffer(checkCapacity(capacity) * (slotBytes + LENGTH_BYTES)),
      capacity,
    }
  }

  /** Each of the two ends once, before anything is written. */
  constructor({ control, bytes, capacity }: RingMemory) {
    this.capacity = capacity
    this.slotBytes = bytes.byteLength / capacity - LENGTH_BYTES
    this.#control = new Int32Array(control)
    this.#bytes = new Uint8Array(bytes)
    this.#lengths = new DataView(bytes)
  }

  get size(): number {
    return (Atomics.load(this.#control, WRITTEN) - Atomics.load(this.#control, READ)) | 0
  }

  get isClosed(): boolean {
    return Atomics.load(this.#control, CLOSED) === 1
  }

  /** The writer's. Throws a RangeError where the frame is larger than a slot. */
  offer(frame: Uint8Array): boolean {
    if (frame.length > this.slotBytes) throw new RangeError(`${frame.length} bytes do not fit ${this.slotBytes}`)
    const written = Atomics.load(this.#control, WRITTEN)
    if (((written - Atomics.load(this.#control, READ)) | 0) === this.capacity) return false
    this.#lengths.setUint32(this.#writeAt, frame.length, true)
    this.#bytes.set(frame, this.#writeAt + LENGTH_BYTES)
    this.#writeAt = this.#behind(this.#writeAt)
    this.#moved(WRITTEN, written, READER_WAITS)
    return true
  }

  /** The reader's. The frame is its own. */
  poll(): Uint8Array | undefined {
    const read = Atomics.load(this.#control, READ)
    if (read === Atomics.load(this.#control, WRITTEN)) return undefined
    const from = this.#readAt + LENGTH_BYTES
    const frame = this.#bytes.slice(from, from + this.#lengths.getUint32(this.#readAt, true))
    this.#readAt = this.#behind(this.#readAt)
    this.#moved(READ, read, WRITER_WAITS)
    return frame
  }

  /** Resolves when there may be something, or the ring is closed; undefined: it is so. */
  filled(): Promise<void> | undefined {
    return this.#wait(READER_WAITS, () => this.size > 0)
  }

  /** Resolves when there may be room, or the ring is closed; undefined: it is so. */
  roomy(): Promise<void> | undefined {
    return this.#wait(WRITER_WAITS, () => this.size < this.capacity)
  }

  /** Wakes whoever waits. */
  close(): void {
    Atomics.store(this.#control, CLOSED, 1)
    for (const flag of [READER_WAITS, WRITER_WAITS]) this.#wake(flag)
  }

  #wait(flag: number, isSo: () => boolean): Promise<void> | undefined {
    Atomics.store(this.#control, flag, 1)
    if (isSo() || this.isClosed) return undefined
    const { async, value } = Atomics.waitAsync(this.#control, flag, 1)
    return async ? value.then(() => {}) : undefined
  }

  #moved(counter: number, from: number, flag: number): void {
    Atomics.store(this.#control, counter, (from + 1) | 0)
    this.#wake(flag)
  }

  #wake(flag: number): void {
    if (Atomics.exchange(this.#control, flag, 0) === 1) Atomics.notify(this.#control, flag)
  }

  #behind(at: number): number {
    const next = at + this.slotBytes + LENGTH_BYTES
    return next < this.#bytes.length ? next : 0
  }
}
