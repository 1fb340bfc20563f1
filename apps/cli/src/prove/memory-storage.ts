/** Frames in memory: the log of a proof lives in the process that judges it, and is killed with nobody. */
import type { LogStorage } from '@weir/connectors'

type FrameRef = ReturnType<LogStorage['append']>

export class MemoryStorage implements LogStorage {
  readonly #frames = new Map<number, Buffer>()
  #end = 0

  replay(): Promise<void> {
    return Promise.resolve()
  }

  append(payload: Uint8Array): FrameRef {
    const frame = { position: this.#end, length: payload.byteLength }
    this.#frames.set(frame.position, Buffer.from(payload))
    this.#end += payload.byteLength
    return frame
  }

  flushed(): Promise<void> {
    return Promise.resolve()
  }

  sync(): Promise<void> {
    return Promise.resolve()
  }

  read({ position }: FrameRef): Promise<Buffer> {
    return Promise.resolve(this.#frames.get(position)!)
  }

  close(): Promise<void> {
    this.#frames.clear()
    return Promise.resolve()
  }
}
