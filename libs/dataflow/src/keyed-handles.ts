/**
 * The handles of `keyed-state.ts` over keyed rows. Which rows each kind has (`rowsOf`) is stored: it can be read for ever.
 */
import { WeirError } from '@weir/model'
import type { Key, OperatorUid, Watermark } from '@weir/model'
import { entryKey, entryPrefix, ownerOfEntry, restOfEntry } from './entry-key.ts'
import type {
  AggregatingState,
  ListState,
  MapState,
  StateDescriptor,
  StatesOf,
  StateDescriptors,
  Ttl,
  ValueState,
} from './keyed-state.ts'
import type { KeyedStates } from './operator.ts'
import type { KeyedState } from './ports.ts'
import type { UndoLog } from './undo-log.ts'
import { deepFreeze, isKey, isThenable } from './user-code.ts'
import { timeIn } from './written-time.ts'

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

/** One keyed state whose changes can be taken back. */
export class Rows<V> {
  readonly #state: KeyedState<V>
  readonly #scope: KeyScope

  constructor(states: KeyedStates, scope: KeyScope, name: string) {
    this.#state = states.keyed<V>(scope.uid, name)
    this.#scope = scope
  }

  get(key: Key): V | undefined {
    return this.#state.get(key)
  }

  put(key: Key, value: V): void {
    this.#scope.undo?.note(this.#state as KeyedState<unknown>, key, 0)
    this.#state.put(key, value)
  }

  delete(key: Key): void {
    if (this.#state.get(key) === undefined) return // a deletion is a row too, in the next segment
    this.#scope.undo?.note(this.#state as KeyedState<unknown>, key, 0)
    this.#state.delete(key)
  }

  stale(before: number, max: number): Key[] {
    return this.#state.stale?.(before, max) ?? []
  }
}

/** When rows were touched last, by the same keys, beside the values: a TTL can be given to a state later. */
class Ages {
  readonly #touched: Rows<number>
  readonly #ttl: Ttl
  readonly #scope: KeyScope

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl) {
    this.#touched = new Rows(states, scope, `${name}.touched`)
    this.#ttl = ttl
    this.#scope = scope
  }

  /** A row from before there was a TTL begins to age when it is written. */
  alive(key: Key): boolean {
    const touched = this.#touched.get(key)
    return touched === undefined || this.#scope.timeMs < touched + this.#ttl.ms
  }

  written(key: Key): void {
    const { timeMs } = this.#scope
    const touched = this.#touched.get(key)
    if (touched === undefined || touched < timeMs) this.#touched.put(key, timeMs)
  }

  read(key: Key): void {
    if (this.#ttl.update === 'read-and-write') this.written(key)
  }

  forget(key: Key): void {
    this.#touched.delete(key)
  }

  /** Keys nobody can see any more, as far as they are known. */
  expired(watermark: Watermark, max: number): Key[] {
    const before = watermark - this.#ttl.ms + 1
    return this.#touched.stale(before, max).filter((key) => (this.#touched.get(key) ?? before) < before)
  }
}

/** Of values that begin with the time at which they were written (`timeIn`); others, from before, have a row beside them. */
class TimedValue<T> implements ValueState<T, undefined>, Handle {
  readonly #rows: Rows<T>
  readonly #ages: Ages
  readonly #ttlMs: number
  readonly #scope: KeyScope
  readonly #name: string

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl) {
    this.#rows = new Rows(states, scope, name)
    this.#ages = new Ages(states, scope, name, ttl)
    this.#ttlMs = ttl.ms
    this.#scope = scope
    this.#name = name
  }

  get(): T | undefined {
    const { key, timeMs } = this.#scope
    const value = this.#rows.get(key)
    if (value === undefined) return undefined
    const written = timeIn(value)
    const isAlive = written < Number.POSITIVE_INFINITY ? timeMs < written + this.#ttlMs : this.#ages.alive(key)
    return isAlive ? value : undefined
  }

  set(value: T): void {
    const { key } = this.#scope
    const before = this.#rows.get(key)
    this.#rows.put(key, checked(value, this.#scope, this.#name))
    if (before !== undefined && !hasTime(before)) this.#ages.forget(key)
  }

  clear(): void {
    this.#remove(this.#scope.key)
  }

