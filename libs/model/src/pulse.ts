/**
 * Whether this process has stood still while something was under way: SIGSTOP, a frozen container. Who was given its work meanwhile
 * must not be disturbed by what it was about to do. (Of a machine that sleeps the monotonic clock knows nothing.)
 *
 * A timer beats, and whoever asks looks at the last beat: behind a standstill the answer is there before any timer has had its turn.
 */
import { WeirError } from './errors.ts'
import type { Clock } from './ports.ts'

/** A standstill from here on counts, ms: leaders take a task-manager for lost after 1.6 s without a heartbeat. */
export const SUSPENDED_MS = 1_500
const BEAT_MS = 250

/** @param work may ask at any time whether it goes on: `awake` throws `PROCESS_SUSPENDED` (restart) once the process has stood still. */
export async function whileAwake<T>(clock: Clock, work: (awake: () => void) => Promise<T>): Promise<T> {
  let lastBeat = clock.monotonic()
  let stoodStillMs = 0
  const look = (): void => {
    stoodStillMs = Math.max(stoodStillMs, clock.monotonic() - lastBeat - BEAT_MS)
    lastBeat = clock.monotonic()
  }
  const beat = (): void => {
    look()
    cancel = clock.after(BEAT_MS, beat)
  }
  let cancel = clock.after(BEAT_MS, beat)
  try {
    return await work(() => {
      look()
      if (stoodStillMs >= SUSPENDED_MS) throw suspended(stoodStillMs)
    })
  } finally {
    cancel()
  }
}

const suspended = (forMs: number): WeirError =>
  new WeirError(
    { code: 'PROCESS_SUSPENDED', kind: 'restart', forMs },
    `this process stood still for ${Math.round(forMs)} ms: its work is given to others by now`,
  )
