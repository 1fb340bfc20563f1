/** Time and randomness enter through these, so that a room can run inside a simulator. */
export interface Clock {
  /** Wall clock, ms since 1970: for names, people and timers of processing time, never for deciding. */
  now(): number
  /** Never goes back, ms from an arbitrary origin: for leases, timeouts and durations. */
  monotonic(): number
  /** Resolves after `ms`, or rejects with `signal.reason`. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls once after `ms` unless cancelled. */
  after(ms: number, call: () => void): Cancel
}
export type Cancel = () => void

export interface Random {
  /** 0 ≤ x < 1 */
  next(): number
  /** 128 random bits as hex. */
  nonce(): string
}
