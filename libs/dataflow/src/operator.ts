/**
 * Every contract of an operator, on one page.
 *
 * An operator is a plain object in the middle of a chain of calls:
 *
 *     source ── emit(batch) ──▶ filter ──▶ map ──▶ (exchange) ──▶ reduce ──▶ sink
 *            ── watermark ────▶
 *
 * Records travel as parallel arrays (`RecordBatch`), many per call; nothing here returns a promise, so a chain is as
 * fast as the function calls in it. All calls to one operator come from one event loop and never overlap.
 *
 * Who may change what:
 * - **Arrays belong to the receiver.** An operator may filter or overwrite the arrays it was given and pass them on.
 *   Whoever hands one batch to two receivers copies the arrays for all but the last (`fanOut` does).
 * - **Values belong to nobody.** A value may be shared by two branches, by a batch and by keyed state at once:
 *   user functions return new values and never change the ones they got. The initial accumulator is frozen always;
 *   with `OperatorContext.freeze` every stored accumulator is, so that a mutation throws where it happens.
 */
import type { Clock, Key, OperatorUid, RecordBatch, Subtask, Watermark } from '@weir/model'
import type { ClaimPort } from './operators/idempotent.ts'
import type { OriginNames } from './origin.ts'
import type { KeyedState, Refuse } from './ports.ts'
import type { SideCollectors } from './side-output.ts'

/** What an operator emits into: the next operator, an exchange or a sink. */
export interface Collector {
  /** The receiver owns the arrays from here on. Never called with an empty batch by the operators of this room. */
  emit(batch: RecordBatch): void
  /** Everything emitted later has a timestamp ≥ `timestamp`, but for late records. Never goes back. */
  watermark(timestamp: Watermark): void
}

/** The part of a StateStore that an operator sees. */
export interface KeyedStates {
  /** With `split` it is the key group of every key (`StateStore.keyed`). */
  keyed<V>(operatorUid: OperatorUid, name: string, split?: number): KeyedState<V>
}

/** Counted by operators, read by the runtime for metrics and progress. One object per operator instance. */
export interface OperatorCounters {
  /** Records that came when their window was gone. */
  lateRecords: number
  /** Of operators that claim: events that had been there already. */
  duplicates?: number
  /** And events that contradict one. */
  conflicts?: number
}

/** The place an operator instance runs in. */
export interface OperatorContext {
  readonly uid: OperatorUid
  readonly subtask: Subtask
  readonly parallelism: number
  readonly maxParallelism: number
  /** Already restored when `open` is called. */
  readonly state: KeyedStates
  /**
   * The operator's input watermark at the restored barrier, `WATERMARK_MIN` on a fresh start. A window that had fired
   * before the barrier must not come to life again by a late record that is read before the first new watermark.
   */
  readonly watermark: Watermark
  readonly counters: OperatorCounters
  /** Side outputs that are taken; absent: none is. Their watermark and end are the caller's to forward. */
  readonly sides?: SideCollectors
  /** State is that of one split of the source, which is its key group. Absent: it is by key. */
  readonly perSplit?: boolean
  /** Takes a record on which user code fails; the operator goes on with the next. In a job without dead letters it throws. */
  readonly refuse: Refuse
  /** Deep-freeze accumulators before they are stored: on in development and tests, off where every cycle counts. */
  readonly freeze: boolean
  /** Results that a firing puts out at once. Absent: `FIRING_PART_MAX`. */
  readonly firingPartMax?: number
  /** For timers of processing time, and for nothing else: an output must be a function of input, state and fired timers. */
  readonly clock: Pick<Clock, 'now'>
  /** How the last barrier left the job's degrade switch. Absent: the job has none. */
  readonly degraded?: () => boolean
  /** Names what `RecordBatch.origins` says. Absent: nobody knows. */
  readonly origins?: OriginNames
  /** Of operators that make calls. Absent: nobody would wait for them. */
  readonly calls?: CallPort
  /** Of operators that claim in a store outside. Absent: there is none. */
  readonly claims?: (uid: OperatorUid) => ClaimPort
}

