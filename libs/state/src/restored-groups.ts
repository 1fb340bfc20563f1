/** What a large restore has left for behind the running job: key group after key group goes where the rows of the store are. */
import { setImmediate as yieldTurn } from 'node:timers/promises'
import type { Key } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { GroupRows, PendingGroups } from './pending.ts'

/**
 * After a restore. First the attempt comes up, its backlog is read and its first epoch becomes final: nobody waits for groups that
 * were not asked for, and taking all of them would hold that up.
 */
const TAKEN_AFTER_MS = 3_000

export class RestoredGroups {
  readonly #take: (group: number, rows: GroupRows) => Promise<void>
  #pending: PendingGroups | null = null
  readonly #settling = new Map<number, Promise<void>>()
  #settled: Promise<void> = Promise.resolve()
  #closing = false
  #hurry: () => void = () => {}

  constructor(take: (group: number, rows: GroupRows) => Promise<void>) {
    this.#take = take
  }

  /** Some have not been taken yet. */
  get any(): boolean {
    return this.#pending !== null
  }

  has(group: number): boolean {
    return this.#pending?.has(group) === true
  }

  /** A packed value of a group that has not been taken; `table`: its number. */
  get(group: number, table: number, key: Key): Uint8Array | undefined {
    return this.#pending?.get(group, table, key)
  }

  /** All in `pending`, one after another, with turns for others in between. */
  begin(pending: PendingGroups, taken: () => void): void {
    this.#pending = pending
    this.#settled = this.#settleAll(pending, taken)
    this.#settled.catch(() => {}) // thrown to the next snapshot
  }

  /** Who asks waits: they are taken at once. Resolves when all are, or the store closes. */
  settled(): Promise<void> {
    this.#hurry()
    return this.#settled
  }

  /** Throws where they never will be. */
  async whole(): Promise<void> {
    await this.settled()
    if (this.#pending !== null) throw new Error('the store closes')
  }

  /** Of rows that are about to be changed where they are: what is older goes first. */
  async settleGroup(group: number): Promise<void> {
    const pending = this.#pending
    if (pending?.has(group) !== true) return
    let settling = this.#settling.get(group)
    if (settling === undefined) {
      settling = this.#take(group, pending.rows(group))
        .then(() => pending.taken(group))
        .finally(() => this.#settling.delete(group))
      this.#settling.set(group, settling)
    }
    return settling
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.settled().catch(() => {})
  }

  async #settleAll(pending: PendingGroups, taken: () => void): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = systemClock.after(TAKEN_AFTER_MS, resolve)
      this.#hurry = () => {
        cancel()
        resolve()
      }
    })
    for (let group = pending.next(); group !== undefined; group = pending.next()) {
      if (this.#closing) return
      await this.settleGroup(group)
      await yieldTurn()
    }
    this.#pending = null
    taken()
  }
}
