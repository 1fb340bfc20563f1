/**
 * Stored state for people and tools: of an epoch or a savepoint, never of a running slice. Reads the ranges a question
 * needs, in bounded memory: one chunk of every segment of a chain, and what the answer may hold.
 */
import type { ObjectStore, SubtaskSnapshot } from '@weir/checkpoint'
import { isEntries, ownerOfEntry, restOfEntry, type SegmentRef, type StoredSchema } from '@weir/dataflow'
import { keyGroupOf, keyGroupRange, type Key, type KeyGroupRange } from '@weir/model'
import { unpack } from '../pack.ts'
import { DELETE } from '../segment.ts'
import { excludedBy } from '../segment-reader.ts'
import { applied, groupsOf, statesOfSegment, type GroupRows, type RowState } from './groups.ts'

/** The part of a manifest, and of a savepoint, that says where state lies. */
export interface StoredState {
  readonly parallelism: number
  readonly maxParallelism: number
  readonly subtasks: readonly Pick<SubtaskSnapshot, 'subtask' | 'segments'>[]
}

/** The segments of one stateful stage of one subtask. */
export interface ChainSummary {
  readonly subtask: number
  readonly stage: number
  readonly segments: number
  readonly bytes: number
}

export interface StateSummary {
  readonly operatorUid: string
  readonly name: string
  readonly stage: number
  /** Null: version 1, without a name. */
  readonly schema: StoredSchema | null
  readonly bySplit: boolean
  /** Exact; null: not counted. */
  readonly keys: number | null
}

export interface StateName {
  readonly operatorUid: string
  readonly name: string
}

export interface StoredEntry {
  readonly key: Key
  /** Of a state with several rows per key: which one; else null. A map's key; of a list and a timer, what tells rows apart. */
  readonly entry: Key | null
  /** Of a window: its end, ms since 1970; else 0. */
  readonly namespace: number
  readonly keyGroup: number
  /** Of state that is kept per split of the source. */
  readonly split: number | null
  readonly value: unknown
}

/** Behind an entry: the rest of its key group comes next; `row` null: the whole group. */
export interface StatePosition {
  readonly group: number
  /** Its key as it is stored. */
  readonly row: Key | null
  readonly namespace: number
}
export interface StatePage {
  readonly entries: readonly StoredEntry[]
  /** Null: this is the last page. A page may have fewer entries than were asked for, even none, and not be the last. */
  readonly next: StatePosition | null
}

/** Entries of one page. */
export const PAGE_ENTRIES_MAX = 1_000
/** Stored bytes of the values of one page, but for its first. */
const PAGE_BYTES_MAX = 1024 * 1024
/** Key groups of other states are passed on the way; behind so many rows a page ends where it is. */
const PAGE_ROWS_MAX = 500_000

interface Chain {
  readonly subtask: number
  readonly stage: number
  readonly refs: readonly SegmentRef[]
  readonly range: KeyGroupRange
  /** Key groups are splits of the source. */
  readonly bySplit: boolean
}

/** Every call throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT`, `SEGMENT_CHAIN_BROKEN` (invalid), and kind `retry`. */
export class StateReader {
  readonly #stored: StoredState
  readonly #objects: ObjectStore
  readonly #chains: readonly Chain[]
  #states: Promise<readonly StateSummary[]> | null = null

  constructor(stored: StoredState, objects: ObjectStore) {
    this.#stored = stored
    this.#objects = objects
    this.#chains = chainsOf(stored)
  }

