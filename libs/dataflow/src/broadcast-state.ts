/**
 * Broadcast state: what a small stream has told all subtasks, as maps that each of them holds whole.
 *
 * Every subtask gets every record of the broadcast stream, in the order of the slice that read it, and changes its maps by the same
 * function, so they are the same in all of them at every barrier. Against the records of the other stream nothing orders them but
 * barriers: one subtask may see a rule before a payment and another behind it.
 *
 * In memory, and one row per entry in *each* key group of the subtask: whoever gets one of them on a rescale has the whole map.
 * So an entry is stored `maxParallelism` times over the whole job: it is for what fits a hand, not for a table.
 */
import { WeirError, type Key, type OperatorUid } from '@weir/model'
import type { KeyedStates } from './operator.ts'
import type { KeyedState } from './ports.ts'
import type { StateSchema } from './state-schema.ts'
import { deepFreeze, isKey, isThenable } from './user-code.ts'

/** Entries of one operator, over all its maps. */
export const BROADCAST_ENTRIES_MAX = 10_000

export interface BroadcastDescriptor<K extends Key, V> {
  readonly kind: 'broadcast'
  /** Of the entries' values. */
  readonly schema?: StateSchema<V> | undefined
  /** Compile-time only. */
  readonly types?: (key: K) => V
}
export type BroadcastDescriptors = Readonly<Record<string, BroadcastDescriptor<never, unknown>>>

/** In the order in which keys were set first, since the last restore. */
export interface ReadonlyBroadcastState<K extends Key, V> extends Iterable<readonly [K, V]> {
  get(key: K): V | undefined
  has(key: K): boolean
  readonly size: number
}
export interface BroadcastState<K extends Key, V> extends ReadonlyBroadcastState<K, V> {
  set(key: K, value: V): void
  /** Was there one? */
  delete(key: K): boolean
}

type ReadableOf<D> = D extends BroadcastDescriptor<infer K, infer V> ? ReadonlyBroadcastState<K, V> : never
type WritableOf<D> = D extends BroadcastDescriptor<infer K, infer V> ? BroadcastState<K, V> : never
export type ReadableBroadcast<D extends BroadcastDescriptors> = { readonly [N in keyof D]: ReadableOf<D[N]> }
export type WritableBroadcast<D extends BroadcastDescriptors> = { readonly [N in keyof D]: WritableOf<D[N]> }

/** Name of the state that holds a map's rows; no user's state can be called so. */
export const broadcastRows = (name: string): string => `${name}.broadcast`
/** The namespace of the rows: these can be walked through. */
const ROWS = 1

const rank = (key: Key): string => JSON.stringify(key)

class BroadcastMap implements BroadcastState<Key, unknown> {
  readonly #name: string
  readonly #of: BroadcastStates
  readonly #copies: readonly KeyedState<unknown>[]
  readonly #entries: Map<Key, unknown>

  constructor(of: BroadcastStates, name: string, copies: readonly KeyedState<unknown>[]) {
    this.#of = of
    this.#name = name
    this.#copies = copies
    // In one order, whatever that of the stored rows is: user code may walk through them.
    this.#entries = new Map([...copies[0]!.entries(ROWS)].sort(([a], [b]) => (rank(a) < rank(b) ? -1 : 1)))
  }

  get(key: Key): unknown {
    return this.#entries.get(key)
  }

  has(key: Key): boolean {
    return this.#entries.has(key)
  }

  get size(): number {
    return this.#entries.size
  }

  [Symbol.iterator](): Iterator<[Key, unknown]> {
    return this.#entries.entries()
  }

  set(key: Key, value: unknown): void {
    if (!isKey(key))
      throw new TypeError(`broadcast state "${this.#name}": keys are well-formed strings or numbers other than NaN`)
    if (value === undefined || isThenable(value))
      throw new TypeError(
        `broadcast state "${this.#name}": a value is ${value === undefined ? 'undefined' : 'a promise'}`,
      )
    this.#of.changes(this.#name, () => this.#put(key, value), this.#undo(key))
  }

  delete(key: Key): boolean {
    const was = this.#entries.has(key)
    this.#of.changes(this.#name, () => this.#put(key, undefined), this.#undo(key))
    return was
  }

  #undo(key: Key): () => void {
    const before = this.#entries.get(key)
    return () => this.#put(key, before)
  }

  #put(key: Key, value: unknown): void {
    if (value === undefined) {
      this.#entries.delete(key)
      for (const copy of this.#copies) copy.delete(key, ROWS)
      return
    }
    this.#entries.set(key, this.#of.freeze ? deepFreeze(value) : value)
    for (const copy of this.#copies) copy.put(key, value, ROWS)
  }
}

export interface BroadcastPlace {
  readonly uid: OperatorUid
  readonly state: KeyedStates
  /** Key groups of the subtask. */
  readonly groups: readonly number[]
  readonly freeze: boolean
}

/** The maps of one operator in one subtask. */
export class BroadcastStates {
  readonly maps: Readonly<Record<string, BroadcastState<Key, unknown>>>
  readonly freeze: boolean
  readonly #uid: OperatorUid
  /** Of the record at hand, newest last; null: of a record that may only read. */
  #undo: (() => void)[] | null = null

  constructor(names: readonly string[], { uid, state, groups, freeze }: BroadcastPlace) {
    this.#uid = uid
    this.freeze = freeze
    const mapOf = (name: string): BroadcastState<Key, unknown> =>
      new BroadcastMap(
        this,
        name,
        groups.map((group) => state.keyed<unknown>(uid, broadcastRows(name), group)),
      )
    this.maps = Object.freeze(Object.fromEntries(names.map((name) => [name, mapOf(name)])))
  }

  /** Lets one broadcast record change the maps: wholly, or not at all where it throws. Throws what the call does. */
  update(call: () => void): void {
    const undo: (() => void)[] = (this.#undo = [])
    try {
      call()
      const entries = Object.values(this.maps).reduce((sum, { size }) => sum + size, 0)
      if (entries > BROADCAST_ENTRIES_MAX) throw this.#tooLarge(entries)
    } catch (error) {
      for (const back of undo.toReversed()) back()
      throw error
    } finally {
      this.#undo = null
    }
  }

  changes(name: string, apply: () => void, undo: () => void): void {
    if (this.#undo === null) {
      throw new WeirError(
        { code: 'BROADCAST_READ_ONLY', kind: 'invalid', operatorUid: this.#uid, state: name },
        `operator "${this.#uid}": broadcast state "${name}" can only be changed in onBroadcast: elsewhere each subtask would change ` +
          'its own copy. Send what is to be changed into the broadcast stream.',
      )
    }
    this.#undo.push(undo)
    apply()
  }

  #tooLarge(entries: number): WeirError {
    return new WeirError(
      { code: 'BROADCAST_TOO_LARGE', kind: 'invalid', operatorUid: this.#uid, entries, bound: BROADCAST_ENTRIES_MAX },
      `operator "${this.#uid}": its broadcast state has more than ${BROADCAST_ENTRIES_MAX} entries, and every subtask holds all of them. ` +
        'Delete what is no longer needed, or key both streams and connect them.',
    )
  }
}
