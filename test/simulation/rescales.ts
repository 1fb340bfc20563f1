/** Somebody wishes for another parallelism, now and then, and asks whoever leads. */
import type { Climate } from './climate.ts'
import { JOB, type Fleet } from './fleet.ts'
import { Chance } from './world.ts'

const PARALLELISM_MAX = 4

export class Rescales {
  readonly #fleet: Fleet
  readonly #climate: Climate
  readonly #chance: Chance

  constructor(fleet: Fleet, climate: Climate) {
    this.#fleet = fleet
    this.#climate = climate
    this.#chance = new Chance(fleet.world.seed, 9)
    this.#next()
  }

  #next(): void {
    const { world, jobManagers } = this.#fleet
    const { rescaleEveryMs, untilMs } = this.#climate
    world.after(-Math.log(1 - this.#chance.next()) * rescaleEveryMs, () => {
      if (world.now >= untilMs) return
      const parallelism = this.#chance.whole(1, PARALLELISM_MAX)
      world.trace(`WISH ${parallelism} subtasks`)
      for (const manager of jobManagers) manager?.rescale(JOB, parallelism)
      this.#next()
    })
  }
}
