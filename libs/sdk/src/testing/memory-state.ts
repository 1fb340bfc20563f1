/**
 * State by key without an engine: the handles a process gets, over rows in memory.
 *
 *     const memory = new MemoryState(limits.state)
 *     memory.of('ada').spent.set(500)
 *     limits.onRecord({ key: 'ada', timestamp, watermark, state: memory.of('ada'), timers: {} }, payment, out)
 */
import { KeyScope, MemoryKeyedStates, handlesOf, type StateDescriptors, type StatesOf } from '@weir/dataflow'
import { WATERMARK_MIN, operatorUid, type Key } from '@weir/model'

export const PROCESS_UID = operatorUid('process')

export class MemoryState<S extends StateDescriptors> {
  readonly rows = new MemoryKeyedStates()
  readonly #descriptors: S
  /** Event time of the operator, ms: what a TTL is counted by. */
  timeMs: number = WATERMARK_MIN

  constructor(descriptors: S) {
    this.#descriptors = descriptors
  }

  /** The states of a key as they are now; take them anew behind every change that others make. */
  of(key: Key): StatesOf<S> {
    const scope = new KeyScope(PROCESS_UID, true, null, this.timeMs)
    scope.key = key
    return handlesOf(this.rows, scope, this.#descriptors).state
  }
}