  /** By stage and subtask. */
  chains(): readonly ChainSummary[] {
    return this.#chains.map(({ subtask, stage, refs }) => {
      return { subtask, stage, segments: refs.length, bytes: refs.reduce((sum, { bytes }) => sum + bytes, 0) }
    })
  }

  /** Every state there is, by stage and name. Reads no segment, where the manifest says what is in them. */
  states(): Promise<readonly StateSummary[]> {
    return (this.#states ??= this.#listed())
  }

  /** As `states`, with the number of keys (of windows: key and window). Reads everything. */
  async counted(): Promise<readonly StateSummary[]> {
    const counts = new Map<string, number>()
    const states = await this.states()
    for (const stage of new Set(states.map((state) => state.stage))) {
      for await (const group of this.groups(stage, null)) {
        const alive = new Map<string, Set<string>>()
        await group.visit((row, { operatorUid, name, split }) => {
          const id = idOf({ operatorUid, name })
          let keys = alive.get(id)
          if (keys === undefined) alive.set(id, (keys = new Set()))
          const key = `${split ?? ''}/${entryId(row.key, row.namespace)}`
          if (row.op === DELETE) keys.delete(key)
          else keys.add(key)
        })
        for (const [id, keys] of alive) counts.set(id, (counts.get(id) ?? 0) + keys.size)
      }
    }
    return states.map((state) => ({ ...state, keys: counts.get(idOf(state)) ?? 0 }))
  }

  /**
   * What is stored for a key: for `"7"` both the text and the number, in every window, every row, and, where state is kept by
   * split, in every split (or the one that is asked for).
   */
  async get(of: StateName, key: string, split: number | null): Promise<readonly StoredEntry[]> {
    const keys = keysMeant(key)
    const stage = await this.#stageOf(of)
    if (stage === null) return []
    const isMeant = (row: Key): boolean => keys.includes(isEntries(of.name) ? ownerOfEntry(String(row)) : row)
    const groups = this.#bySplit(stage)
      ? [split === null ? null : { from: split, to: split + 1 }]
      : [...new Set(keys.map((k) => keyGroupOf(k, this.#stored.maxParallelism)))].map((g) => ({ from: g, to: g + 1 }))
    const found: StoredEntry[] = []
    for (const range of groups) {
      for await (const group of this.groups(stage, range)) {
        const entries = await entriesOf(group, of, isMeant)
        found.push(...entries.map((entry) => stored(of, entry)))
      }
    }
    return found
  }

  /** At most `limit` entries behind `after`, by key group and then by key. */
  async page(of: StateName, after: StatePosition | null, limit: number): Promise<StatePage> {
    const stage = await this.#stageOf(of)
    if (stage === null) return { entries: [], next: null }
    const entries: StoredEntry[] = []
    let bytes = 0
    let rows = 0
    /** Behind the last group. */
    let before: StatePosition | null = null
    const range = after === null ? null : { from: after.row === null ? after.group + 1 : after.group, to: Infinity }
    for await (const group of this.groups(stage, range)) {
      const wanted = limit - entries.length
      const page = new Smallest(wanted, after !== null && after.group === group.group ? after : null)
      await group.visit((row, state) => {
        rows++
        if (!isOf(state, of)) return
        const entry = page.entry(row.key, row.namespace)
        if (entry !== null) entry.packed = applied(entry.packed, row)
      })
      const place = { group: group.group, split: this.#splitOf(stage, group.group) }
      let full: StatePosition | null = null
      for (const { row, namespace, packed } of page.sorted()) {
        if (packed === null) continue
        bytes += packed.length
        if (bytes > PAGE_BYTES_MAX && entries.length > 0) return { entries, next: full ?? before }
        entries.push(stored(of, { row, namespace, packed, ...place }))
        full = { group: group.group, row, namespace }
      }
      const last = page.last
      if (last !== null) return { entries, next: { group: group.group, row: last.row, namespace: last.namespace } }
      before = { group: group.group, row: null, namespace: 0 }
      if (entries.length >= limit || rows > PAGE_ROWS_MAX) return { entries, next: before }
    }
    return { entries, next: null }
  }

  /** Key groups of a stage in ascending order, those in the range. */
  async *groups(stage: number, range: KeyGroupRange | null): AsyncGenerator<GroupRows> {
    const chains = this.#chains.filter((chain) => chain.stage === stage)
    const within = (chain: Chain): KeyGroupRange => ({
      from: Math.max(range?.from ?? 0, chain.range.from),
      to: Math.min(range?.to ?? Infinity, chain.range.to),
    })
    if (this.#bySplit(stage)) {
      // Splits are dealt out in turn, so that only all chains together are in order.
      const refs = chains.flatMap((chain) => chain.refs)
      if (chains[0] !== undefined) yield* groupsOf(refs, this.#objects, within(chains[0]))
      return
    }
    for (const chain of chains) {
      const { from, to } = within(chain)
      if (from < to) yield* groupsOf(chain.refs, this.#objects, { from, to })
    }
  }

  #bySplit(stage: number): boolean {
    return this.#chains.some((chain) => chain.stage === stage && chain.bySplit)
  }
  #splitOf(stage: number, group: number): number | null {
    return this.#bySplit(stage) ? group : null
  }
  async #stageOf(of: StateName): Promise<number | null> {
    return (await this.states()).find((state) => isOf(state, of))?.stage ?? null
  }

  async #listed(): Promise<readonly StateSummary[]> {
    const found = new Map<string, StateSummary>()
    for (const { stage, refs, bySplit } of this.#chains) {
      for (const ref of refs) {
        const excluded = excludedBy(ref)
        for (const { operatorUid, name, schema } of ref.states ?? (await statesOfSegment(ref, this.#objects))) {
          if (excluded(operatorUid, name)) continue
          // The newest segment has the version that counts.
          found.set(idOf({ operatorUid, name }), { operatorUid, name, stage, schema, bySplit, keys: null })
        }
      }
    }
    return [...found.values()].sort(
      (a, b) => a.stage - b.stage || compare(a.operatorUid, b.operatorUid) || compare(a.name, b.name),
    )
  }
}

function chainsOf({ subtasks, parallelism, maxParallelism }: StoredState): Chain[] {
  const chains = subtasks.flatMap(({ subtask, segments }) =>
    (segments as readonly { readonly stage: number; readonly chain: readonly SegmentRef[] }[]).map(
      ({ stage, chain }): Chain => {
        const bySplit = chain.some(({ keyGroups }) => keyGroups.to > maxParallelism)
        const range = bySplit ? { from: 0, to: Infinity } : keyGroupRange(subtask, parallelism, maxParallelism)
        return { subtask, stage, refs: chain, range, bySplit }
      },
    ),
  )
  return chains.sort((a, b) => a.stage - b.stage || a.subtask - b.subtask)
}

// ---- entries --------------------------------------------------------------------------------------------------------

interface PackedEntry {
  /** Its key as it is stored. */
  readonly row: Key
  readonly namespace: number
  readonly group: number
  readonly split: number | null
  readonly packed: Uint8Array
}

async function entriesOf(group: GroupRows, of: StateName, wanted: (key: Key) => boolean): Promise<PackedEntry[]> {
  const entries = new Map<string, Omit<PackedEntry, 'packed'> & { packed: Uint8Array | null }>()
  await group.visit((row, state) => {
    if (!isOf(state, of) || !wanted(row.key)) return
    const { key, namespace } = row
    const id = entryId(key, namespace)
    const before = entries.get(id)
    const packed = applied(before?.packed ?? null, row)
    entries.set(id, { row: key, namespace, group: group.group, split: state.split, packed })
  })
  return [...entries.values()].filter((entry): entry is PackedEntry => entry.packed !== null)
}

function stored({ name }: StateName, { row, namespace, group, split, packed }: PackedEntry): StoredEntry {
  const [key, entry] = isEntries(name) ? [ownerOfEntry(String(row)), restOfEntry(String(row))] : [row, null]
  return { key, entry, namespace, keyGroup: group, split, value: unpack(packed) }
}

interface Candidate {
  readonly row: Key
  readonly namespace: number
  packed: Uint8Array | null
}

/**
 * The smallest `count` entries behind a place, found in rows of any order. Deleted ones count too: whether a key is there is
 * known at the end only, and the bound only falls, so that no row about a key that is kept in the end was passed over.
 */
class Smallest {
  readonly #count: number
  readonly #after: StatePosition | null
  #entries = new Map<string, Candidate>()
  #bound: Candidate | null = null

  constructor(count: number, after: StatePosition | null) {
    this.#count = count
    this.#after = after
  }

  /** Null: not among them. */
  entry(row: Key, namespace: number): Candidate | null {
    if (this.#after !== null && order({ row, namespace }, { ...this.#after, row: this.#after.row! }) <= 0) return null
    if (this.#bound !== null && order({ row, namespace }, this.#bound) > 0) return null
    const id = entryId(row, namespace)
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      entry = { row, namespace, packed: null }
      this.#entries.set(id, entry)
      if (this.#entries.size > 2 * this.#count) this.#cut()
    }
    return entry
  }

  sorted(): readonly Candidate[] {
    if (this.#entries.size > this.#count) this.#cut()
    return [...this.#entries.values()].sort(order)
  }

  /** The largest of them where larger ones were left out, else null. */
  get last(): Candidate | null {
    return this.#bound
  }

  #cut(): void {
    const kept = [...this.#entries.values()].sort(order).slice(0, this.#count)
    this.#bound = kept.at(-1)!
    this.#entries = new Map(kept.map((entry) => [entryId(entry.row, entry.namespace), entry]))
  }
}

/** Numbers before texts, by value; then by window. */
function order(a: Pick<Candidate, 'row' | 'namespace'>, b: Pick<Candidate, 'row' | 'namespace'>): number {
  if (typeof a.row !== typeof b.row) return typeof a.row === 'number' ? -1 : 1
  return compare(a.row, b.row) || a.namespace - b.namespace
}

const compare = (a: Key, b: Key): number => (a < b ? -1 : a > b ? 1 : 0)

export const entryId = (key: Key, namespace: number): string =>
  `${namespace}/${typeof key === 'number' ? 'n' : 's'}${key}`

/** A key as it is typed: the text, and the number it stands for. */
function keysMeant(text: string): Key[] {
  const number = Number(text)
  return text.trim() !== '' && Number.isFinite(number) && String(number) === text ? [text, number] : [text]
}

const idOf = ({ operatorUid, name }: StateName): string => JSON.stringify([operatorUid, name])
const isOf = (a: StateName | RowState, b: StateName): boolean => a.operatorUid === b.operatorUid && a.name === b.name
