/** V8's collector, for a process of threads whose memory is mostly in buffers. */
import { setFlagsFromString } from 'node:v8'

/**
 * By default V8 looks through the whole heap for every 64 MiB of new buffers, whatever became of the old ones: a slot that moves
 * frames and batches does so every second or two, beside a state of 100 MiB that has hardly changed. Here buffers count as the
 * heap does, and both together may double before it is looked through again.
 */
const BUFFERS_AS_HEAP = ['--external-memory-accounted-in-global-limit', '--heap-growing-percent=100']
/** What the process was started with holds for its main thread, which is there: threads have limits of their own (`thread.ts`), which it would overrule. */
const OWN_YOUNG_GENERATIONS = '--max-semi-space-size=0'

/** Before the first thread starts. */
export function prepareThreads(): void {
  for (const flag of [...BUFFERS_AS_HEAP, OWN_YOUNG_GENERATIONS]) setFlagsFromString(flag)
}
