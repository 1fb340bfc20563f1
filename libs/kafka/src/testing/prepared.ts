/** Transactions of a process that was killed as soon as it had prepared them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** What a handle stores of a transaction's epoch. */
export interface Prepared {
  readonly producerId: string
  readonly producerEpoch: number
}
/** The offset of every marker. */
export const MARKED = 7

const FLAGS = ['--conditions=@weir/source', '--disable-warning=ExperimentalWarning']
const PREPARER = fileURLToPath(new URL('preparer.ts', import.meta.url))

/** @param timeouts transactional id → transaction timeout, ms */
export async function preparedAndKilled<Name extends string>(
  broker: string,
  topic: string,
  timeouts: Readonly<Record<Name, number>>,
): Promise<Readonly<Record<Name, Prepared>>> {
  const transactions = Object.entries(timeouts).map(([name, timeoutMs]) => `${name}:${String(timeoutMs)}`)
  const child = spawn(process.execPath, [...FLAGS, PREPARER, broker, topic, ...transactions], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  for await (const line of createInterface(child.stdout)) {
    child.kill('SIGKILL')
    await exited
    return JSON.parse(line) as Record<Name, Prepared>
  }
  throw new Error(`the preparing process ended before it had prepared: exit code ${String(child.exitCode)}`)
}
