/**
 * The process's end of the janitor (janitor.ts): a worker thread that is there only while somebody asks, so that sockets
 * to brokers and the healing of lost output cannot hold up the heartbeat.
 */
import { WeirError, type Cancel } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { JanitorAnswer, JanitorRequest } from '@weir/wire'
import type { Worker } from 'node:worker_threads'
import type { JanitorMessage } from './janitor.ts'
import { startThread } from './thread.ts'

/** Without a question for this long the thread ends, and its connections and 25 MiB with it. It is there again in a quarter of a second. */
const IDLE_MS = 1_000

interface Waiting {
  resolve(answer: JanitorAnswer): void
  reject(error: Error): void
}

export class JanitorThread {
  readonly #dataDir: string
  #worker: Worker | null = null
  readonly #waiting = new Map<number, Waiting>()
  #serial = 0
  #cancelIdle: Cancel = () => {}

  constructor(dataDir: string) {
    this.#dataDir = dataDir
  }

  /** Throws what the janitor throws; `JANITOR_STOPPED` (retry) when its thread has ended before the answer. */
  ask(request: JanitorRequest): Promise<JanitorAnswer> {
    this.#cancelIdle()
    const worker = (this.#worker ??= this.#start())
    const id = this.#serial++
    return new Promise<JanitorAnswer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.postMessage({ id, request })
    })
  }

  /** What was asked is answered with `JANITOR_STOPPED`; asking again starts anew. */
  stop(reason: string): void {
    this.#cancelIdle()
    const worker = this.#worker
    this.#worker = null
    for (const { reject } of this.#waiting.values())
      reject(
        new WeirError({ code: 'JANITOR_STOPPED', kind: 'retry' }, `the janitor of this task-manager ended: ${reason}`),
      )
    this.#waiting.clear()
    void worker?.terminate()
  }

  #start(): Worker {
    const worker = startThread('janitor', this.#dataDir, { name: 'janitor' })
    worker.on('message', (message: JanitorMessage) => {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      if ('failure' in message) waiting?.reject(WeirError.fromJSON(message.failure))
      else waiting?.resolve(message.answer)
      if (this.#waiting.size === 0 && this.#worker === worker)
        this.#cancelIdle = systemClock.after(IDLE_MS, () => this.stop('nobody asks'))
    })
    const ended = (reason: string): void => {
      if (this.#worker === worker) this.stop(reason)
    }
    worker.on('error', (error) => ended(String(error)))
    worker.on('exit', (code) => ended(`its thread ended with code ${code}`))
    return worker
  }
}
