/**
 * What the task loop asks of the world: links to other slices. The task-manager binds gRPC streams (between processes)
 * and MessagePorts (between threads of one process) to these.
 */
import type { AttemptId, JobId, Subtask } from '@weir/model'

/** One direction of one exchange edge: everything that must match before a frame may flow (PROTOCOL B8). */
export interface LinkId {
  readonly jobId: JobId
  readonly attempt: AttemptId
  readonly from: Subtask
  readonly to: Subtask
  /** Index of the receiving stage. */
  readonly stage: number
  /** Which of its inputs: two stages may send to it. */
  readonly input: number
}

/**
 * Sending half. Frames arrive in order, none is skipped or repeated; a link that cannot keep this breaks.
 * The receiver grants credits; the sender starts with none.
 */
export interface OutboundLink {
  readonly id: LinkId
  /** Frames that may be sent now. */
  readonly credits: number
  /** Takes ownership of the frame (it may be transferred). Throws when `credits` is 0. */
  send(frame: Uint8Array): void
  /** Called after credits were added. One listener. */
  onCredit(call: () => void): void
  /** Called at most once; never after `close`. */
  onBroken(call: (error: Error) => void): void
  close(): void
}

/** Receiving half. Grants nothing by itself. */
export interface InboundLink {
  readonly id: LinkId
  /** Frames that are on the way on a link of this kind while both slots are busy and neither waits for the other. */
  readonly framesMax: number
  /** One listener, set before the first `grant`. The frame belongs to the listener. */
  onFrame(call: (frame: Uint8Array) => void): void
  onBroken(call: (error: Error) => void): void
  /** Allows `frames` further frames. */
  grant(frames: number): void
  close(): void
}

/** Where a peer slice lives. */
export interface PeerAddress {
  readonly subtask: Subtask
  readonly taskManagerId: string
  /** host:port of its data endpoint. */
  readonly exchangeAddress: string
}

/** Opens links for one slot. Every wait inside is bounded and ends with the signal. */
export interface ExchangePort {
  connect(id: LinkId, peer: PeerAddress, signal: AbortSignal): Promise<OutboundLink>
  /** Resolves when the sender has connected; a sender with another id is refused (`EXCHANGE_HANDSHAKE_REFUSED`). */
  accept(id: LinkId, peer: PeerAddress, signal: AbortSignal): Promise<InboundLink>
}