/**
 * One step of a chain.
 *
 * The caller's duties:
 * - `open` exactly once, first; keyed state is restored before it
 * - `onBatch` with arrays of equal length that the operator may keep; `keys` set behind a keyBy
 * - `onWatermark` with values that never go back; `WATERMARK_MAX` before `onEnd` where the input is bounded
 * - while its firing is pending nothing but `firing.fire`, until it is not
 * - `onEnd` at most once; nothing but barriers follows (they concern the runtime and the state store, not operators)
 * - barriers between calls: whatever an operator remembers lives in `OperatorContext.state`, or can be derived again
 *
 * The operator's duties:
 * - forward every watermark, after what it emits because of it, and emit nothing after `onEnd`
 * - put out a bounded number of records because of a watermark, and what is left of it when it is asked to: `firing`
 * - be deterministic: a function of its input, its state and the processing timers that fire; no clock, no randomness, no I/O
 * - errors of user code go to `OperatorContext.refuse` as WeirError `OPERATOR_FAILED` (kind `invalid`: the record fails
 *   again after a restart); the record then has no effect, the others of its batch have theirs
 */
export interface Operator {
  open(context: OperatorContext): void
  onBatch(batch: RecordBatch, out: Collector): void
  onWatermark(timestamp: Watermark, out: Collector): void
  onEnd(out: Collector): void
  /** Only of an operator that event time makes put something out. */
  readonly firing?: Firing
  /** Only of an operator with timers of processing time. */
  readonly processing?: ProcessingTimers
  /** Only of an operator that makes calls. */
  readonly calls?: AsyncCalls
}

/**
 * What a watermark has set free and that has not been put out yet. The watermark itself, and what else has come with it, waits: no
 * record, no watermark, no timer of processing time and no barrier reaches the operator before the firing has ended.
 */
export interface Firing {
  readonly isPending: boolean
  /** Puts out the next part, behind the last one the watermark. */
  fire(out: Collector): void
}

/** What calls take of the world. */
export interface CallPort {
  readonly after: Clock['after']
  /** Aborted when the attempt ends. */
  readonly signal: AbortSignal
  /** To be called when `AsyncCalls.emit` may have something; from anywhere, it only wakes. */
  readonly ready: () => void
  /** A firing is pending behind: nothing may be handed on. To be asked first, and behind every watermark that was handed on. */
  readonly isHeld: () => boolean
}

/**
 * The caller's duties: `emit` between two calls of the operator, whenever it is ready; no input while it is full; an empty
 * operator before a barrier, the end of the input, and idleness is told.
 */
export interface AsyncCalls {
  /** No record and no watermark is in it. */
  readonly isEmpty: boolean
  /** Records wait for room to be called. */
  readonly isFull: boolean
  /** Hands on what has come back, unless a firing holds it up, and starts what there is room for. Throws what a failed call is refused with. */
  emit(out: Collector): void
}

/** `onBatch` gets the left records, this the right ones; watermarks and the end are of both. */
export interface TwoInputOperator extends Operator {
  onRight(batch: RecordBatch, out: Collector): void
}

/** The caller's duty: `fire` between two calls of the operator, once the clock has reached `nextMs`, until the input ends. */
export interface ProcessingTimers {
  /** Wall clock, ms since 1970; `Infinity`: none is set. */
  readonly nextMs: number
  /** Fires what is due, a bounded number at once; `nextMs` says whether there is more. */
  fire(out: Collector): void
}

/** What a window emits; `start` inclusive, `end` exclusive, ms since 1970. The record's event time is `end − 1`. */
export interface WindowResult<V> {
  readonly start: number
  readonly end: number
  readonly value: V
}

/** Keys of a batch that must be keyed; the planner has refused graphs in which it is not. */
export function keysOf(batch: RecordBatch, uid: OperatorUid): Key[] {
  if (batch.keys !== null) return batch.keys
  throw new Error(`internal: operator ${uid} keeps state by key and got a batch without keys`)
}
