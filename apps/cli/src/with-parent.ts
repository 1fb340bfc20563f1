/** Loaded into a process of a fleet that another one holds: its standard input ends when that one does, however it ends, and so does this. */
import { isMainThread } from 'node:worker_threads'

if (isMainThread) {
  process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM'))
  process.stdin.resume()
  // A pipe, which has it: this alone keeps no process.
  ;(process.stdin as { unref?: () => void }).unref?.()
}
