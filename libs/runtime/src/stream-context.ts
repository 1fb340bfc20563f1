/**
 * The context of one slice's operators: it holds their state backends, takes every snapshot, and owns the lifecycle
 * (`context-state.ts`). What has not changed since the last snapshot is not asked and not written: the manifest names what
 * it named before.
 */
import {
  type Resumable,
  type RestoreContext,
  type SegmentRef,
  type SnapshotContext,
  type StateStore,
} from '@weir/dataflow'
import type { CheckpointId, Clock, Epoch, OperatorUid } from '@weir/model'
import { CREATED, stepContext, type ContextEvent, type ContextState } from './context-state.ts'

/** What `close` found. */
export interface FinalSnapshot {
  /** ms since 1970. */
  readonly timestamp: number
  /** Their state has changed since the last barrier: the attempt was not stopped at one, and the change is made again. */
  readonly ahead: readonly OperatorUid[]
  /** Of the operators ahead that hold their own state. Never restored: it is ahead of the committed output. */
  readonly states: ReadonlyMap<OperatorUid, readonly unknown[]>
  /** User code that failed while it was asked; the attempt is over anyway. */
  readonly errors: ReadonlyMap<OperatorUid, unknown>
}

/** State of one stage. */
interface Backend {
  readonly store: StateStore
  readonly operators: Resumable[]
}

export class StreamContext {
  readonly #clock: Clock
  #state: ContextState = CREATED
  readonly #backends = new Map<number, Backend>()
  #final: FinalSnapshot | null = null

  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock
  }

  get state(): ContextState {
    return this.#state
  }

  /** Null until the context is closed. */
  get final(): FinalSnapshot | null {
    return this.#final
  }

  /** State changed since the last barrier. */
  get dirty(): ReadonlySet<OperatorUid> {
    const dirty = new Set<OperatorUid>()
    for (const { store, operators } of this.#backends.values()) {
      for (const uid of store.dirtyOperators?.() ?? []) dirty.add(uid)
      for (const operator of operators) if (operator.dirty) dirty.add(operator.uid)
    }
    return dirty
  }

  /** Before `start`, once per stage with state: restored already. */
  registerStateBackend(stage: number, store: StateStore): void {
    this.#backends.set(stage, { store, operators: [] })
  }

  /** Before `start`: initialises the operator and gives it its state. `restored` null: a fresh start. */
  async registerOperator(stage: number, operator: Resumable, restored: RestoreContext | null): Promise<void> {
    this.#backends.get(stage)!.operators.push(operator) // first: also one that fails is closed
    await operator.restore(restored)
  }

  start(): void {
    this.#step({ type: 'start' })
  }

  /** The barrier is aligned in one stage. Answers when it reached the first one: the time all operators are told. */
  barrier(checkpoint: CheckpointId): SnapshotContext {
    const now = this.#clock.now()
    this.#step({ type: 'barrier', checkpoint, now })
    const state: ContextState = this.#state
    const of = state.snapshot === 'IN_PROGRESS' && state.barrier.checkpoint.epoch === checkpoint.epoch
    return { checkpoint, timestamp: of ? state.barrier.timestamp : now, final: false }
  }

  /**
   * The part of one stage, synchronous up to the promise: operators that hold their own state put what changed into the
   * store, then the store's cut is made. Null: the stage has no state.
   */
  snapshot(stage: number, barrier: SnapshotContext): Promise<readonly SegmentRef[]> | null {
    const backend = this.#backends.get(stage)
    if (backend === undefined) return null
    for (const operator of backend.operators) operator.snapshot(barrier)
    return backend.store.snapshot(barrier.checkpoint!)
  }

  /** The epoch is published and what the slice had in it is committed. */
  complete(epoch: Epoch): void {
    this.#step({ type: 'complete', epoch })
  }

  giveUp(epoch: Epoch): void {
    this.#step({ type: 'give-up', epoch })
  }

  /** Forces the final snapshot, then closes operators and stores. Never throws for what user code does. */
  async close(): Promise<void> {
    this.#step({ type: 'close', now: this.#clock.now() })
    const backends = [...this.#backends.values()]
    await Promise.allSettled(backends.flatMap(({ operators }) => operators.map((operator) => operator.close())))
    await Promise.allSettled(backends.map(({ store }) => store.close()))
  }

  /**
   * A stop at a barrier leaves nothing ahead: that barrier's snapshot is the final one, stored and published as any. Else
   * the operators that are ahead are asked once more, and their answer is kept for people: it has no epoch, so restoring it
   * would do twice what the next attempt does again.
   */
  #snapshotFinal(timestamp: number): FinalSnapshot {
    const ahead = [...this.dirty]
    const states = new Map<OperatorUid, readonly unknown[]>()
    const errors = new Map<OperatorUid, unknown>()
    for (const { operators } of this.#backends.values()) {
      for (const operator of operators) {
        if (!operator.dirty) continue
        try {
          states.set(operator.uid, operator.snapshotFinal(timestamp))
        } catch (error) {
          errors.set(operator.uid, error)
        }
      }
    }
    return { timestamp, ahead, states, errors }
  }

  #step(event: ContextEvent): void {
    const { state, effects } = stepContext(this.#state, event)
    this.#state = state
    for (const { timestamp } of effects) this.#final = this.#snapshotFinal(timestamp)
  }
}
