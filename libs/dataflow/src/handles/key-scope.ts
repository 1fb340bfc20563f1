import type { Key, OperatorUid } from '@weir/model'
import { entryKey, entryPrefix } from '../entry-key.ts'
import type { UndoLog } from '../undo-log.ts'

/** The key at hand and the time; handles of an operator share one. */
export class KeyScope {
  readonly uid: OperatorUid
  readonly freeze: boolean
  /** Null: a record that fails ends the attempt, and what it changed with it. */
  readonly undo: UndoLog | null
  /** Event time of the operator, ms. */
  timeMs: number
  #key: Key = ''
  #prefix: string | null = null

  constructor(uid: OperatorUid, freeze: boolean, undo: UndoLog | null, timeMs: number) {
    this.uid = uid
    this.freeze = freeze
    this.undo = undo
    this.timeMs = timeMs
  }

  get key(): Key {
    return this.#key
  }

  set key(key: Key) {
    this.#key = key
    this.#prefix = null
  }

  entry(rest: Key): string {
    return entryKey((this.#prefix ??= entryPrefix(this.#key)), rest)
  }
}
