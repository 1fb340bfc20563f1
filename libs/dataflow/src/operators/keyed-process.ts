/**
 * User code with state and timers by key.
 *
 * - A record that fails leaves nothing behind: its changes of state, timers and outputs are taken back, and it is refused.
 *   So is a timer that fails, but that it has fired: it does not come again.
 * - Event timers fire in the order of time before the watermark that reaches them goes on, and the operator's time runs along
 *   with them: each sees state of its own moment. At the end of bounded input time runs on to the last timer set by then.
 * - Processing timers are fired by the runtime between two batches; they are rows of state, so a barrier is before or behind.
 */
import { WATERMARK_MAX, WATERMARK_MIN, WeirError } from '@weir/model'
import type { Key, OperatorUid, RecordBatch, Watermark } from '@weir/model'
import { switchOf, type Switch } from '../degrade-switch.ts'
import { FIRING_PART_MAX, PartedFiring } from '../firing.ts'
import type { KeyedProcessNode } from '../graph.ts'
import { KeyScope } from '../handles/key-scope.ts'
import type { Handle } from '../handles/rows.ts'
import { handlesOf } from '../keyed-handles.ts'
import type {
  EventTimer,
  FiredTimer,
  KeyedContext,
  OutsOf,
  ProcessingTimer,
  StateDescriptors,
  StatesOf,
  TimerKind,
  TimerKinds,
  TimersOf,
} from '../keyed-state.ts'
import { keysOf } from '../operator.ts'
import type { Collector, Operator, OperatorContext, OperatorCounters, ProcessingTimers } from '../operator.ts'
import type { Origin, OriginNames } from '../origin.ts'
import type { Refuse } from '../ports.ts'
import type { SideOutputs } from '../side-output.ts'
import { Timers, timerKindsOf } from '../timers.ts'
import { UndoLog } from '../undo-log.ts'
import { isThenable, isTimestamp, operatorFailed, refuseNone, returnedPromise } from '../user-code.ts'
import { Outputs } from './outputs.ts'

/** Outputs are handed on in batches of about this many records. */
const PROCESS_BATCH_RECORDS_MAX = 1_000
/** Processing timers fired in one go: records are not held up for longer. */
export const PROCESSING_TIMERS_AT_ONCE = 1_000
/** Expired rows deleted per batch and watermark, of each state. */
export const CLEAN_UP_ROWS_MAX = 256

/** What operators of this room that are made of a keyed process see besides. */
export interface LateContext<S extends StateDescriptors, M extends TimerKinds> extends KeyedContext<S, M, SideOutputs> {
  /** The record at hand is dropped. */
  late(): void
  /** It has been there, or contradicts one that has. */
  counted(as: 'duplicates' | 'conflicts'): void
}

export class KeyedProcessOperator implements Operator {
  readonly #node: Pick<KeyedProcessNode, 'state' | 'timers' | 'sides' | 'onRecord' | 'onTimer'>
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #scope!: KeyScope
  #undo: UndoLog | null = null
  #aging: readonly Handle[] = []
  readonly #timers: Record<TimerKind, Timers | null> = { event: null, processing: null }
  #context!: Context
  #outputs!: Outputs
  #watermark: Watermark = WATERMARK_MIN
  #clock!: OperatorContext['clock']
  #nowMs = 0
  #ended = false
  readonly firing = new PartedFiring()
  #partMax = FIRING_PART_MAX
  processing?: ProcessingTimers