  cleanUp(watermark: Watermark, max: number): void {
    const before = watermark - this.#ttlMs + 1
    for (const key of this.#rows.stale(before, max)) if (timeIn(this.#rows.get(key)) < before) this.#remove(key)
    for (const key of this.#ages.expired(watermark, max)) this.#remove(key)
  }

  #remove(key: Key): void {
    this.#rows.delete(key)
    this.#ages.forget(key)
  }
}

const hasTime = (value: unknown): boolean => timeIn(value) < Number.POSITIVE_INFINITY

/** What the operator asks of every handle. */
export interface Handle {
  /** Deletes at most `max` rows that are expired by the watermark. */
  cleanUp(watermark: Watermark, max: number): void
}

const agesOf = (states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null): Ages | null =>
  ttl && new Ages(states, scope, name, ttl)

function checked<V>(value: V, scope: KeyScope, name: string): V {
  if (value === undefined) throw new TypeError(`state "${name}" was given undefined; to remove a value, clear it`)
  if (isThenable(value)) throw new TypeError(`state "${name}" was given a promise; operators are synchronous`)
  return scope.freeze ? deepFreeze(value) : value
}

/** A value of a key, and an accumulator: rows `name`. */
class Single<V> implements Handle {
  readonly #rows: Rows<V>
  readonly #ages: Ages | null
  readonly #scope: KeyScope
  readonly #name: string

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null) {
    this.#rows = new Rows(states, scope, name)
    this.#ages = agesOf(states, scope, name, ttl)
    this.#scope = scope
    this.#name = name
  }

  read(): V | undefined {
    const { key } = this.#scope
    const value = this.#rows.get(key)
    if (this.#ages === null || value === undefined) return value
    if (!this.#ages.alive(key)) return undefined
    this.#ages.read(key)
    return value
  }

  write(value: V): void {
    const { key } = this.#scope
    this.#rows.put(key, checked(value, this.#scope, this.#name))
    this.#ages?.written(key)
  }

  clear(): void {
    this.#remove(this.#scope.key)
  }

  cleanUp(watermark: Watermark, max: number): void {
    for (const key of this.#ages?.expired(watermark, max) ?? []) this.#remove(key)
  }

  #remove(key: Key): void {
    this.#rows.delete(key)
    this.#ages?.forget(key)
  }
}

class Value<T, I> extends Single<T> implements ValueState<T, I> {
  readonly #initial: I

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null, initial: I) {
    super(states, scope, name, ttl)
    // One object for every key: a function that changes it would mix the keys.
    this.#initial = deepFreeze(initial)
  }

  get(): T | I {
    const value = this.read()
    return value === undefined ? this.#initial : value
  }

  set(value: T): void {
    this.write(value)
  }
}

class Aggregating<I, A, O> extends Single<A> implements AggregatingState<I, O> {
  readonly #of: { initial: A; add(accumulator: A, input: I): A; result(accumulator: A): O }

  constructor(
    states: KeyedStates,
    scope: KeyScope,
    name: string,
    ttl: Ttl | null,
    of: { initial: A; add(accumulator: A, input: I): A; result(accumulator: A): O },
  ) {
    super(states, scope, name, ttl)
    this.#of = of
    deepFreeze(of.initial)
  }

  add(input: I): void {
    const before = this.read()
    this.write(this.#of.add(before === undefined ? this.#of.initial : before, input))
  }

  get(): O | undefined {
    const accumulator = this.read()
    return accumulator === undefined ? undefined : this.#of.result(accumulator)
  }
}

/**
 * Rows: `name.next` → index of the next element, `name.head` → index of the first (absent: 0), `name[]` → elements. Where one
 * in the middle has expired before the first there is a gap.
 */
class List<T> implements ListState<T>, Handle {
  readonly #next: Rows<number>
  readonly #head: Rows<number>
  readonly #elements: Rows<T>
  readonly #ages: Ages | null
  readonly #scope: KeyScope
  readonly #name: string

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null) {
    this.#next = new Rows(states, scope, `${name}.next`)
    this.#head = new Rows(states, scope, `${name}.head`)
    this.#elements = new Rows(states, scope, `${name}[]`)
    this.#ages = agesOf(states, scope, `${name}[]`, ttl)
    this.#scope = scope
    this.#name = name
  }

