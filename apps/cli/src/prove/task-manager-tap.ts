/** What a task-manager and its slots tell each other, between its main thread and theirs. */
import { Worker } from 'node:worker_threads'
import type { CrashPoint } from './points.ts'

export function listen(meet: (at: CrashPoint['at'], type: string) => void): void {
  const { prototype } = Worker
  const see = (at: CrashPoint['at'], message: unknown): void => {
    const type = (message as { type?: unknown } | null)?.type
    if (typeof type === 'string') meet(at, type)
  }
  const post = prototype.postMessage
  prototype.postMessage = function (this: Worker, ...args: Parameters<Worker['postMessage']>) {
    see('command', args[0])
    return Reflect.apply(post, this, args) as void
  }
  const emit = prototype.emit
  prototype.emit = function (this: Worker, ...args: [event: string | symbol, ...values: unknown[]]) {
    if (args[0] === 'message') see('report', args[1])
    return Reflect.apply(emit, this, args) as boolean
  } as typeof emit
}