  constructor(node: Pick<KeyedProcessNode, 'uid' | 'state' | 'timers' | 'sides' | 'onRecord' | 'onTimer'>) {
    this.#uid = node.uid
    this.#node = node
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#partMax = context.firingPartMax ?? FIRING_PART_MAX
    this.#watermark = context.watermark
    this.#clock = context.clock
    // Without dead letters a failure ends the attempt, and nothing of it is kept.
    this.#undo = context.refuse === refuseNone ? null : new UndoLog()
    this.#scope = new KeyScope(context.uid, context.freeze, this.#undo, context.watermark)
    const { state, aging } = handlesOf(context.state, this.#scope, this.#node.state)
    this.#aging = aging
    for (const kind of timerKindsOf(this.#node.timers)) {
      this.#timers[kind] = new Timers(context.state, this.#scope, kind)
    }
    this.#outputs = new Outputs(this.#uid, this.#node.sides, context.sides)
    this.#context = new Context(this.#scope, state, this.#timerHandles(), this.#outputs, context)
    this.#context.watermark = context.watermark
    const { processing } = this.#timers
    if (processing === null) return
    const nextMs = (): number => (this.#ended ? Number.POSITIVE_INFINITY : processing.nextMs)
    this.processing = {
      get nextMs() {
        return nextMs()
      },
      fire: (out) => this.#fireProcessing(processing, out),
    }
  }

  /** What user code is given, once it is open. */
  protected get context(): KeyedContext<StateDescriptors, TimerKinds, SideOutputs> {
    return this.#context
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    this.process(batch, this.#node.onRecord, out)
  }

  protected process(
    batch: RecordBatch,
    onRecord: KeyedProcessNode['onRecord'],
    out: Collector,
    keys: readonly Key[] = keysOf(batch, this.#uid),
  ): void {
    const { values, timestamps } = batch
    const context = this.#context
    const scope = this.#scope
    const outputs = this.#outputs
    const { main } = outputs
    const watermark = this.#watermark
    const count = values.length
    outputs.begin(batch.origins, batch.keys !== null)
    for (let i = 0; i < count;) {
      try {
        for (; i < count && outputs.length < PROCESS_BATCH_RECORDS_MAX; i++) {
          const timestamp = timestamps[i]!
          scope.key = keys[i]!
          scope.timeMs = timestamp > watermark ? timestamp : watermark
          context.timestamp = timestamp
          outputs.of(scope.key, timestamp, i)
          const answer: unknown = onRecord(context, values[i], main)
          if (answer !== undefined && isThenable(answer)) throw returnedPromise(this.#uid, batch, i)
          this.#settle()
        }
      } catch (error) {
        this.#rollBack()
        this.#refuse(batch, i, operatorFailed(error, this.#uid, batch, i))
        i++
      }
      if (outputs.length >= PROCESS_BATCH_RECORDS_MAX) outputs.flush(out)
    }
    outputs.flush(out)
    scope.timeMs = watermark
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    const { event } = this.#timers
    if (event !== null && event.nextMs <= timestamp) {
      return this.firing.begin(this.#fireEvent(event, timestamp, out), timestamp, out)
    }
    this.#reached(timestamp)
    out.watermark(timestamp)
  }

  onEnd(): void {
    this.#ended = true
  }

  #reached(timestamp: Watermark): void {
    this.#watermark = this.#context.watermark = this.#scope.timeMs = timestamp
    if (timestamp < WATERMARK_MAX) this.#cleanUp()
  }

  // ---- timers -------------------------------------------------------------------------------------------------------

  *#fireEvent(timers: Timers, watermark: Watermark, out: Collector): Generator<void> {
    const until = watermark === WATERMARK_MAX ? timers.lastMs : watermark
    this.#outputs.begin(undefined)
    let fired = 0
    for (let timer = timers.take(until); timer !== null; timer = timers.take(until)) {
      this.#scope.timeMs = Math.max(this.#watermark, timer.time)
      const hasLeft = this.#fire(timer, timer.time, out)
      if (!hasLeft && ++fired < this.#partMax) continue
      fired = 0
      yield
    }
    this.#outputs.flush(out)
    this.#reached(watermark)
  }

  #fireProcessing(processing: Timers, out: Collector): void {
    if (this.#ended) return
    const now = this.#now()
    const { timeMs } = this.#scope
    this.#outputs.begin(undefined)
    for (let i = 0; i < PROCESSING_TIMERS_AT_ONCE; i++) {
      const timer = processing.take(now)
      if (timer === null) break
      // Before the first watermark event time has come nowhere: the clock is the better guess.
      this.#fire(timer, isTimestamp(timeMs) ? timeMs : timer.time, out)
    }
    this.#outputs.flush(out)
  }

  /** Answers whether a batch has left. */
  #fire(timer: FiredTimer, timestamp: number, out: Collector): boolean {
    const { onTimer } = this.#node
    if (onTimer === null) return false // a build that has no timers any more
    const { key } = this.#scope
    this.#context.timestamp = timestamp
    this.#context.fired = timer
    this.#outputs.of(key, timestamp, 0)
    try {
      const answer: unknown = onTimer(this.#context, timer, this.#outputs.main)
      const batch = (): RecordBatch => ({ keys: [key], values: [timer], timestamps: [timestamp] })
      if (answer !== undefined && isThenable(answer)) throw returnedPromise(this.#uid, batch(), 0)
      this.#settle()
    } catch (error) {
      this.#rollBack()
      const batch: RecordBatch = { keys: [key], values: [timer], timestamps: [timestamp] }
      this.#refuse(batch, 0, operatorFailed(error, this.#uid, batch, 0))
    }
    this.#context.fired = null
    if (this.#outputs.length < this.#partMax) return false
    this.#outputs.flush(out)
    return true
  }

  #timerHandles(): TimersOf<TimerKinds> {
    const checked = (timeMs: number): number => {
      if (isTimestamp(timeMs)) return timeMs
      throw new TypeError(`a timer's time is ${timeMs}; it must be whole milliseconds since 1970`)
    }
    const handles = Object.entries(this.#node.timers).map(([name, kind]) => {
      const timers = this.#timers[kind]!
      const base: EventTimer = {
        set: (timeMs) => {
          const { fired } = this.#context
          if (kind === 'event' && fired?.kind === 'event' && timeMs <= fired.time)
            throw notLater(this.#uid, name, fired)
          timers.set(name, checked(timeMs))
        },
        delete: (timeMs) => timers.delete(name, checked(timeMs)),
      }
      const handle: EventTimer | ProcessingTimer = kind === 'event' ? base : { ...base, now: () => this.#now() }
      return [name, Object.freeze(handle)] as const
    })
    return Object.freeze(Object.fromEntries(handles)) as TimersOf<TimerKinds>
  }

  /** A clock that is set back does not go back here. */
  #now(): number {
    this.#nowMs = Math.max(this.#nowMs, Math.trunc(this.#clock.now()))
    return this.#nowMs
  }

  // ---- one record ---------------------------------------------------------------------------------------------------

  #settle(): void {
    if (this.#undo === null) return
    this.#undo.forget()
    this.#timers.event?.settled()
    this.#timers.processing?.settled()
  }

  #rollBack(): void {
    this.#outputs.takeBack()
    if (this.#undo === null) return
    this.#undo.rollBack()
    this.#timers.event?.rolledBack()
    this.#timers.processing?.rolledBack()
  }

  #cleanUp(): void {
    if (this.#aging.length === 0) return
    for (const handle of this.#aging) handle.cleanUp(this.#watermark, CLEAN_UP_ROWS_MAX)
    this.#undo?.forget()
  }
}

class Context implements LateContext<StateDescriptors, TimerKinds> {
  readonly #scope: KeyScope
  readonly #counters: OperatorCounters
  readonly #outputs: Outputs
  readonly #names: OriginNames | undefined
  readonly #degraded: Switch
  readonly state: StatesOf<StateDescriptors>
  readonly timers: TimersOf<TimerKinds>
  readonly sides: OutsOf<SideOutputs>
  timestamp = 0
  watermark: Watermark = WATERMARK_MIN
  /** The timer at hand. */
  fired: FiredTimer | null = null

  constructor(
    scope: KeyScope,
    state: StatesOf<StateDescriptors>,
    timers: TimersOf<TimerKinds>,
    outputs: Outputs,
    operator: OperatorContext,
  ) {
    this.#scope = scope
    this.#counters = operator.counters
    this.#outputs = outputs
    this.#names = operator.origins
    this.#degraded = switchOf(operator)
    this.state = state
    this.timers = timers
    this.sides = outputs.sides
  }

  get origin(): Origin | null {
    return this.#outputs.origin(this.#names)
  }

  get key(): Key {
    return this.#scope.key
  }

  get degraded(): boolean {
    return this.#degraded()
  }

  late(): void {
    this.#counters.lateRecords++
  }

  counted(as: 'duplicates' | 'conflicts'): void {
    this.#counters[as] = (this.#counters[as] ?? 0) + 1
  }
}

const notLater = (operatorUid: OperatorUid, name: string, fired: FiredTimer): WeirError =>
  new WeirError(
    { code: 'TIMER_NOT_LATER', kind: 'invalid', operatorUid, timer: name, firedMs: fired.time },
    `operator "${operatorUid}": an event timer that fires sets "${name}" to the same time or an earlier one, and so on ` +
      'without end. Set it to a later time, e.g. timer.time + 60_000.',
  )
