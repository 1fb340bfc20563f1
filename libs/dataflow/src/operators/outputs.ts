/**
 * What user code puts out, through an operator's output and its side outputs, until it is flushed: with the key and origin of
 * the record at hand, and its event time unless another is given. What a record that fails has put out is taken back.
 */
import {
  emptyOrigins,
  pushOrdinal,
  truncateOrigins,
  type Key,
  type OperatorUid,
  type Origins,
  type RecordBatch,
} from '@weir/model'
import type { Out } from '../keyed-state.ts'
import type { Collector } from '../operator.ts'
import { originAt, type Origin, type OriginNames } from '../origin.ts'
import { NO_SIDES, type SideCollectors } from '../side-output.ts'
import {
  OUTPUTS_OF_RECORD_MAX,
  emittedPromise,
  isThenable,
  isTimestamp,
  outputsTooMany,
  timestampInvalid,
} from '../user-code.ts'

interface OutputBatch {
  readonly keys: Key[] | null
  readonly values: unknown[]
  readonly timestamps: number[]
  readonly origins: Origins | undefined
}

/** The record or timer at hand. */
class Moment {
  readonly uid: OperatorUid
  origins: Origins | undefined
  keyed = true
  key: Key | null = null
  timestamp = 0
  index = 0
  /** Outputs of it so far, through all ways out: they are numbered together, so that each has a name of its own. */
  ordinal = 0

  constructor(uid: OperatorUid) {
    this.uid = uid
  }
}

class Output implements Out<unknown> {
  readonly #at: Moment
  #batch: OutputBatch
  /** Outputs before those of the record at hand. */
  #before = 0

  constructor(at: Moment) {
    this.#at = at
    this.#batch = emptyBatch(at)
  }

  get length(): number {
    return this.#batch.values.length
  }

  mark(): void {
    this.#before = this.#batch.values.length
  }

  emit(value: unknown, timestamp: number = this.#at.timestamp): void {
    const at = this.#at
    if (isThenable(value)) throw emittedPromise(at.uid, at, at.index, at.timestamp)
    if (!isTimestamp(timestamp)) throw timestampInvalid(timestamp, at.uid, at.index)
    if (at.ordinal >= OUTPUTS_OF_RECORD_MAX) throw outputsTooMany(at.uid, at.index)
    const { keys, values, timestamps, origins } = this.#batch
    if (origins !== undefined) pushOrdinal(origins, at.origins!, at.index, at.ordinal++)
    keys?.push(at.key!)
    values.push(value)
    timestamps.push(timestamp)
  }

  takeBack(): void {
    const { keys, values, timestamps, origins } = this.#batch
    values.length = timestamps.length = this.#before
    if (keys !== null) keys.length = this.#before
    if (origins !== undefined) truncateOrigins(origins, this.#before)
  }

  begin(): void {
    this.#batch = emptyBatch(this.#at)
    this.#before = 0
  }

  /** What is in the batch, if anything; a new one begins. */
  take(): RecordBatch | null {
    const batch = this.#batch
    if (batch.values.length === 0) return null
    this.begin()
    return batch
  }
}

export class Outputs {
  readonly #at: Moment
  readonly #sides: readonly { readonly output: Output; readonly collector: Collector }[]
  readonly #main: Output
  readonly main: Out<unknown>
  /** By name; one that nobody takes leads nowhere. */
  readonly sides: Readonly<Record<string, Out<unknown>>>

  /** @param names of the side outputs the operator has */
  constructor(uid: OperatorUid, names: readonly string[] = [], taken: SideCollectors = NO_SIDES) {
    const at = (this.#at = new Moment(uid))
    this.main = this.#main = new Output(at)
    const sides: { output: Output; collector: Collector }[] = []
    const outs = names.map((name): [string, Out<unknown>] => {
      const collector = taken.get(name)
      if (collector === undefined) return [name, NOWHERE]
      const output = new Output(at)
      sides.push({ output, collector })
      return [name, output]
    })
    this.#sides = sides
    this.sides = Object.freeze(Object.fromEntries(outs))
  }

  get length(): number {
    let { length } = this.#main
    if (this.#sides.length > 0) for (const { output } of this.#sides) length += output.length
    return length
  }
  get key(): Key | null {
    return this.#at.key
  }
  get timestamp(): number {
    return this.#at.timestamp
  }
  /** Of the record at hand; timers have none. */
  origin(names: OriginNames | undefined): Origin | null {
    return originAt(this.#at, this.#at.index, names)
  }

  /** What comes next is of a batch with these origins. Everything before is flushed. */
  begin(origins: Origins | undefined, keyed = true): void {
    const at = this.#at
    at.origins = origins
    at.keyed = keyed
    this.#main.begin()
    for (const { output } of this.#sides) output.begin()
  }

  /** What comes next is of this record of the batch. */
  of(key: Key | null, timestamp: number, index: number): void {
    const at = this.#at
    at.key = key
    at.timestamp = timestamp
    at.index = index
    at.ordinal = 0
    this.#main.mark()
    if (this.#sides.length > 0) for (const { output } of this.#sides) output.mark()
  }

  /** Those of the record at hand. */
  takeBack(): void {
    this.#main.takeBack()
    for (const { output } of this.#sides) output.takeBack()
  }

  flush(out: Collector): void {
    const batch = this.#main.take()
    if (batch !== null) out.emit(batch)
    for (const { output, collector } of this.#sides) {
      const aside = output.take()
      if (aside !== null) collector.emit(aside)
    }
  }
}

const NOWHERE: Out<unknown> = Object.freeze({ emit: () => {} })

const emptyBatch = ({ keyed, origins }: Moment): OutputBatch => ({
  keys: keyed ? [] : null,
  values: [],
  timestamps: [],
  origins: origins && emptyOrigins(origins, true),
})
