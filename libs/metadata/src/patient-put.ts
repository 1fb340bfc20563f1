/** Writing through an outage of the object store. */
import type { ObjectStore } from '@weir/checkpoint'
import { WeirError, type Clock } from '@weir/model'

const RETRY_MS = 100
const RETRY_MAX_MS = 2_000

export interface Patience {
  readonly clock: Clock
  /** Ends the waiting: the attempt's. */
  readonly signal: AbortSignal
  /** Since the first try, ms; then what the store said is thrown. Infinity: the signal alone ends it. */
  readonly budgetMs: number
}

/**
 * An unconditional put, again and again while the store does not answer (kind `retry`): such a put carries the same bytes
 * however often it is sent. A refusal is thrown at once.
 */
export async function putPatiently(
  objects: ObjectStore,
  key: string,
  bytes: Uint8Array,
  patience: Patience,
): Promise<void> {
  await patiently(() => objects.put(key, bytes), patience)
}

/** `call` must be harmless to repeat. */
export async function patiently<T>(call: () => Promise<T>, { clock, signal, budgetMs }: Patience): Promise<T> {
  const deadline = clock.monotonic() + budgetMs
  for (let delay = RETRY_MS; ; delay = Math.min(delay * 2, RETRY_MAX_MS)) {
    signal.throwIfAborted()
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof WeirError) || error.kind !== 'retry') throw error
      if (clock.monotonic() + delay >= deadline) throw error
      await clock.sleep(delay, signal)
    }
  }
}
