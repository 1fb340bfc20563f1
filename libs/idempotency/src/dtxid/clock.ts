/**
 * The logical clock of one worker: what time and sequence the next id has. Deterministic, without I/O: both readings of time come
 * as arguments, limits from the lease (worker-lease.ts) and from the fleet's time.
 *
 *   local = wall clock + correction          fleet = monotonic clock + offset
 *
 *   |local − fleet| ≤ 50 ms      time = max(local, last); the same ms: next sequence; sequences used up: next ms
 *   local behind the fleet       the wall clock went back: corrected at once, nothing waits
 *   local ahead of the fleet     the wall clock went forward, or this machine was suspended and our monotonic clock stood still: then
 *                                offset and lease are worth nothing. Nothing is given out until both were asked again
 *
 * An id is given out only (1) before the lease's end, (2) at most 50 ms ahead of the fleet, (3) below the mark that etcd has. Each
 * holds by itself: (3) alone keeps ids unique, whatever clocks do.
 *
 * `advance` runs once per id; it makes no object.
 */
import { TIME_END, TIME_ORIGIN_MS } from './layout.ts'
import type { Blocked } from './errors.ts'

export const DRIFT_MS_MAX = 50

export class LogicalClock {
  readonly #sequences: number
  /** Of the last id: ms since TIME_ORIGIN_MS. */
  time = -1
  sequence = 0
  /** Monotonic ms: the end of the lease by our clock, margin taken off. */
  #leaseEnd = -Infinity
  /** First time that may not be used. */
  #mark = 0
  /** Fleet − monotonic, and the monotonic ms from which on it counts no more. */
  #offset = 0
  #fleetEnd = -Infinity
  #correction = 0
  /** Wall − monotonic when it was noticed last. */
  #wallAhead = Infinity
  /** When the clocks ran apart as after a suspension: answers to what was asked before say nothing. */
  #doubtedAt = -Infinity

  /** local − fleet when it was looked at last, ms. */
  drift = 0
  /** Times the correction was changed. */
  steps = 0
  /** Times a ms had no sequence left. */
  overflows = 0
  /** Times it ran ahead of the fleet. */
  doubts = 0

  constructor(sequences: number) {
    this.#sequences = sequences
  }

  /**
   * To be called before an answer is taken: a machine that was suspended between question and answer has a wall clock that went on while
   * our monotonic clock stood still.
   */
  notice(wall: number, monotonic: number): void {
    const ahead = wall - monotonic
    if (ahead - this.#wallAhead > DRIFT_MS_MAX) this.#doubt(ahead - this.#wallAhead, wall, monotonic)
    // One that went back is corrected now, also where nobody asks for ids: it would hide a suspension that follows.
    else if (monotonic < this.#fleetEnd && ahead + this.#correction - this.#offset < -DRIFT_MS_MAX)
      this.#step(wall, monotonic)
    this.#wallAhead = ahead
  }

  /** Since the clocks ran apart the fleet has not been heard. */
  get inDoubt(): boolean {
    return this.#fleetEnd === -Infinity && this.#doubtedAt !== -Infinity
  }

  /** Told to the fleet's time as a witness. */
  local(wall: number): number {
    return wall + this.#correction
  }

  /** A worker id: none of its times before `from` is used. The clock itself does not go back with it. */
  grant(from: number, mark: number, leaseEnd: number, askedAt: number): void {
    this.time = Math.max(from, this.time + 1)
    this.sequence = -1
    this.#mark = mark
    this.#leaseEnd = -Infinity
    this.renewed(leaseEnd, askedAt)
  }

  /** `askedAt`: when the answer's question was sent, monotonic ms. */
  renewed(leaseEnd: number, askedAt: number): void {
    if (askedAt >= this.#doubtedAt) this.#leaseEnd = leaseEnd
  }

  marked(mark: number): void {
    this.#mark = mark
  }

  lose(): void {
    this.#leaseEnd = -Infinity
  }

  /**
   * What the fleet's time is, until when that counts, and when it was asked for. The correction changes when it is off by more than
   * is allowed.
   */
  follow(offset: number, until: number, askedAt: number, wall: number, monotonic: number): void {
    if (askedAt < this.#doubtedAt) return
    const drift = wall + this.#correction - (monotonic + offset)
    if (drift > DRIFT_MS_MAX && this.#fleetEnd !== -Infinity) return this.#doubt(drift, wall, monotonic)
    this.#offset = offset
    this.#fleetEnd = until
    this.drift = drift
    if (Math.abs(drift) > DRIFT_MS_MAX) this.#step(wall, monotonic)
  }

  /** The highest time that could be used by now, ms since TIME_ORIGIN_MS. */
  reach(monotonic: number): number {
    return Math.ceil(monotonic + this.#offset + DRIFT_MS_MAX - TIME_ORIGIN_MS)
  }

  /** 'ready' when `time` and `sequence` are the next id's; otherwise nothing has changed. */
  advance(wall: number, monotonic: number): 'ready' | Blocked {
    const why = this.#look(wall, monotonic)
    if (why !== 'ready') return why
    const fleet = monotonic + this.#offset - TIME_ORIGIN_MS
    let time = Math.floor(wall + this.#correction - TIME_ORIGIN_MS)
    let sequence = 0
    if (time <= this.time) {
      time = this.time
      sequence = this.sequence + 1
      if (sequence >= this.#sequences) {
        time++
        sequence = 0
      }
    }
    if (time > fleet + DRIFT_MS_MAX) return 'ahead'
    if (time >= this.#mark) return time >= TIME_END ? 'out-of-time' : 'unmarked'
    if (time === this.time + 1 && sequence === 0 && this.sequence + 1 >= this.#sequences) this.overflows++
    this.time = time
    this.sequence = sequence
    return 'ready'
  }

  /** Is the lease held, and do the clocks agree? */
  #look(wall: number, monotonic: number): 'ready' | Blocked {
    if (monotonic >= this.#leaseEnd) return this.inDoubt ? 'drifted' : 'lease-lost'
    if (monotonic >= this.#fleetEnd) return 'fleet-silent'
    const drift = wall + this.#correction - (monotonic + this.#offset)
    this.drift = drift
    if (drift < -DRIFT_MS_MAX) this.#step(wall, monotonic)
    else if (drift > DRIFT_MS_MAX) {
      this.#doubt(drift, wall, monotonic)
      return 'drifted'
    }
    return 'ready'
  }

  #doubt(drift: number, wall: number, monotonic: number): void {
    this.drift = drift
    this.doubts++
    this.#doubtedAt = monotonic
    this.#wallAhead = wall - monotonic
    this.#leaseEnd = -Infinity
    this.#fleetEnd = -Infinity
  }

  #step(wall: number, monotonic: number): void {
    this.#correction = Math.round(monotonic + this.#offset - wall)
    this.steps++
  }
}
