/** What goes wrong, when, and for how long: drawn from the seed. Everything heals at the end, so that liveness can be judged. */
import type { Fleet } from './fleet.ts'
import { CALM } from './network.ts'
import { Chance, type Process } from './world.ts'

export interface FaultPlan {
  /** No fault begins after it, ms. */
  readonly untilMs: number
  /** Mean time between two faults, ms. */
  readonly everyMs: number
}

type Fault = (
  chance: Chance,
) => { readonly what: string; readonly heal: (() => void) | null; readonly forMs: number } | null

export class Faults {
  readonly #fleet: Fleet
  readonly #plan: FaultPlan
  readonly #chance: Chance
  readonly #healing = new Set<() => void>()
  #over = false
  /** How often each kind was injected. */
  readonly counts = new Map<string, number>()

  constructor(fleet: Fleet, plan: FaultPlan) {
    this.#fleet = fleet
    this.#plan = plan
    this.#chance = new Chance(fleet.world.seed, 1)
    const { network } = fleet
    const c = this.#chance
    network.weather = {
      latencyMs: [0.2, c.pick([2, 5, 20])],
      slow: c.pick([0, 0, 0.002, 0.01, 0.03]),
      slowMs: [50, c.pick([500, 3_000, 9_000])],
      lost: c.pick([0, 0, 0.002, 0.01]),
    }
    if (c.is(0.3)) fleet.kafka.limits = { materialiseMs: [1, c.pick([50, 500, 1_500])] }
    this.#next()
    fleet.world.at(plan.untilMs, () => this.#calm())
  }

  get over(): boolean {
    return this.#over
  }

  #next(): void {
    this.#fleet.world.after(-Math.log(1 - this.#chance.next()) * this.#plan.everyMs, () => {
      if (this.#over) return
      this.#inject()
      this.#next()
    })
  }

  #inject(): void {
    const { world } = this.#fleet
    const made = this.#chance.pick(this.#kinds)(this.#chance)
    if (made === null) return
    const { what, heal, forMs } = made
    const kind = what.split(' ')[0]!
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    world.trace(`FAULT ${what}${heal === null ? '' : ` for ${forMs.toFixed(0)} ms`}`)
    if (heal === null) return
    const once = (): void => {
      if (!this.#healing.delete(once)) return
      world.trace(`HEALED ${what}`)
      heal()
    }
    this.#healing.add(once)
    world.after(forMs, once)
  }

  #calm(): void {
    const { world, network, kafka } = this.#fleet
    this.#over = true
    world.trace('FAULTS OVER')
    network.weather = CALM
    kafka.limits = { materialiseMs: [0.2, 5] }
    for (const heal of [...this.#healing]) heal()
  }

  /** Mostly short, sometimes longer than every lease and time-out. */
  #duration(): number {
    const c = this.#chance
    return c.pick([c.between(50, 1_000), c.between(500, 4_000), c.between(3_000, 12_000)])
  }

  get #hosts(): string[] {
    const { taskManagers, jobManagerHosts } = this.#fleet
    return [...jobManagerHosts, ...taskManagers.map((_, i) => `tm${i}`), 'etcd', 's3', 'kafka']
  }

  readonly #kinds: readonly Fault[] = [
    (c) => this.#crash(c),
    (c) => this.#crash(c),
    (c) => this.#freeze(c),
    (c) => this.#freeze(c),
    (c) => this.#partition(c),
    (c) => this.#partition(c),
    (c) => this.#partition(c),
    (c) => this.#outage(c),
    (c) => this.#jump(c),
    (c) => this.#expire(c),
  ]

  #victim(c: Chance): { process: Process; restart: () => void } | null {
    const { jobManagers, taskManagers } = this.#fleet
    const manager = c.is(0.4)
    const list = manager ? jobManagers : taskManagers
    // The leader is the interesting one.
    const leader = jobManagers.findIndex((j) => j?.leading === true && j.process.standing === 'up')
    const i = manager && leader >= 0 && c.is(0.7) ? leader : c.whole(0, list.length - 1)
    const process = list[i]?.process
    if (process === undefined || process.standing !== 'up') return null
    return { process, restart: () => (manager ? this.#fleet.startJobManager(i) : this.#fleet.startTaskManager(i)) }
  }

  #crash(c: Chance): ReturnType<Fault> {
    const victim = this.#victim(c)
    if (victim === null) return null
    victim.process.kill()
    return { what: `crash ${victim.process.name}`, heal: victim.restart, forMs: c.between(100, 4_000) }
  }

  #freeze(c: Chance): ReturnType<Fault> {
    const process = this.#victim(c)?.process
    if (process === undefined) return null
    process.freeze()
    return { what: `freeze ${process.name}`, heal: () => process.thaw(), forMs: this.#duration() }
  }

  #partition(c: Chance): ReturnType<Fault> {
    const { network } = this.#fleet
    const clients = this.#hosts.filter((h) => /^(jm|tm)/.test(h))
    const a = c.pick(clients)
    const others = c.is(0.3) ? this.#hosts.filter((h) => h !== a) : [c.pick(this.#hosts.filter((h) => h !== a))]
    for (const b of others) network.cut(a, b)
    const heal = (): void => {
      for (const b of others) network.heal(a, b)
    }
    return { what: `partition ${a} ${others.join(',')}`, heal, forMs: this.#duration() }
  }

  #outage(c: Chance): ReturnType<Fault> {
    const { etcd, s3, kafka } = this.#fleet
    const server = c.pick([etcd, s3, s3, kafka])
    if (!server.up) return null
    server.up = false
    return { what: `outage ${server.host}`, heal: () => void (server.up = true), forMs: this.#duration() }
  }

  #jump(c: Chance): ReturnType<Fault> {
    const process = this.#victim(c)?.process
    if (process === undefined) return null
    process.clock.jump(c.between(-3_600_000, 3_600_000))
    return { what: `jump ${process.name}`, heal: null, forMs: 0 }
  }

  /** The broker's clock runs ahead: transactions expire long before their time. */
  #expire(c: Chance): ReturnType<Fault> {
    const expired = this.#fleet.kafka.expire(c.pick([0, 0.05, 0.2]))
    return { what: `expire ${expired} transactions`, heal: null, forMs: 0 }
  }
}
