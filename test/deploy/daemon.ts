/** A program of others that answers `/-/ready` by HTTP. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

const LOOK_MS = 50

export class Daemon {
  /** host:port */
  readonly address: string
  readonly #child: ChildProcess
  readonly #killNow = (): void => void this.#child.kill('SIGKILL')

  private constructor(child: ChildProcess, address: string) {
    this.#child = child
    this.address = address
    // A runner that ends leaves nothing behind.
    process.once('exit', this.#killNow)
  }

  /** Ready when it resolves; throws what it said where it ends before. */
  static async start(program: string, args: readonly string[], address: string): Promise<Daemon> {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-2_000)))
    const daemon = new Daemon(child, address)
    while (!(await fetch(`http://${address}/-/ready`).catch(() => null))?.ok) {
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}: ${said}`)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    return daemon
  }

  async stop(): Promise<void> {
    process.removeListener('exit', this.#killNow)
    if (this.#child.exitCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await gone
  }
}
