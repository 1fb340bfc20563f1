/** A thread, as a slot is one, with a slice whose source is blocked. Told to stop, it says when its source knew. */
import { parentPort } from 'node:worker_threads'
import { startSlice } from './slice.ts'

export const BLOCKED_BY = ['tokens', 'an empty poll', 'an exchange without room', 'a sink that takes nothing'] as const
export type BlockedBy = (typeof BLOCKED_BY)[number]

const unlimited = { recordsPerSecond: null, minRecordsPerSecond: null }
const now = (): number => performance.timeOrigin + performance.now()
const main = parentPort
let stop: () => void = () => {}

async function block(by: BlockedBy): Promise<void> {
  const slice = await startSlice({
    rates: by === 'tokens' ? { recordsPerSecond: 0.01, minRecordsPerSecond: null } : unlimited,
    isExchanged: by === 'an exchange without room',
    sinkPerSecond: () => 0,
    read: by === 'an empty poll' ? null : () => {},
    onSignal: (signal) =>
      signal.addEventListener('abort', () => main!.postMessage({ reachedAt: now() }), { once: true }),
  })
  stop = () => void slice.stop('abort')
  // Until whatever has room is full.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  main!.postMessage('blocked')
}

main?.on('message', (message: { readonly by: BlockedBy } | 'stop') => {
  if (message === 'stop') stop()
  else void block(message.by)
})
