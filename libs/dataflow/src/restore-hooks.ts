/**
 * What is to be done on a restore beside putting state back: reconnect, check, warm up. Hooks are registered by a constructor
 * and run last-in-first-out, so what others rest on is registered last.
 *
 *     registered: OffsetValidationHook, ConnectionHook      run: ConnectionHook, OffsetValidationHook
 *
 * Each has state of its own, named by its place in the order of registration: append new hooks in new builds.
 */
import { WeirError, asWeirError } from '@weir/model'
import { placeOffset, type LogRange, type OffsetGap, type OffsetPolicy, type ReadPosition } from './offset-range.ts'
import type { RestoreContext } from './resumable.ts'

export interface RestoreHook<T> {
  /** For people: stands in errors. */
  readonly name: string
  /** JSON or what a piece of state may be. Absent: it has no state. */
  snapshotState?(): T
  /** `state` undefined: it had none in the checkpoint, or (state of a hook belongs to its subtask) the job was rescaled. */
  onRestore(state: T | undefined, context: RestoreContext): void | Promise<void>
}

export class RestoreHooks {
  readonly #hooks: RestoreHook<unknown>[] = []
  #sealed = false

  get size(): number {
    return this.#hooks.length
  }

  /** Throws `RESTORE_HOOK_LATE` (invalid) once the operator is prepared. */
  register<T>(hook: RestoreHook<T>): this {
    if (this.#sealed) {
      throw new WeirError(
        { code: 'RESTORE_HOOK_LATE', kind: 'invalid', hook: hook.name },
        `restore hook "${hook.name}" is registered after construction: its state would be another hook's. Register hooks in the constructor.`,
      )
    }
    this.#hooks.push(hook as RestoreHook<unknown>)
    return this
  }

  /** Construction is over. */
  seal(): void {
    this.#sealed = true
  }

  /** In the order of registration; undefined where a hook has none. */
  snapshotStates(): unknown[] {
    return this.#hooks.map((hook) => hook.snapshotState?.())
  }

  /**
   * Last registered first, each when the one before it is done. `states` in the order of registration. Throws what a hook
   * throws; what is no WeirError as `RESTORE_HOOK_FAILED` (restart).
   */
  async restore(states: readonly unknown[], context: RestoreContext): Promise<void> {
    this.#sealed = true
    for (let i = this.#hooks.length - 1; i >= 0; i--) {
      const hook = this.#hooks[i]!
      try {
        await hook.onRestore(states[i], context)
      } catch (error) {
        if (error instanceof WeirError) throw error
        const { message } = asWeirError(error, 'RESTORE_HOOK_FAILED')
        throw new WeirError(
          { code: 'RESTORE_HOOK_FAILED', kind: 'restart', hook: hook.name, epoch: context.epoch },
          `restore hook "${hook.name}" failed at epoch ${context.epoch}: ${message}`,
          { cause: error },
        )
      }
    }
  }
}

/** Rebuilds connections and sessions: register it last, so that it runs first. */
export class ConnectionHook implements RestoreHook<never> {
  readonly name = 'connection'
  readonly #rebuild: () => Promise<void>

  constructor(rebuild: () => Promise<void>) {
    this.#rebuild = rebuild
  }

  onRestore(): Promise<void> {
    return this.#rebuild()
  }
}

/** By partition. */
export type ReadPositions = ReadonlyMap<number, ReadPosition>

export interface OffsetValidationOptions {
  readonly topic: string
  readonly policy: OffsetPolicy
}
export interface OffsetValidationPort {
  positions(): ReadPositions
  /** What the log holds now. */
  ranges(partitions: readonly number[]): Promise<ReadonlyMap<number, LogRange>>
  /** Go on there. Told of each partition that is moved; never silent. */
  move(gap: OffsetGap): void
}

/**
 * Compares restored offsets with what the log still holds: register it first, so that it runs last. Throws
 * `OFFSET_OUT_OF_RANGE` (invalid) under the policy `fail`.
 */
export class OffsetValidationHook implements RestoreHook<ReadPositions> {
  readonly name = 'offset-validation'
  readonly #options: OffsetValidationOptions
  readonly #port: OffsetValidationPort

  constructor(options: OffsetValidationOptions, port: OffsetValidationPort) {
    this.#options = options
    this.#port = port
  }

  snapshotState(): ReadPositions {
    return this.#port.positions()
  }

  async onRestore(positions: ReadPositions = new Map(), { epoch }: RestoreContext): Promise<void> {
    if (positions.size === 0) return
    const { topic, policy } = this.#options
    const ranges = await this.#port.ranges([...positions.keys()])
    const gaps = [...positions].flatMap(([partition, position]) => {
      const range = ranges.get(partition)!
      const gap = placeOffset({ topic, partition, ...position, range, policy, epoch: epoch === 0 ? null : epoch })
      return gap === null ? [] : [gap]
    })
    // All are looked at before any is moved: a refusal leaves nothing half done.
    for (const gap of gaps) this.#port.move(gap)
  }
}
