/** The real clock and randomness, for the rims and drivers. Not exported from the pure rooms' point of view: inject it. */
import type { Clock, Random } from './ports.ts'

const g = globalThis as unknown as {
  performance: { now(): number }
  crypto: { getRandomValues(a: Uint8Array): Uint8Array }
  setTimeout(call: () => void, ms: number): { unref?(): void }
  clearTimeout(t: unknown): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => g.performance.now(),
  after(ms, call) {
    const t = g.setTimeout(call, ms)
    return () => g.clearTimeout(t)
  },
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const onAbort = () => {
        g.clearTimeout(t)
        reject(signal!.reason as Error)
      }
      const t = g.setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  },
}

export const systemRandom: Random = {
  next: () => Math.random(),
  nonce() {
    let hex = ''
    for (const b of g.crypto.getRandomValues(new Uint8Array(16))) hex += b.toString(16).padStart(2, '0')
    return hex
  },
}
