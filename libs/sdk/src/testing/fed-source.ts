/** Reads what a test has fed. Its wait ends only when there is more, or when it is woken: a test knows when all is read. */
import type { RawRecords, SourcePoll, SourceReader, SourceState, SubtaskContext } from '@weir/dataflow'
import type { TopicRecord } from '@weir/model'
import type { FedEntry, FedTopic } from './fed-topic.ts'
import { TimePassed, markOf } from './time-passed.ts'

export interface FedSourceOptions {
  readonly topic: FedTopic
  /** The source makes objects itself: it is given values. */
  readonly decodes: boolean
  readonly outOfOrderMs: number
}

type Position = Readonly<Record<string, { readonly offset: string }>>

export class FedSource implements SourceReader {
  readonly #options: FedSourceOptions
  #splits: readonly number[] = []
  readonly #offsets = new Map<number, number>()
  readonly #ended = new Set<number>()
  readonly #context: SubtaskContext
  #turn = 0
  #toldIdle = false
  #over = false
  #wake: (() => void) | null = null

  constructor(options: FedSourceOptions, context: SubtaskContext) {
    this.#options = options
    this.#context = context
    context.signal.addEventListener('abort', () => this.wake(), { once: true })
  }

  /** Everything fed so far is read and has left the stage behind. */
  get settled(): boolean {
    return this.#over || this.#wake !== null
  }

  /** Its loop looks at barriers and timers. */
  wake(): void {
    this.#wake?.()
  }

  open(restored: SourceState | null): Promise<readonly number[]> {
    const { subtask, parallelism } = this.#context
    const position = (restored?.['partitions'] ?? {}) as Position
    this.#splits = [...this.#options.topic.partitions.keys()].filter((split) => split % parallelism === subtask)
    for (const split of this.#splits) this.#offsets.set(split, Number(position[split]?.offset ?? 0))
    return Promise.resolve(this.#splits)
  }

  poll(maxRecords: number): Promise<SourcePoll> {
    const polled = this.#next(maxRecords)
    if (polled !== null) {
      this.#toldIdle = false
      this.#over = polled === 'end'
      return Promise.resolve(polled)
    }
    if (!this.#toldIdle) {
      this.#toldIdle = true // half-filled frames are sent
      return Promise.resolve('idle')
    }
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null
        resolve('idle')
      }
    })
  }

  snapshot(): SourceState {
    const of = this.#splits.map((split) => [split, { offset: String(this.#offsets.get(split)), end: null }] as const)
    return { partitions: Object.fromEntries(of) }
  }

  originals(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]> {
    const entries = this.#options.topic.partitions[split]!
    return Promise.resolve(
      offsets.map((offset) => {
        const entry = entries[offset]
        if (entry?.kind !== 'record' || !this.#options.decodes) return null
        return { key: entry.key, value: entry.bytes, timestamp: entry.timestamp, headers: entry.headers }
      }),
    )
  }

  close(): Promise<void> {
    this.wake()
    return Promise.resolve()
  }

  #next(maxRecords: number): SourcePoll | null {
    const { topic } = this.#options
    for (let i = 0; i < this.#splits.length; i++) {
      const split = this.#splits[(this.#turn + i) % this.#splits.length]!
      const from = this.#offsets.get(split)!
      const entries = topic.read(split, from, maxRecords)
      if (entries.length === 0) continue
      this.#turn += i + 1
      this.#offsets.set(split, from + entries.length)
      return this.#batch(split, from, entries)
    }
    if (!topic.ended) return null
    const open = this.#splits.find((split) => !this.#ended.has(split))
    if (open === undefined) return 'end'
    this.#ended.add(open)
    return { kind: 'split-end', split: open }
  }

  #batch(split: number, from: number, entries: readonly FedEntry[]): SourcePoll {
    const { outOfOrderMs, decodes } = this.#options
    const timestamps = entries.map((entry) => (entry.kind === 'time' ? entry.timeMs + outOfOrderMs : entry.timestamp))
    const offsets = entries.map((_, i) => from + i)
    if (!decodes) {
      const values = entries.map((entry) => (entry.kind === 'time' ? new TimePassed(entry.timeMs) : entry.value))
      return { kind: 'values', split, values, timestamps, offsets }
    }
    return { kind: 'raw', split, raw: rawOf(entries, timestamps, offsets) }
  }
}

function rawOf(entries: readonly FedEntry[], timestamps: number[], offsets: number[]): RawRecords {
  const count = entries.length
  const places = (): Int32Array => new Int32Array(count).fill(-1)
  const [keyStart, keyEnd, valueStart, valueEnd] = [places(), places(), places(), places()]
  const parts: Uint8Array[] = []
  let at = 0
  const put = (bytes: Uint8Array | null, i: number, start: Int32Array, end: Int32Array): void => {
    if (bytes === null) return
    parts.push(bytes)
    start[i] = at
    end[i] = at += bytes.byteLength
  }
  for (const [i, entry] of entries.entries()) {
    if (entry.kind === 'record') put(entry.key, i, keyStart, keyEnd)
    put(entry.kind === 'record' ? entry.bytes : markOf(entry.timeMs), i, valueStart, valueEnd)
  }
  const headersOf = entries.map((entry) => (entry.kind === 'record' ? entry.headers : []))
  return {
    ...{ buffer: Buffer.concat(parts), count, keyStart, keyEnd, valueStart, valueEnd },
    timestamps: Float64Array.from(timestamps),
    offsets: Float64Array.from(offsets),
    // A view of the arrays begins somewhere in them.
    headers: (raw, i) => headersOf[raw.offsets.byteOffset / Float64Array.BYTES_PER_ELEMENT + i]!,
  }
}
