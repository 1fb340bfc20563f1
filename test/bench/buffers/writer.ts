/** The thread that writes, of the test. */
import { workerData } from 'node:worker_threads'
import { SharedRing, type RingMemory } from './shared-ring.ts'

const { memory, frames } = workerData as { readonly memory: RingMemory; readonly frames: number }
const ring = new SharedRing(memory)
/** A thread that waits for shared memory alone has nothing to live for, and ends. */
const alive = setInterval(() => {}, 60_000)
for (let value = 0; value < frames; value++) {
  const frame = Uint8Array.from({ length: value % ring.slotBytes }, (_, i) => (value + i) & 255)
  while (!ring.offer(frame)) await ring.roomy()
}
clearInterval(alive)
