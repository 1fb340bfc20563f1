/** What two stored states have that the other has not, group after group. */
import { isEntries, ownerOfEntry, restOfEntry } from '@weir/dataflow'
import { unpack } from '../pack.ts'
import { applied, type GroupRows } from './groups.ts'
import type { StateReader } from './state-reader.ts'
import type { Key } from '@weir/model'

export interface StateChange {
  readonly change: 'added' | 'changed' | 'removed'
  readonly key: Key
  /** Of a state with several rows per key. */
  readonly entry: Key | null
  readonly namespace: number
  readonly keyGroup: number
  readonly split: number | null
  /** Undefined where it was added, and after it was removed. */
  readonly before?: unknown
  readonly after?: unknown
}

export interface StateDifference {
  readonly operatorUid: string
  readonly name: string
  readonly added: number
  readonly changed: number
  readonly removed: number
  /** The first ones; the numbers count all. */
  readonly changes: readonly StateChange[]
}

/** States that differ, by name. `limit`: changes per state. Reads both wholly. Throws as `StateReader` does. */
export async function diffStates(before: StateReader, after: StateReader, limit: number): Promise<StateDifference[]> {
  const found = new Map<
    string,
    { -readonly [K in keyof StateDifference]: StateDifference[K] } & { changes: StateChange[] }
  >()
  const tell = (entry: Entry, change: StateChange['change'], values: Pick<StateChange, 'before' | 'after'>): void => {
    const { operatorUid, name, key, namespace, split, group } = entry
    const id = JSON.stringify([operatorUid, name])
    let state = found.get(id)
    if (state === undefined)
      found.set(id, (state = { operatorUid, name, added: 0, changed: 0, removed: 0, changes: [] }))
    state[change]++
    if (state.changes.length >= limit) return
    const [owner, row] = isEntries(name) ? [ownerOfEntry(String(key)), restOfEntry(String(key))] : [key, null]
    state.changes.push({ change, key: owner, entry: row, namespace, keyGroup: group, split, ...values })
  }
  for (const stage of new Set([...before.chains(), ...after.chains()].map((chain) => chain.stage))) {
    const [a, b] = [before.groups(stage, null), after.groups(stage, null)]
    let [left, right] = [await a.next(), await b.next()]
    while (left.done !== true || right.done !== true) {
      const group = Math.min(left.value?.group ?? Infinity, right.value?.group ?? Infinity)
      const there = left.value?.group === group ? await entriesIn(left.value) : NONE
      const here = right.value?.group === group ? await entriesIn(right.value) : NONE
      for (const [id, entry] of there) {
        const now = here.get(id)
        if (now === undefined) tell(entry, 'removed', { before: unpack(entry.packed) })
        else if (Buffer.compare(entry.packed, now.packed) !== 0)
          tell(entry, 'changed', { before: unpack(entry.packed), after: unpack(now.packed) })
      }
      for (const [id, entry] of here) if (!there.has(id)) tell(entry, 'added', { after: unpack(entry.packed) })
      if (left.value?.group === group) left = await a.next()
      if (right.value?.group === group) right = await b.next()
    }
  }
  return [...found.values()].sort((a, b) => (a.operatorUid + a.name < b.operatorUid + b.name ? -1 : 1))
}

interface Entry {
  readonly operatorUid: string
  readonly name: string
  readonly split: number | null
  readonly key: Key
  readonly namespace: number
  readonly group: number
  readonly packed: Uint8Array
}
const NONE: ReadonlyMap<string, Entry> = new Map()

async function entriesIn(group: GroupRows): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>()
  await group.visit((row, { operatorUid, name, split }) => {
    const { key, namespace } = row
    const id = JSON.stringify([operatorUid, name, split, key, namespace])
    const packed = applied(entries.get(id)?.packed ?? null, row)
    if (packed === null) entries.delete(id)
    else entries.set(id, { operatorUid, name, split, key, namespace, group: group.group, packed })
  })
  return entries
}
