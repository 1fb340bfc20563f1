/**
 * Chains walked group after group, side by side: one chunk of every segment is in memory, never a whole segment. Rows of a
 * group come in the order they were written, so that the last one about a key is what counts.
 */
import type { ObjectStore } from '@weir/checkpoint'
import type { SegmentRef, StoredSchema } from '@weir/dataflow'
import { inRange, intersection, type KeyGroupRange } from '@weir/model'
import { setImmediate as yieldTurn } from 'node:timers/promises'
import { ChainVersions } from '../chain-versions.ts'
import { pack, stateId, unpack } from '../pack.ts'
import { excludedBy, openSegment, readWhole, type Reading } from '../segment-reader.ts'
import { decodeSegment1 } from '../segment-1.ts'
import { DELETE, VALUE, sum, type Row } from '../segment.ts'

/** A reader beside other work: little at a time. */
const READING: Reading = { pieceBytes: 512 * 1024, ahead: 1 }
/** Rows between two turns of the event loop. */
const ROWS_AT_ONCE = 5_000

export interface RowState {
  readonly operatorUid: string
  readonly name: string
  readonly split: number | null
  readonly schema: StoredSchema | null
  /** Its rows count for nothing: whoever was started from it has given the state up. */
  readonly excluded: boolean
}

/** `row` is the same object every time, its value a view. */
export type Visit = (row: Row, state: RowState) => void

export interface GroupRows {
  readonly group: number
  /** Once, before the next group is asked for. */
  visit(call: Visit): Promise<void>
}

/**
 * Key groups in the range that have rows, ascending. Chains may follow each other in `chain` where no two have a group in
 * common. Throws `SEGMENT_MISSING`, `SEGMENT_CORRUPT`, `SEGMENT_CHAIN_BROKEN` (invalid).
 */
export async function* groupsOf(
  chain: readonly SegmentRef[],
  objects: ObjectStore,
  range: KeyGroupRange,
): AsyncGenerator<GroupRows> {
  const versions = new ChainVersions()
  const cursors: Cursor[] = []
  for (const ref of chain) cursors.push(await cursorAt(ref, objects, range, versions))
  await Promise.all(cursors.map((cursor) => cursor.advance()))
  let unyielded = 0
  for (;;) {
    const group = Math.min(...cursors.map(({ row }) => row?.group ?? Infinity))
    if (group === Infinity) return
    const visit = async (call: Visit): Promise<void> => {
      for (const cursor of cursors) {
        while (cursor.row?.group === group) {
          const state = cursor.states[cursor.row.state]!
          if (!state.excluded) call(cursor.row, state)
          if (++unyielded % ROWS_AT_ONCE === 0) await yieldTurn()
          if (!cursor.step()) await cursor.advance()
        }
      }
    }
    yield { group, visit }
    await visit(() => {}) // what the caller did not look at
  }
}

/** Which states a segment holds, without its rows. */
export async function statesOfSegment(ref: SegmentRef, objects: ObjectStore): Promise<readonly RowState[]> {
  const { states } = await cursorAt(ref, objects, { from: 0, to: 0 }, null)
  return states.filter(({ excluded }) => !excluded)
}

async function cursorAt(
  ref: SegmentRef,
  objects: ObjectStore,
  range: KeyGroupRange,
  versions: ChainVersions | null,
): Promise<Cursor> {
  // Behind a rescale a reference is good for less than the object holds.
  const wanted = (ref.only ? intersection(range, ref.only) : range) ?? { from: 0, to: 0 }
  if (ref.index === undefined) return format1(ref, await readWhole(ref, objects), wanted)
  const { index, chunks } = await openSegment({ ...ref, index: ref.index }, objects, wanted, READING)
  versions?.continue(ref, index)
  const isExcluded = excludedBy(ref)
  const states = index.states.map(([operatorUid, name, split = null], i): RowState => {
    const schema = index.schemas?.[i] ?? null
    const excluded = isExcluded(operatorUid, name)
    return { operatorUid, name, split, excluded, schema: schema && { name: schema[0], version: schema[1] } }
  })
  return new Cursor(states, chunks())
}

/** A segment that has no ranges. */
function format1(ref: SegmentRef, bytes: Buffer, range: KeyGroupRange): Cursor {
  const numbers = new Map<string, number>()
  const states: RowState[] = []
  const rows: Row[] = []
  const isExcluded = excludedBy(ref)
  // All states are to be known, also where no row of theirs is wanted.
  for (const entry of decodeSegment1(bytes, ref.key, { from: 0, to: Infinity })) {
    const { group, operatorUid, name, split, namespace, key, value } = entry
    const id = stateId(operatorUid, name, split)
    let state = numbers.get(id)
    if (state === undefined) {
      numbers.set(id, (state = states.length))
      const excluded = isExcluded(operatorUid, name)
      states.push({ operatorUid, name, split: split ?? null, schema: null, excluded })
    }
    if (!inRange(range, group)) continue
    const [op, packed] = value === undefined ? ([DELETE, NOTHING] as const) : ([VALUE, pack(value)] as const)
    rows.push({ group, state, namespace, key, op, value: packed })
  }
  rows.sort((a, b) => a.group - b.group)
  return new Cursor(states, oneChunk(rows))
}

const NOTHING = new Uint8Array()

async function* oneChunk(rows: readonly Row[]): AsyncGenerator<Iterable<Row>> {
  yield await Promise.resolve(rows)
}

/** A place in the rows of one segment. */
class Cursor {
  readonly states: readonly RowState[]
  readonly #chunks: AsyncIterator<Iterable<Row>>
  #rows: Iterator<Row> | null = null
  /** Null: at the end. */
  row: Row | null = null

  constructor(states: readonly RowState[], chunks: AsyncIterator<Iterable<Row>>) {
    this.states = states
    this.#chunks = chunks
  }

  /** To the next row of the chunk; false: there is none, `advance`. */
  step(): boolean {
    const next = this.#rows!.next()
    if (next.done === true) return false
    this.row = next.value
    return true
  }

  async advance(): Promise<void> {
    while (this.#rows === null || !this.step()) {
      const chunk = await this.#chunks.next()
      if (chunk.done === true) return void (this.row = null)
      this.#rows = chunk.value[Symbol.iterator]()
    }
  }
}

/** What a row makes of the stored value before it; null: there is none. Bytes of its own. */
export function applied(before: Uint8Array | null, { op, value }: Row): Uint8Array | null {
  if (op === DELETE) return null
  if (op === VALUE) return Uint8Array.from(value)
  return before === null ? null : pack(sum(unpack(before), op, unpack(value)))
}
