/**
 * The NDJSON files of a folder, as they are when the job begins. They are dealt out over splits in the order of their names;
 * a split reads its files one after the other. Files are not changed once they are there.
 *
 * The offset of a record counts the bytes of its split: those of the files before, and those before it in its own.
 */
import type { ObjectStore } from '@weir/checkpoint'
import type {
  ConnectorDescriptor,
  RawRecords,
  SourcePoll,
  SourceReader,
  SourceState,
  SubtaskContext,
} from '@weir/dataflow'
import { WeirError, assert, type Clock } from '@weir/model'
import { readLines, type Lines } from './lines.ts'

export interface FilesSourceOptions {
  /** `s3://BUCKET/FOLDER/` or `file:///FOLDER/`. */
  readonly folder: string
  readonly splits: number
}

/** Throws `DESCRIPTOR_INVALID` (invalid) naming the option. */
export function filesSourceOptions({ folder, splits }: ConnectorDescriptor): FilesSourceOptions {
  if (typeof folder === 'string' && Number.isSafeInteger(splits) && (splits as number) > 0)
    return { folder, splits: splits as number }
  throw new WeirError(
    { code: 'DESCRIPTOR_INVALID', kind: 'invalid', connector: 'files', folder, splits },
    'files: folder or splits is missing or wrong. Make the descriptor with ndjson.folder()',
  )
}

/** Of one split. JSON. */
interface Stored {
  /** What is not read to its end, in order. */
  readonly files: readonly string[]
  /** Bytes of the files before the first of them. */
  readonly before: number
  /** Of the next record, in the first of them. */
  readonly at: number
}
interface Split extends Stored {
  readonly id: number
  readonly ended: boolean
  /** Positions in front of the files that were read lately, oldest first. */
  readonly earlier: readonly Stored[]
}

const IDLE_MS = 50
const EARLIER_MAX = 64
const SUFFIX = /\.(ndjson|jsonl)$/

export class FilesSource implements SourceReader {
  readonly #options: FilesSourceOptions
  readonly #context: SubtaskContext
  readonly #objects: ObjectStore
  readonly #clock: Clock
  #splits: Split[] = []
  #turn = 0

  constructor(
    options: FilesSourceOptions,
    deps: { readonly context: SubtaskContext; readonly objects: ObjectStore; readonly clock: Clock },
  ) {
    this.#options = options
    this.#context = deps.context
    this.#objects = deps.objects
    this.#clock = deps.clock
  }

  /** Throws `FOLDER_EMPTY`, `POSITION_INVALID` (invalid). */
  async open(restored: SourceState | null): Promise<readonly number[]> {
    const { splits } = this.#options
    const { subtask, parallelism } = this.#context
    const mine = Array.from({ length: splits }, (_, id) => id).filter((id) => id % parallelism === subtask)
    const files = restored === null ? await this.#list() : []
    this.#splits = mine.map((id) => {
      const fresh = { files: files.filter((_, i) => i % splits === id), before: 0, at: 0 }
      return { id, ended: false, earlier: [], ...(restored === null ? fresh : stored(id, restored[id])) }
    })
    return mine
  }

  /** Hidden ones, and those of folders that readers leave alone, are no input. */
  async #list(): Promise<readonly string[]> {
    const keys = await this.#objects.list('')
    const files = keys.filter((key) => SUFFIX.test(key) && !key.split('/').some((name) => /^[._]/.test(name)))
    if (files.length > 0) return files.sort()
    const { folder } = this.#options
    throw new WeirError(
      { code: 'FOLDER_EMPTY', kind: 'invalid', folder },
      `${folder} holds no *.ndjson or *.jsonl: is it the right folder, and seen by every task-manager?`,
    )
  }

  async poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    const n = this.#splits.length
    for (let i = 0; i < n; i++) {
      const turn = (this.#turn + i) % n
      const split = this.#splits[turn]!
      if (split.ended || held?.has(split.id)) continue
      const polled = await this.#read(turn, maxRecords)
      if (polled === null) continue
      this.#turn = (turn + 1) % n
      return polled
    }
    if (this.#splits.every(({ ended }) => ended)) return 'end'
    await this.#clock.sleep(IDLE_MS, this.#context.signal)
    return 'idle'
  }

  /** Null: only empty lines. */
  async #read(turn: number, maxRecords: number): Promise<SourcePoll | null> {
    for (;;) {
      const split = this.#splits[turn]!
      const [file, ...rest] = split.files
      if (file === undefined) {
        this.#splits[turn] = { ...split, ended: true }
        return { kind: 'split-end', split: split.id }
      }
      const lines = await readLines(this.#objects, file, split.at, maxRecords)
      const { files, before, at } = split
      this.#splits[turn] = lines.last
        ? {
            ...{ id: split.id, ended: false, files: rest, before: before + lines.next, at: 0 },
            earlier: [...split.earlier.slice(1 - EARLIER_MAX), { files, before, at }],
          }
        : { ...split, at: lines.next }
      if (lines.starts.length > 0) return { kind: 'raw', split: split.id, raw: rawOf(lines, before) }
      if (!lines.last) return null
    }
  }

  snapshot(from?: ReadonlyMap<number, number>): SourceState {
    return Object.fromEntries(
      this.#splits.map((split) => {
        const offset = from?.get(split.id)
        return [split.id, offset === undefined ? positionOf(split) : inFrontOf(split, offset)]
      }),
    )
  }

  async close(): Promise<void> {
    await this.#objects.close()
  }
}

const positionOf = ({ files, before, at }: Stored): Stored => ({ files, before, at })

/** The file an offset lies in: the last that begins at or in front of it. */
function inFrontOf(split: Split, offset: number): Stored {
  const found = [...split.earlier, positionOf(split)].findLast(({ before }) => before <= offset)
  assert(found !== undefined, `the file of offset ${offset} of split ${split.id} is not known any more`)
  return { files: found.files, before: found.before, at: offset - found.before }
}

function stored(split: number, position: unknown): Stored {
  // A split that did not exist: the job began with fewer.
  if (position === undefined) return { files: [], before: 0, at: 0 }
  const { files, before, at } = position as Stored
  const whole = [before, at].every((n) => Number.isSafeInteger(n) && n >= 0)
  if (whole && Array.isArray(files) && files.every((f) => typeof f === 'string')) return { files, before, at }
  throw new WeirError(
    { code: 'POSITION_INVALID', kind: 'invalid', connector: 'files', split, position },
    `${JSON.stringify(position)} is no position of split ${split}: the state was not written by this source. Start it without, or under another uid`,
  )
}

function rawOf({ buffer, starts, ends, from }: Lines, before: number): RawRecords {
  const count = starts.length
  return {
    buffer,
    count,
    keyStart: new Int32Array(count).fill(-1),
    keyEnd: new Int32Array(count).fill(-1),
    valueStart: Int32Array.from(starts),
    valueEnd: Int32Array.from(ends),
    // A line has no time of its own: the source's descriptor takes it from the value.
    timestamps: new Float64Array(count),
    offsets: Float64Array.from(starts, (start) => before + from + start),
  }
}
