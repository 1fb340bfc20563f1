/** Where the time of a stage's loop goes. Measured where the loop waits anyway, so that a batch costs nothing. */
import type { StageTime } from '@weir/dataflow'

type Waiting = 'idle' | 'back-pressured'

export class StageClock {
  /** Null: its loop has not begun. */
  #sinceMs: number | null = null
  #waitsFor: Waiting | null = null
  #waitsSinceMs = 0
  #idleMs = 0
  #backPressuredMs = 0

  /** The loop begins. */
  begin(nowMs: number): void {
    this.#sinceMs = nowMs
  }

  waits(waitsFor: Waiting, nowMs: number): void {
    this.#waitsFor = waitsFor
    this.#waitsSinceMs = nowMs
  }

  goesOn(nowMs: number): void {
    if (this.#waitsFor === 'idle') this.#idleMs += nowMs - this.#waitsSinceMs
    else if (this.#waitsFor === 'back-pressured') this.#backPressuredMs += nowMs - this.#waitsSinceMs
    this.#waitsFor = null
  }

  /** Since the last time; a wait that lasts is counted up to now. Null: nothing to tell yet. */
  take(nowMs: number): Omit<StageTime, 'stage'> | null {
    if (this.#sinceMs === null || nowMs <= this.#sinceMs) return null
    const waitsFor = this.#waitsFor
    this.goesOn(nowMs)
    if (waitsFor !== null) this.waits(waitsFor, nowMs)
    const scale = 1_000 / (nowMs - this.#sinceMs)
    const idle = Math.min(1_000, Math.round(this.#idleMs * scale))
    const backPressured = Math.min(1_000 - idle, Math.round(this.#backPressuredMs * scale))
    this.#sinceMs = nowMs
    this.#idleMs = 0
    this.#backPressuredMs = 0
    return {
      busyMsPerSecond: 1_000 - idle - backPressured,
      idleMsPerSecond: idle,
      backPressuredMsPerSecond: backPressured,
    }
  }
}
