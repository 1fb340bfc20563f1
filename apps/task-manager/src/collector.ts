/** V8's collector, for threads whose memory is mostly in buffers. */
import { setFlagsFromString } from 'node:v8'

/**
 * By default V8 looks through the whole heap for every 64 MiB of new buffers, whatever became of the old ones: a slot that moves
 * frames and batches does so every second or two, beside a state of 100 MiB that has hardly changed. Here buffers count as the
 * heap does, and both together may double before it is looked through again. Before the first thread starts.
 */
const FLAGS = ['--external-memory-accounted-in-global-limit', '--heap-growing-percent=100']

export function countBuffersAsHeap(): void {
  for (const flag of FLAGS) setFlagsFromString(flag)
}
