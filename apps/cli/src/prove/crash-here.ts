/**
 * Loaded into a task-manager by `weir prove` (NODE_OPTIONS=--import): kills it at a point. Nothing in the product knows of it; it listens
 * to what the process and its worker threads tell each other.
 */
import { Worker, isMainThread } from 'node:worker_threads'
import { CRASH_POINTS, CRASH_VARIABLE, type Crash } from './points.ts'

const wanted = process.env[CRASH_VARIABLE]
if (wanted !== undefined && wanted !== '' && isMainThread) listen(JSON.parse(wanted) as Crash)

function listen({ point, nth }: Crash): void {
  const { at, type } = CRASH_POINTS[point]
  let met = 0
  const meet = (message: unknown): void => {
    const isIt = (message as { type?: unknown } | null)?.type === type
    // At once: not one more byte leaves the process.
    if (isIt && ++met === nth) process.kill(process.pid, 'SIGKILL')
  }
  const { prototype } = Worker
  if (at === 'command') {
    const post = prototype.postMessage
    prototype.postMessage = function (this: Worker, ...args: Parameters<Worker['postMessage']>) {
      meet(args[0])
      return Reflect.apply(post, this, args) as void
    }
    return
  }
  const emit = prototype.emit
  prototype.emit = function (this: Worker, ...args: [event: string | symbol, ...values: unknown[]]) {
    if (args[0] === 'message') meet(args[1])
    return Reflect.apply(emit, this, args) as boolean
  } as typeof emit
}
