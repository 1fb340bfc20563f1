/**
 * Messages between hosts: late, lost, held back by a partition and delivered after it, answered after the caller has
 * given up. A request that was given up may still be applied.
 */
import type { Process, World } from './world.ts'

/** Something that answers requests: one process-like thing on its own host, with state that survives. */
export interface Server {
  readonly host: string
  /** False: an outage; nothing is answered and nothing is applied. */
  up: boolean
}

/** No answer came in time; the request may have been applied or may still be. */
export class Unanswered extends Error {}

export interface Weather {
  /** Latency of an ordinary message, ms. */
  readonly latencyMs: readonly [number, number]
  /** Probability that a message is slow, and how slow. */
  readonly slow: number
  readonly slowMs: readonly [number, number]
  /** Probability that a request or an answer is lost without a partition. */
  readonly lost: number
}
export const CALM: Weather = { latencyMs: [0.2, 2], slow: 0, slowMs: [0, 0], lost: 0 }

export class Network {
  readonly world: World
  weather: Weather = CALM
  /** Around one host. */
  storm: { readonly host: string; readonly weather: Weather } | null = null
  readonly #cuts = new Set<string>()
  #held: { pair: string; deliver: () => void }[] = []
  readonly #onCut: ((pair: string) => void)[] = []

  constructor(world: World) {
    this.world = world
  }

  isCut(a: string, b: string): boolean {
    return this.#cuts.has(pairOf(a, b))
  }

  cut(a: string, b: string): void {
    const pair = pairOf(a, b)
    if (this.#cuts.has(pair)) return
    this.#cuts.add(pair)
    for (const call of this.#onCut) call(pair)
  }

  heal(a: string, b: string): void {
    const pair = pairOf(a, b)
    if (!this.#cuts.delete(pair)) return
    const held = this.#held.filter((h) => h.pair === pair)
    this.#held = this.#held.filter((h) => h.pair !== pair)
    for (const { deliver } of held) this.world.after(this.latency(a, b), deliver)
  }

  onCut(call: (pair: string) => void): void {
    this.#onCut.push(call)
  }

  latency(a: string, b: string): number {
    const { chance } = this.world
    const { latencyMs, slow, slowMs } = this.#weatherOf(a, b)
    if (slow > 0 && chance.is(slow)) return chance.between(...slowMs)
    return chance.between(...latencyMs)
  }

  #weatherOf(a: string, b: string): Weather {
    return this.storm !== null && (this.storm.host === a || this.storm.host === b) ? this.storm.weather : this.weather
  }

  /** One message that may be late or lost. */
  carry(from: string, to: string, sender: Process | null, deliver: () => void): void {
    const { chance } = this.world
    if (this.isCut(from, to)) {
      // TCP sends it again when the network is back, unless the connection was given up before.
      if (chance.is(0.6)) this.#held.push({ pair: pairOf(from, to), deliver })
      return
    }
    const { lost } = this.#weatherOf(from, to)
    if (lost > 0 && chance.is(lost)) return
    this.world.after(this.latency(from, to), () => {
      // What a killed process had written may not have left its machine.
      if (sender?.standing === 'dead' && chance.is(0.5)) return
      deliver()
    })
  }

  /** `handle` runs at the server at one moment; what it throws is its answer. Rejects with `Unanswered`. */
  call<T>(from: Process, to: Server, what: string, timeoutMs: number, handle: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const cancel = from.clock.after(timeoutMs, () => {
        this.world.trace(`${from.name} → ${to.host} ${what}: no answer`)
        reject(new Unanswered(`${what}: no answer from ${to.host} within ${timeoutMs} ms`))
      })
      this.carry(from.host, to.host, from, () => {
        if (!to.up) return
        let settle: () => void
        try {
          const value = handle()
          settle = () => resolve(value)
        } catch (error) {
          settle = () => reject(error as Error)
        }
        this.carry(to.host, from.host, null, () =>
          from.run(() => {
            cancel()
            settle()
          }),
        )
      })
    })
  }
}

/**
 * One direction of a TCP stream: in order, held while the hosts cannot reach each other, for ever silent once severed.
 * Within one host it is a pipe: always quick.
 */
export class Pipe {
  readonly #network: Network
  readonly #from: Process
  readonly #to: Process
  #queue: { at: number; call: () => void }[] = []
  #pumping = false
  #lastAt = 0
  #severed = false

  constructor(network: Network, from: Process, to: Process) {
    this.#network = network
    this.#from = from
    this.#to = to
  }

  send(call: () => void): void {
    if (this.#severed) return
    const local = this.#from.host === this.#to.host
    const at = Math.max(
      this.#lastAt,
      this.#network.world.now + (local ? LOCAL_MS : this.#network.latency(this.#from.host, this.#to.host)),
    )
    this.#lastAt = at
    this.#queue.push({ at, call })
    this.#pump()
  }

  sever(): void {
    this.#severed = true
    this.#queue = []
  }

  #pump(): void {
    const head = this.#queue[0]
    if (head === undefined || this.#pumping) return
    this.#pumping = true
    this.#network.world.at(head.at, () => this.#deliver())
  }

  #deliver(): void {
    if (this.#severed) return
    if (this.#network.isCut(this.#from.host, this.#to.host))
      return this.#network.world.after(RETRANSMIT_MS, () => this.#deliver())
    this.#pumping = false
    const head = this.#queue.shift()
    if (head === undefined) return
    // What a killed process had written may not have left its machine; nothing behind it has then, either.
    if (this.#from.standing === 'dead' && this.#network.world.chance.is(0.5)) return this.sever()
    this.#to.run(head.call)
    this.#pump()
  }
}
const LOCAL_MS = 0.05
const RETRANSMIT_MS = 20

export const pairOf = (a: string, b: string): string => (a < b ? `${a}|${b}` : `${b}|${a}`)
