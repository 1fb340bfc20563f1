/** What goes wrong, when, and for how long: drawn from the seed. Everything heals at the end, so that liveness can be judged. */
import type { Climate, FaultKind } from './climate.ts'
import type { Fleet } from './fleet.ts'
import { CALM } from './network.ts'
import { Chance, type Process } from './world.ts'

const STEP = /^(s3 put .*(head|manifest)\.json stored|etcd put .*heads|kafka (commit|init|mark) )/

type Fault = (
  chance: Chance,
) => { readonly what: string; readonly heal: (() => void) | null; readonly forMs: number } | null

export class Faults {
  readonly #fleet: Fleet
  readonly #climate: Climate
  readonly #chance: Chance
  readonly #healing = new Set<() => void>()
  #over = false
  /** How often each kind was injected. */
  readonly counts = new Map<string, number>()

  constructor(fleet: Fleet, climate: Climate) {
    this.#fleet = fleet
    this.#climate = climate
    this.#chance = new Chance(fleet.world.seed, 1)
    const { world, network, kafka, etcd } = fleet
    network.weather = climate.weather
    network.storm = climate.storm
    kafka.limits = { materialiseMs: climate.materialiseMs }
    this.#next()
    if (climate.lieInWait > 0) this.#lieInWait(climate.lieInWait)
    if (climate.weights.restore > 0) world.after(this.#chance.between(500, climate.untilMs), () => etcd.backup())
    world.at(climate.untilMs, () => this.#calm())
  }

  get over(): boolean {
    return this.#over
  }

  #next(): void {
    this.#fleet.world.after(-Math.log(1 - this.#chance.next()) * this.#climate.everyMs, () => {
      if (this.#over) return
      this.#inject()
      this.#next()
    })
  }

  /** Most moments are harmless: some faults come right behind those at which a protocol takes a step. */
  #lieInWait(probability: number): void {
    this.#fleet.world.onTrace = (text) => {
      if (this.#over || !STEP.test(text) || !this.#chance.is(probability)) return
      this.#fleet.world.after(this.#chance.pick([0, 0.1, 1, 5]), () => {
        if (!this.#over) this.#inject()
      })
    }
  }

  #inject(): void {
    const { world } = this.#fleet
    const made = this.#kinds[this.#draw()](this.#chance)
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

  #draw(): FaultKind {
    const all = Object.entries(this.#climate.weights) as [FaultKind, number][]
    let at = this.#chance.next() * all.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [kind, weight] of all) if ((at -= weight) < 0) return kind
    return 'jump'
  }

  #calm(): void {
    const { world, network, kafka } = this.#fleet
    this.#over = true
    world.trace('FAULTS OVER')
    network.weather = CALM
    network.storm = null
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

  readonly #kinds: Readonly<Record<FaultKind, Fault>> = {
    crash: (c) => this.#crash(c),
    freeze: (c) => this.#freeze(c),
    partition: (c) => this.#partition(c),
    outage: (c) => this.#outage(c),
    jump: (c) => this.#jump(c),
    expire: (c) => this.#expire(c),
    depose: () => this.#depose(),
    restore: () => this.#restore(),
  }

  #victim(c: Chance): { process: Process; restart: () => void } | null {
    const { jobManagers, taskManagers } = this.#fleet
    const who = c.pick(this.#climate.victims)
    const manager = who !== 'worker'
    const list = manager ? jobManagers : taskManagers
    const leader = jobManagers.findIndex((j) => j?.leading === true && j.process.standing === 'up')
    const i = who === 'leader' && leader >= 0 ? leader : c.whole(0, list.length - 1)
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
    const a = this.#victim(c)?.process.host
    if (a === undefined) return null
    const others = c.is(0.3) ? this.#hosts.filter((h) => h !== a) : [c.pick(this.#hosts.filter((h) => h !== a))]
    for (const b of others) network.cut(a, b)
    const heal = (): void => {
      for (const b of others) network.heal(a, b)
    }
    return { what: `partition ${a} ${others.join(',')}`, heal, forMs: this.#duration() }
  }

  #outage(c: Chance): ReturnType<Fault> {
    const server = this.#fleet[c.pick(this.#climate.outages)]
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

  /** etcd takes the lease for expired before its holder does: for a moment there are two leaders. */
  #depose(): ReturnType<Fault> {
    const deposed = this.#fleet.etcd.expireLeases()
    return deposed === 0 ? null : { what: `depose ${deposed}`, heal: null, forMs: 0 }
  }

  /** etcd from a backup: keys and revisions of an earlier moment, no leases. */
  #restore(): ReturnType<Fault> {
    return this.#fleet.etcd.restore() ? { what: 'restore etcd', heal: null, forMs: 0 } : null
  }
}
