/**
 * Everything that decides which id is next, without I/O: the logical clock, the lease of the worker id, the fleet's time. The
 * driver (generator.ts) reads clocks, asks and answers; the simulation (testing/world.ts) does the same with its own.
 *
 *   fleet's time heard ──▶ lease: list, claim, first mark ──▶ clock: granted ──▶ ids
 *   every tick: lease renewed, mark raised before they are reached; every second the fleet's time
 */
import { LogicalClock } from './clock.ts'
import type { Blocked } from './errors.ts'
import { FLEET_SILENT_MS_MAX, hear, type FleetTime, type TimeAnswer } from './fleet-time.ts'
import type { IdLayout } from './layout.ts'
import {
  stepLease,
  type LeaseEffect,
  type LeaseEvent,
  type LeaseQuestion,
  type LeaseSettings,
  type LeaseState,
} from './worker-lease.ts'

export interface SourceSettings extends LeaseSettings {
  readonly datacenter: number
}

/** Wall clock, ms since 1970, and our monotonic one. */
export interface Now {
  readonly wall: number
  readonly monotonic: number
}
type WithoutReach<E> = E extends { readonly reach: number } ? Omit<E, 'reach'> : E

/** As those of the lease; how far time was used is known here. */
export type SourceEvent =
  | WithoutReach<Exclude<LeaseEvent, { readonly type: 'doubt' | 'open' }>>
  | { readonly type: 'time'; readonly answer: TimeAnswer }
  | { readonly type: 'time-unanswered' }

export type SourceEffect =
  LeaseQuestion | { readonly type: 'ask-time' } | Extract<LeaseEffect, { readonly type: 'give-back' }>

/** How often the fleet's time is asked for. */
const TIME_EVERY_MS = 1_000

/** What is shown of a generator. */
export interface DtxIdStatus {
  readonly datacenter: number
  /** Null while none is held. */
  readonly worker: number | null
  readonly phase: LeaseState['phase']
  /** Why no worker id is held, when it is so. */
  readonly why: string | null
  /** Local − fleet when it was looked at last, ms. */
  readonly driftMs: number
  /** Times the local clock was corrected by more than is allowed. */
  readonly compensationSteps: number
  /** Times a ms had no sequence left. */
  readonly sequenceOverflows: number
  /** Worker ids that were lost. */
  readonly leasesLost: number
  /** Times the local clock ran ahead of the fleet, so that nothing was given out until both had been asked. */
  readonly doubts: number
  /** Answers to the question for the time that nobody else could confirm. */
  readonly unwitnessed: number
}

export class IdSource<Id> {
  readonly #layout: IdLayout<Id>
  readonly #settings: SourceSettings
  readonly #clock: LogicalClock
  #lease: LeaseState = { phase: 'idle' }
  #fleet: FleetTime | null = null
  #askingTime = false
  #timeAskedAt = -Infinity
  #worker = -1
  #prefix: Id | undefined
  #prefixTime = -1
  #leasesLost = 0
  #doubts = 0
  #unwitnessed = 0

  constructor(layout: IdLayout<Id>, settings: SourceSettings) {
    this.#layout = layout
    this.#settings = settings
    this.#clock = new LogicalClock(layout.sequences)
  }

  /** The next id; undefined: none at this moment, and `blocked` says why. */
  next(wall: number, monotonic: number): Id | undefined {
    const why = this.#clock.advance(wall, monotonic)
    if (why !== 'ready') {
      this.blocked = why
      return undefined
    }
    const { time } = this.#clock
    if (time !== this.#prefixTime) {
      this.#prefix = this.#layout.prefix(time, this.#settings.datacenter, this.#worker)
      this.#prefixTime = time
    }
    return this.#layout.id(this.#prefix!, this.#clock.sequence)
  }

  /** Of the last `next` that gave none. */
  blocked: Blocked = 'lease-lost'

  get status(): DtxIdStatus {
    const clock = this.#clock
    return {
      datacenter: this.#settings.datacenter,
      worker: this.#worker < 0 ? null : this.#worker,
      phase: this.#lease.phase,
      why: this.#lease.phase === 'pausing' ? this.#lease.why : null,
      driftMs: clock.drift,
      compensationSteps: clock.steps,
      sequenceOverflows: clock.overflows,
      leasesLost: this.#leasesLost,
      doubts: this.#doubts,
      unwitnessed: this.#unwitnessed,
    }
  }

  /** @returns what to do, in this order. */
  on(event: SourceEvent, now: Now): SourceEffect[] {
    this.#clock.notice(now.wall, now.monotonic)
    const doubted = this.newDoubt ? this.doubt(now.monotonic) : []
    return [...doubted, ...this.#take(event, now)]
  }

  #take(event: SourceEvent, { wall, monotonic }: Now): SourceEffect[] {
    switch (event.type) {
      case 'time':
        this.#askingTime = false
        return this.#heard(event.answer, wall, monotonic)
      case 'time-unanswered':
        this.#askingTime = false
        return []
      case 'tick':
        return [...this.#stepLease({ ...event, reach: this.#clock.reach(monotonic) }), ...this.#askTime(monotonic)]
      case 'claimed':
      case 'moved':
        return this.#stepLease({ ...event, reach: this.#clock.reach(monotonic) })
      default:
        return this.#stepLease(event)
    }
  }

  /** To be called when `next` gave none: true once per doubt. */
  get newDoubt(): boolean {
    if (this.#clock.doubts === this.#doubts) return false
    this.#doubts = this.#clock.doubts
    return true
  }

  /** Fleet and lease are asked at once. */
  doubt(monotonic: number): SourceEffect[] {
    this.#askingTime = true
    this.#timeAskedAt = monotonic
    return [{ type: 'ask-time' }, ...this.#stepLease({ type: 'doubt', now: monotonic })]
  }

  #askTime(monotonic: number): SourceEffect[] {
    if (this.#askingTime || monotonic - this.#timeAskedAt < TIME_EVERY_MS) return []
    this.#askingTime = true
    this.#timeAskedAt = monotonic
    return [{ type: 'ask-time' }]
  }

  #heard(answer: TimeAnswer, wall: number, monotonic: number): SourceEffect[] {
    const heard = hear(this.#fleet, answer, this.#clock.local(wall))
    if (heard.kind === 'unwitnessed') this.#unwitnessed++
    if (heard.kind === 'too-slow' || heard.kind === 'unwitnessed') return []
    this.#fleet = heard.time
    this.#clock.follow(heard.time.offset, answer.receivedAt + FLEET_SILENT_MS_MAX, answer.sentAt, wall, monotonic)
    const opened = this.#stepLease({ type: 'open' })
    return this.newDoubt ? [...opened, ...this.doubt(monotonic)] : opened
  }

  #stepLease(event: LeaseEvent): SourceEffect[] {
    const { state, effects } = stepLease(this.#lease, event, this.#settings)
    this.#lease = state
    const outside: SourceEffect[] = []
    for (const effect of effects) {
      switch (effect.type) {
        case 'grant':
          this.#worker = state.phase === 'held' ? state.hold.worker : -1
          this.#prefixTime = -1
          this.#clock.grant(effect.from, effect.mark, effect.end, effect.askedAt)
          break
        case 'renewed':
          this.#clock.renewed(effect.end, effect.askedAt)
          break
        case 'marked':
          this.#clock.marked(effect.mark)
          break
        case 'lose':
          this.#worker = -1
          if (state.phase !== 'released') this.#leasesLost++
          this.#clock.lose()
          break
        default:
          outside.push(effect)
      }
    }
    return outside
  }
}
