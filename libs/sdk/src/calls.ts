/** Bounds of `asyncMap`, as a job writes them. */
import type { AsyncMapNode, CallMode } from '@weir/dataflow'
import { durationMs, type Duration } from './duration.ts'

export interface CallOptions {
  /** `ordered` (default): as records came in. `unordered`: as calls come back, never across a watermark; records of one key may swap. */
  readonly mode?: CallMode
  /** Called and not handed on at once, per subtask. Default 100. */
  readonly capacity?: number
  /** Of one try, whatever the function does. Default 10 s. */
  readonly timeout?: Duration
  /** Tries after the first one. Default 3. */
  readonly retries?: number
  /** Before the second try, doubled before every other one, up to `backoffMax`. Default 100 ms, at most 5 s. */
  readonly backoff?: Duration
  readonly backoffMax?: Duration
  /** False: the error would come again, so the call is not made again. Default: every one is tried again. */
  readonly retryIf?: (error: unknown) => boolean
  /**
   * When the last try has failed. `dead-letter` (default): the record goes where dead letters go; in a job without them, and with
   * `restart`: the attempt restarts, as its restart strategy says, and the record is called again. In an outage of what is called
   * `restart` waits for it to be over.
   */
  readonly onFailure?: AsyncMapNode['onFailure']
}

export function callsOf(options: CallOptions = {}): Omit<AsyncMapNode, 'kind' | 'uid' | 'call'> {
  const { mode = 'ordered', capacity = 100, timeout = '10s', retries = 3, backoff = '100ms' } = options
  const { backoffMax = '5s', retryIf = null, onFailure = 'dead-letter' } = options
  const [timeoutMs, backoffMs] = [Math.ceil(durationMs(timeout)), Math.ceil(durationMs(backoff))]
  const backoffMsMax = Math.max(backoffMs, Math.ceil(durationMs(backoffMax)))
  return { mode, capacity, timeoutMs, retries, backoffMs, backoffMsMax, retryIf, onFailure }
}