  get(): readonly T[] {
    const { key } = this.#scope
    const next = this.#next.get(key)
    if (next === undefined) return []
    const elements: T[] = []
    for (let i = this.#head.get(key) ?? 0; i < next; i++) {
      const at = this.#scope.entry(i)
      const element = this.#elements.get(at)
      if (element === undefined || this.#ages?.alive(at) === false) continue
      this.#ages?.read(at)
      elements.push(element)
    }
    return this.#scope.freeze ? Object.freeze(elements) : elements
  }

  [Symbol.iterator](): Iterator<T> {
    return this.get()[Symbol.iterator]()
  }

  add(value: T): void {
    const { key } = this.#scope
    const i = this.#next.get(key) ?? 0
    const at = this.#scope.entry(i)
    this.#elements.put(at, checked(value, this.#scope, this.#name))
    this.#ages?.written(at)
    this.#next.put(key, i + 1)
  }

  addAll(values: Iterable<T>): void {
    for (const value of values) this.add(value)
  }

  set(values: Iterable<T>): void {
    const all = [...values] // they may come from this list
    this.clear()
    this.addAll(all)
  }

  keepLast(count: number): void {
    if (!(Number.isInteger(count) && count >= 0))
      throw new RangeError(`keepLast(${count}): a whole number of 0 or more is meant`)
    const { key } = this.#scope
    const next = this.#next.get(key) ?? 0
    let from = next
    const head = this.#head.get(key) ?? 0
    for (let kept = 0; from > head && kept < count; from--) {
      const at = this.#scope.entry(from - 1)
      if (this.#elements.get(at) !== undefined && this.#ages?.alive(at) !== false) kept++
    }
    for (let i = head; i < from; i++) this.#drop(this.#scope.entry(i))
    this.#trim(key)
  }

  clear(): void {
    const { key } = this.#scope
    const next = this.#next.get(key) ?? 0
    for (let i = this.#head.get(key) ?? 0; i < next; i++) this.#drop(this.#scope.entry(i))
    this.#trim(key)
  }

  cleanUp(watermark: Watermark, max: number): void {
    for (const at of this.#ages?.expired(watermark, max) ?? []) {
      this.#drop(String(at))
      this.#scope.key = ownerOfEntry(String(at))
      this.#trim(this.#scope.key)
    }
  }

  #drop(at: string): void {
    this.#elements.delete(at)
    this.#ages?.forget(at)
  }

  /** Moves the head to the first element that is there; an empty list has no rows. */
  #trim(key: Key): void {
    const next = this.#next.get(key)
    if (next === undefined) return
    const before = this.#head.get(key) ?? 0
    let head = before
    while (head < next && this.#elements.get(this.#scope.entry(head)) === undefined) head++
    if (head === next) {
      this.#next.delete(key)
      this.#head.delete(key)
    } else if (head !== before) this.#head.put(key, head)
  }
}

/**
 * Rows: `name.size` → number of entries, `name[key]` → values by entry, and a dense list of the entries' keys for walks:
 * `name[key].at` place → key, `name[key].place` key → place. Who is deleted leaves its place to the last.
 */
class Entries<K extends Key, V> implements MapState<K, V>, Handle {
  readonly #count: Rows<number>
  readonly #values: Rows<V>
  readonly #at: Rows<K>
  readonly #place: Rows<number>
  readonly #ages: Ages | null
  readonly #scope: KeyScope
  readonly #name: string
  #deletions = 0

  constructor(states: KeyedStates, scope: KeyScope, name: string, ttl: Ttl | null) {
    this.#count = new Rows(states, scope, `${name}.size`)
    this.#values = new Rows(states, scope, `${name}[key]`)
    this.#at = new Rows(states, scope, `${name}[key].at`)
    this.#place = new Rows(states, scope, `${name}[key].place`)
    this.#ages = agesOf(states, scope, `${name}[key]`, ttl)
    this.#scope = scope
    this.#name = name
  }

  get(key: K): V | undefined {
    const at = this.#scope.entry(key)
    const value = this.#values.get(at)
    if (this.#ages === null || value === undefined) return value
    if (!this.#ages.alive(at)) return undefined
    this.#ages.read(at)
    return value
  }

  has(key: K): boolean {
    const at = this.#scope.entry(key)
    return this.#values.get(at) !== undefined && this.#ages?.alive(at) !== false
  }

  set(key: K, value: V): void {
    if (!isKey(key)) {
      throw new TypeError(`state "${this.#name}": keys of a map are well-formed strings or numbers other than NaN`)
    }
    const at = this.#scope.entry(key)
    if (this.#values.get(at) === undefined) {
      const owner = this.#scope.key
      const place = this.#count.get(owner) ?? 0
      this.#place.put(at, place)
      this.#at.put(this.#scope.entry(place), key)
      this.#count.put(owner, place + 1)
    }
    this.#values.put(at, checked(value, this.#scope, this.#name))
    this.#ages?.written(at)
  }

  delete(key: K): boolean {
    const was = this.has(key)
    this.#remove(this.#scope.entry(key))
    return was
  }

  get size(): number {
    if (this.#ages === null) return this.#count.get(this.#scope.key) ?? 0
    let size = 0
    for (const at of this.#walk()) if (this.#ages.alive(at)) size++
    return size
  }

  *entries(): IterableIterator<[K, V]> {
    for (const at of this.#walk()) {
      if (this.#ages?.alive(at) === false) continue
      this.#ages?.read(at)
      yield [restOfEntry(at) as K, this.#values.get(at)!]
    }
  }

  *keys(): IterableIterator<K> {
    for (const at of this.#walk()) if (this.#ages?.alive(at) !== false) yield restOfEntry(at) as K
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  clear(): void {
    for (const at of this.#walk()) this.#remove(at)
  }

  cleanUp(watermark: Watermark, max: number): void {
    for (const at of this.#ages?.expired(watermark, max) ?? []) {
      this.#scope.key = ownerOfEntry(String(at))
      this.#remove(String(at))
    }
  }

  /** From the last to the first: deleting the entry at hand moves one that was met already. */
  *#walk(): Generator<string> {
    const owner = this.#scope.key
    for (let place = (this.#count.get(owner) ?? 0) - 1; place >= 0; place--) {
      const deletions = this.#deletions
      const at = this.#scope.entry(this.#at.get(this.#scope.entry(place))!)
      yield at
      const deleted = this.#deletions - deletions
      if (this.#scope.key === owner && (deleted === 0 || (deleted === 1 && this.#values.get(at) === undefined)))
        continue
      throw new WeirError(
        { code: 'MAP_CHANGED', kind: 'invalid', operatorUid: this.#scope.uid, state: this.#name },
        `state "${this.#name}": entries were deleted during a walk through the map. Delete only the entry just met, or ` +
          'collect the keys first: for (const key of [...map.keys()]) map.delete(key).',
      )
    }
  }

  #remove(at: string): void {
    const place = this.#place.get(at)
    if (place === undefined) return
    const owner = this.#scope.key
    const last = this.#count.get(owner)! - 1
    const lastAt = this.#scope.entry(last)
    if (place !== last) {
      const moved = this.#at.get(lastAt)!
      this.#at.put(this.#scope.entry(place), moved)
      this.#place.put(this.#scope.entry(moved), place)
    }
    this.#at.delete(lastAt)
    this.#place.delete(at)
    this.#values.delete(at)
    this.#ages?.forget(at)
    if (last === 0) this.#count.delete(owner)
    else this.#count.put(owner, last)
    this.#deletions++
  }
}

function handleOf(
  states: KeyedStates,
  scope: KeyScope,
  name: string,
  descriptor: StateDescriptor,
): Handle &
  (ValueState<unknown, unknown> | ListState<unknown> | MapState<Key, unknown> | AggregatingState<unknown, unknown>) {
  switch (descriptor.kind) {
    case 'value':
      if (descriptor.timed && descriptor.ttl !== null) return new TimedValue(states, scope, name, descriptor.ttl)
      return new Value(states, scope, name, descriptor.ttl, descriptor.initial)
    case 'list':
      return new List(states, scope, name, descriptor.ttl)
    case 'map':
      return new Entries(states, scope, name, descriptor.ttl)
    case 'aggregating':
      return new Aggregating(states, scope, name, descriptor.ttl, descriptor)
  }
}

/**
 * The keyed states that hold a state's rows; `values` holds what the job put in, the others are the engine's. Two kinds share
 * no name but value and aggregating: a state that becomes another kind is another state, and the old one is missed.
 */
export function rowsOf(name: string, { kind, ttl }: StateDescriptor): { values: string; others: readonly string[] } {
  const values = { value: name, aggregating: name, list: `${name}[]`, map: `${name}[key]` }[kind]
  const others = {
    ...{ value: [], aggregating: [], list: [`${name}.next`, `${name}.head`] },
    map: [`${name}.size`, `${values}.at`, `${values}.place`],
  }[kind]
  return { values, others: ttl === null ? others : [...others, `${values}.touched`] }
}

/** `cleanUp` holds the handles of states with a TTL. */
export function handlesOf<S extends StateDescriptors>(
  states: KeyedStates,
  scope: KeyScope,
  descriptors: S,
): { readonly state: StatesOf<S>; readonly aging: readonly Handle[] } {
  const made = Object.entries(descriptors).map(([name, of]) => [name, handleOf(states, scope, name, of)] as const)
  return {
    state: Object.freeze(Object.fromEntries(made)) as unknown as StatesOf<S>,
    aging: made.flatMap(([name, handle]) => (descriptors[name]!.ttl === null ? [] : [handle])),
  }
}
