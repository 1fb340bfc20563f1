/** A keyed process alone: the real operator with its state and timers, without a job around it. */
import {
  KeyedProcessOperator,
  fireWholly,
  keyedProcessOf,
  refuseNone,
  type Collector,
  type KeyedProcess,
  type None,
  type SideOutputs,
  type SideTypes,
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
export const testProcess = <
  T,
  R,
  S extends StateDescriptors = None,
  M extends TimerKinds = None,
  O extends SideOutputs = None,
>(
  process: KeyedProcess<T, R, S, M, O>,
  startMs = 0,
): ProcessUnderTest<T, R, S, O> =>
  new ProcessUnderTest<T, R, S, O>(process as KeyedProcess<T, R, S, TimerKinds, O>, startMs)

export class ProcessUnderTest<T, R, S extends StateDescriptors, O extends SideOutputs = None> {
  readonly emitted: Emitted<R>[] = []
  readonly #sides = new Map<string, { readonly emitted: Emitted<unknown>[]; readonly collector: Collector }>()
  readonly #memory: MemoryState<S>
  readonly #operator: KeyedProcessOperator
  #nowMs: number
  readonly #out = into(this.emitted)

  constructor(process: KeyedProcess<T, R, S, TimerKinds, O>, startMs: number) {
    for (const name of Object.keys(process.sides ?? {})) {
      const emitted: Emitted<unknown>[] = []
      this.#sides.set(name, { emitted, collector: into(emitted) })
    }
    this.#nowMs = startMs
    this.#memory = new MemoryState(process.state ?? ({} as S))
    this.#operator = new KeyedProcessOperator({ uid: PROCESS_UID, ...keyedProcessOf(process) })
    this.#operator.open({
      ...{ uid: PROCESS_UID, subtask: subtask(0), parallelism: 1, maxParallelism: 1, state: this.#memory.rows },
      ...{ watermark: WATERMARK_MIN, counters: { lateRecords: 0 }, refuse: refuseNone, freeze: true },
      clock: { now: () => this.#nowMs },
      sides: new Map([...this.#sides].map(([name, { collector }]) => [name, collector])),
    })
  }

  /** @param timestamp its event time, ms since 1970. Throws what the process throws, as `OPERATOR_FAILED` (invalid). */
  record(key: Key, value: T, timestamp: number): void {
    this.#operator.onBatch({ keys: [key], values: [value], timestamps: [timestamp] }, this.#out)
  }

  /** Event timers up to `ms` fire. */
  advanceWatermark(ms: number): void {
    this.#operator.onWatermark(ms, this.#out)
    fireWholly([{ firing: this.#operator.firing, out: this.#out }])
    this.#memory.timeMs = ms
  }

  /** Processing timers up to there fire. */
  advanceClock(ms: number): void {
    this.#nowMs += ms
    const { processing } = this.#operator
    while (processing !== undefined && processing.nextMs <= this.#nowMs) processing.fire(this.#out)
  }

  /** What is in a side output. */
  side<N extends keyof O & string>(name: N): readonly Emitted<SideTypes<O>[N]>[] {
    return this.#sides.get(name)!.emitted as Emitted<SideTypes<O>[N]>[]
  }

  /** Of one key, as it is now. */
  state(key: Key): StatesOf<S> {
    return this.#memory.of(key)
  }
}

const into = (emitted: Emitted<unknown>[]): Collector => ({
  emit: ({ keys, values, timestamps }) => {
    for (const [i, value] of values.entries()) emitted.push({ key: keys![i]!, value, timestamp: timestamps[i]! })
  },
  watermark: () => {},
})
