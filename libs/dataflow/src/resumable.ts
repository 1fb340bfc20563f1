/**
 * The contract of custom operators that keep state of their own, not by key: `stream.process(uid, () => new MyOperator())`.
 *
 *     constructor ─▶ prepare ─▶ hooks, last registered first ─▶ restoreState ─▶ execute … execute ─▶ close
 *     (hooks are                └── only where a checkpoint is restored ──┘        ▲ snapshotState at
 *      registered here)                                                            │ barriers and at the end
 *
 * State is a list of pieces. At a barrier the engine takes a copy of every piece, so an operator may go on changing what it
 * returned; the copy is made while records wait, so large state belongs behind a keyBy. A piece is what structuredClone
 * keeps: plain objects, arrays, Map, Set, Date, bigint, typed arrays; no functions, and class instances come back as plain
 * objects.
 *
 * On a rescale the pieces are dealt out: each stays whole, none is lost or doubled, their order and their subtask are not
 * kept. At the same parallelism a subtask gets exactly its own, in order. So state that may be split is returned in many
 * pieces ([a, b, c]: one may go elsewhere), state that may not in one, and `restoreState` must be able to merge.
 */
import type { CheckpointId, Epoch, Key, Subtask, Watermark } from '@weir/model'
import type { None, OutsOf } from './keyed-state.ts'
import type { Origin } from './origin.ts'
import type { RestoreHooks } from './restore-hooks.ts'
import type { SideOutputs } from './side-output.ts'

export interface PrepareContext {
  readonly uid: string
  readonly subtask: Subtask
  readonly parallelism: number
  /** Aborted when the attempt ends: every wait of the operator must end with it. */
  readonly signal: AbortSignal
}

/** What is restored. */
export interface RestoreContext {
  readonly epoch: Epoch
  /** When the barrier of that epoch reached this subtask, ms since 1970. */
  readonly checkpointTimestamp: number
}

export interface SnapshotContext {
  /** Null in a final snapshot outside of any checkpoint. */
  readonly checkpoint: CheckpointId | null
  /** When the barrier reached this subtask, ms since 1970; in a final snapshot, when the subtask was closed. */
  readonly timestamp: number
  /** Nothing comes after it but `close`. */
  readonly final: boolean
}

/** Valid during the call it is given to. */
export interface ExecuteContext<B, O extends SideOutputs = None> {
  /** Event time of the record, ms; at the end of the input, that of the last record. */
  readonly timestamp: number
  /** Of the record, behind a keyBy; null elsewhere. The outputs of the record have it too. */
  readonly key: Key | null
  /** Every event with a smaller time has been seen, but for late ones, which come here too. */
  readonly watermark: Watermark
  /**
   * Where the record was read; null at the end of the input and for what the job has made itself. Carried in jobs with dead letters,
   * and where `origins` asks for it.
   */
  readonly origin: Origin | null
  /** How the job's degrade switch stands (`degradable`): the same for all records between two barriers. */
  readonly degraded: boolean
  /** @param timestamp event time of the output, ms; default: that of the record. Below the watermark it is late. */
  readonly emit: (value: B, timestamp?: number) => void
  /** As they were named with the operator: `sides.rejected.emit(order)`; of one that nobody takes it goes nowhere. */
  readonly sides: OutsOf<O>
}

/**
 * One instance per subtask and attempt; calls never overlap. Be deterministic: no clock, no randomness, and no I/O but in
 * `prepare`, hooks, `restoreState` and `close`: what is not in the state is lost or done twice after a failure.
 *
 * A throw of `execute` takes the record out of the flow with what it had emitted (a dead letter, or the end of the job);
 * the operator's fields stay as they are: throw before changing them. A throw anywhere else ends the attempt.
 */
export interface ResumableOperator<A, B, S = never, O extends SideOutputs = None> {
  /** Filled by the constructor. */
  readonly hooks?: RestoreHooks
  /** Once, first: initialises the operator as on a fresh start. */
  prepare(context: PrepareContext): void | Promise<void>
  execute(value: A, context: ExecuteContext<B, O>): void
  /** Bounded input is exhausted; emits what is still kept. A barrier follows. */
  finish?(context: ExecuteContext<B, O>): void
  /**
   * Every piece there is. Asked at a barrier if a record came since the last one, and once more at the end, also
   * outside of a checkpoint (`final`): that answer is never restored. Pieces that equal what is stored are not stored again.
   */
  snapshotState(context: SnapshotContext): readonly S[]
  /** After `prepare` and before the first record; `states` may be empty: nothing was kept, or a rescale gave it elsewhere. */
  restoreState(states: readonly S[], context: RestoreContext): void | Promise<void>
  /** At the end of the attempt, whatever the reason. */
  close?(): void | Promise<void>
}
