/** A keyed process alone: the real operator with its state and timers, without a job around it. */
import {
  KeyedProcessOperator,
  keyedProcessOf,
  refuseNone,
  type Collector,
  type KeyedProcess,
  type None,
  type StateDescriptors,
  type StatesOf,
  type TimerKinds,
} from '@weir/dataflow'
import { WATERMARK_MIN, subtask, type Key } from '@weir/model'
import { MemoryState, PROCESS_UID } from './memory-state.ts'

export interface Emitted<R> {
  readonly key: Key
  readonly value: R
  /** Event time, ms since 1970. */
  readonly timestamp: number
}

/**
 *     const p = testProcess(limits)
 *     p.record('ada', payment({ amountMinor: 500 }), 1_000)
 *     p.advanceWatermark(DAY_MS)
 *     expect(p.emitted).toEqual([{ key: 'ada', value: …, timestamp: 1_000 }])
 *     expect(p.state('ada').spent.get()).toBe(500)
 *
 * @param startMs where the clock of processing timers stands at the beginning
 */
export const testProcess = <T, R, S extends StateDescriptors = None, M extends TimerKinds = None>(
  process: KeyedProcess<T, R, S, M>,
  startMs = 0,
): ProcessUnderTest<T, R, S> => new ProcessUnderTest<T, R, S>(process as KeyedProcess<T, R, S, TimerKinds>, startMs)

export class ProcessUnderTest<T, R, S extends StateDescriptors> {
  readonly emitted: Emitted<R>[] = []
  readonly #memory: MemoryState<S>
  readonly #operator: KeyedProcessOperator
  #nowMs: number
  readonly #out: Collector = {
    emit: ({ keys, values, timestamps }) => {
      values.forEach((value, i) => this.emitted.push({ key: keys![i]!, value: value as R, timestamp: timestamps[i]! }))
    },
    watermark: () => {},
  }

  constructor(process: KeyedProcess<T, R, S, TimerKinds>, startMs: number) {
    this.#nowMs = startMs
    this.#memory = new MemoryState(process.state ?? ({} as S))
    this.#operator = new KeyedProcessOperator({ uid: PROCESS_UID, ...keyedProcessOf(process) })
    this.#operator.open({
      ...{ uid: PROCESS_UID, subtask: subtask(0), parallelism: 1, maxParallelism: 1, state: this.#memory.rows },
      ...{ watermark: WATERMARK_MIN, counters: { lateRecords: 0 }, refuse: refuseNone, freeze: true },
      clock: { now: () => this.#nowMs },
    })
  }

  /** @param timestamp its event time, ms since 1970. Throws what the process throws, as `OPERATOR_FAILED` (invalid). */
  record(key: Key, value: T, timestamp: number): void {
    this.#operator.onBatch({ keys: [key], values: [value], timestamps: [timestamp] }, this.#out)
  }

  /** Event timers up to `ms` fire. */
  advanceWatermark(ms: number): void {
    this.#operator.onWatermark(ms, this.#out)
    this.#memory.timeMs = ms
  }

  /** Processing timers up to there fire. */
  advanceClock(ms: number): void {
    this.#nowMs += ms
    const { processing } = this.#operator
    while (processing !== undefined && processing.nextMs <= this.#nowMs) processing.fire(this.#out)
  }

  /** Of one key, as it is now. */
  state(key: Key): StatesOf<S> {
    return this.#memory.of(key)
  }
}
