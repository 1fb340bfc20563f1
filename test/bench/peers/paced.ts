/** Orders as they would come, at 5,000/s, and a reader that takes the time of every output that becomes visible. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { systemClock } from '@weir/runtime/system'
import { USUAL, line } from './works.ts'

export const RATE = 5_000
const TICK_MS = 5

/** ms since 1970, as records carry it. */
export const wallClock = (): number => performance.timeOrigin + performance.now()

/** Until it is aborted. Keys decide the partition, so that a user's orders are in one. */
export async function feed(brokers: string, topic: string, signal: AbortSignal): Promise<void> {
  const kcat = spawn('kcat', ['-b', brokers, '-P', '-t', topic, '-K', '|'], { stdio: ['pipe', 'ignore', 'inherit'] })
  try {
    const startedAt = performance.now()
    for (let id = 0; !signal.aborted;) {
      const due = ((performance.now() - startedAt) * RATE) / 1_000
      let lines = ''
      for (; id < due; id++) lines += line(id, USUAL.users)
      kcat.stdin.write(lines)
      await systemClock.sleep(TICK_MS)
    }
  } finally {
    kcat.kill('SIGKILL')
  }
}

export interface Seen {
  /** ms since 1970: when the input was handed to its producer. Engines carry the time of a record on. */
  readonly sentAt: number
  readonly seenAt: number
}

/** Follows what is committed, until it is aborted. */
export function follow(brokers: string, topic: string, signal: AbortSignal, saw: (output: Seen) => void): void {
  const read = ['-b', brokers, '-C', '-t', topic, '-u', '-q', '-o', 'beginning', '-f', '%T\n']
  const waits = ['-X', 'isolation.level=read_committed', '-X', 'fetch.wait.max.ms=5']
  const kcat = spawn('kcat', [...read, ...waits], { stdio: ['ignore', 'pipe', 'inherit'] })
  signal.addEventListener('abort', () => kcat.kill('SIGKILL'), { once: true })
  createInterface({ input: kcat.stdout }).on('line', (text) => saw({ sentAt: Number(text), seenAt: wallClock() }))
}
