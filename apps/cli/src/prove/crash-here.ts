/**
 * Loaded into the processes of a fleet by `weir prove` (NODE_OPTIONS=--import): kills one of them at a point. Nothing in the product knows of
 * it; it listens to what the process and others tell each other.
 */
import { isMainThread } from 'node:worker_threads'
import { CRASH_VARIABLE, Trap, type Post } from './armed.ts'
import type { CrashPoint } from './points.ts'

const text = process.env[CRASH_VARIABLE]
if (text !== undefined && text !== '' && isMainThread) {
  const post = JSON.parse(text) as Post
  const trap = new Trap(post)
  const meet = (at: CrashPoint['at'], type: string): void => {
    // At once: not one more byte leaves the process.
    if (trap.springs(at, type)) process.kill(process.pid, 'SIGKILL')
  }
  if (post.role === 'task-manager') (await import('./task-manager-tap.ts')).listen(meet)
  else (await import('./job-manager-tap.ts')).listen(meet)
}
