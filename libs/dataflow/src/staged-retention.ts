/**
 * When staged output may go (PROTOCOL A16): never before its epoch is final. A commit command for the next epoch is the
 * news that this one is, since no epoch is published before the one below it is final; by then everything an earlier
 * attempt has left is decided too. Deleting is housekeeping: what fails is tried again with the next command.
 */
import type { PreparedHandle, StagedOutput, StagedRef } from './ports.ts'

/** Kept for another try; what is above it is found by the sweep of the next attempt. */
const RETRIED_MAX = 64

export class StagedRetention {
  readonly #staged: StagedOutput
  /** Ended by the latest commit command. */
  #ended: StagedRef[] = []
  /** Their epoch is final. */
  #final: StagedRef[] = []
  #swept = false
  #work: Promise<void> = Promise.resolve()

  constructor(staged: StagedOutput) {
    this.#staged = staged
  }

  /** A commit command has come: what the one before it ended is final. */
  commanded(): void {
    this.#final = [...this.#final, ...this.#ended].slice(-RETRIED_MAX)
    this.#ended = []
    this.#work = this.#work.then(() => this.#delete())
  }

  ended(handle: PreparedHandle): void {
    if (handle.staged !== undefined) this.#ended.push(handle.staged)
  }

  /** The job is over: nothing of this attempt is needed again. */
  async over(): Promise<void> {
    await this.#work
    await this.#staged.sweep('this-attempt')
  }

  async #delete(): Promise<void> {
    const refs = this.#final
    this.#final = []
    const left = await Promise.all(refs.map((ref) => this.#staged.delete(ref).then(nothing, () => ref)))
    this.#final.push(...left.filter((ref) => ref !== null))
    if (!this.#swept) {
      this.#swept = await this.#staged.sweep('earlier-attempts').then(
        () => true,
        () => false,
      )
    }
  }
}

const nothing = (): null => null
