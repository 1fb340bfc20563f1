/** The task-manager that is killed, and whoever takes its place: each is given its crash, the last one none. */
import type { EmbeddedFleet } from '../embedded-fleet.ts'
import { stopProcess, type FleetProcess } from '../fleet.ts'
import { ownModule } from '../own-module.ts'
import { CRASH_VARIABLE, type Crash } from './points.ts'

export class Victim {
  readonly #fleet: EmbeddedFleet
  readonly #crashes: readonly Crash[]
  #process!: FleetProcess
  #following: Promise<void> = Promise.resolve()
  #isEnding = false
  /** How many crashes happened. */
  crashed = 0

  private constructor(fleet: EmbeddedFleet, crashes: readonly Crash[]) {
    this.#fleet = fleet
    this.#crashes = crashes
  }

  static async start(fleet: EmbeddedFleet, crashes: readonly Crash[]): Promise<Victim> {
    const victim = new Victim(fleet, crashes)
    await victim.#next()
    return victim
  }

  /** No process of it is left. */
  async end(): Promise<void> {
    this.#isEnding = true
    await this.#following
    await stopProcess(this.#process)
  }

  async #next(): Promise<void> {
    const crash = this.#crashes[this.crashed]
    const env = crash && {
      [CRASH_VARIABLE]: JSON.stringify(crash),
      NODE_OPTIONS: `--import=${ownModule('prove/crash-here')}`,
    }
    this.#process = await this.#fleet.add(env)
    this.#process.child.once('exit', () => {
      if (this.#isEnding) return
      this.crashed++
      this.#following = this.#next()
    })
  }
}
