/** A source that reads what it is handed, at the position a checkpoint has: of the job's topics it knows nothing. */
import {
  countOf,
  offsetAt,
  recordAt,
  type SourceBatch,
  type SourcePoll,
  type SourceReader,
  type SourceState,
} from '@weir/dataflow'
import { WeirError, type TopicRecord } from '@weir/model'

export class HandedSource implements SourceReader {
  readonly #signal: AbortSignal
  readonly #also: number | null
  #waiting: SourceBatch[] = []
  /** Asked for by dead letters, which have records as they lie in the topic. */
  readonly #handed: SourceBatch[] = []
  #toldIdle = false
  #wake: (() => void) | null = null

  /** @param also a split it has besides those of the checkpoint; null: none */
  constructor(signal: AbortSignal, also: number | null) {
    this.#signal = signal
    this.#also = also
    signal.addEventListener('abort', () => this.wake(), { once: true })
  }

  /** Everything handed so far is read and has left the stage behind. */
  get settled(): boolean {
    return this.#wake !== null
  }

  hand(batch: SourceBatch): void {
    this.#waiting.push(batch)
    this.#handed.splice(0, this.#handed.length, batch)
    this.wake()
  }

  /** Its loop looks at timers. */
  wake(): void {
    this.#wake?.()
  }

  open(restored: SourceState | null): Promise<readonly number[]> {
    const splits = new Set(restored === null ? [] : splitsIn(restored))
    if (this.#also !== null) splits.add(this.#also)
    return Promise.resolve([...splits].sort((a, b) => a - b))
  }

  poll(maxRecords: number): Promise<SourcePoll> {
    const batch = this.#waiting[0]
    if (batch !== undefined && countOf(batch) <= maxRecords) {
      this.#waiting.shift()
      this.#toldIdle = false
      return Promise.resolve(batch)
    }
    if (!this.#toldIdle || batch !== undefined || this.#signal.aborted) {
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

  originals(split: number, offsets: readonly number[]): Promise<readonly (TopicRecord | null)[]> {
    const found = offsets.map((offset) => {
      const batch = this.#handed.find((one) => one.split === split && indexOf(one, offset) >= 0)
      return batch?.kind === 'raw' ? recordAt(batch.raw, indexOf(batch, offset)) : null
    })
    return Promise.resolve(found)
  }

  /** Nobody takes a checkpoint of a replay. */
  snapshot(): SourceState {
    throw new WeirError({ code: 'REPLAY_WOULD_WRITE', kind: 'invalid' }, 'internal: a replay takes no checkpoint')
  }

  close(): Promise<void> {
    this.wake()
    return Promise.resolve()
  }
}

function indexOf(batch: SourceBatch, offset: number): number {
  for (let i = 0; i < countOf(batch); i++) if (offsetAt(batch, i) === offset) return i
  return -1
}

/** A position is a map by split, perhaps inside of another one (`SourceState`). */
function splitsIn(state: SourceState): readonly number[] {
  const inside = state['partitions']
  const bySplit = typeof inside === 'object' && inside !== null ? inside : state
  return Object.keys(bySplit)
    .filter((key) => /^\d+$/.test(key))
    .map(Number)
}
