/** A source over several splits of literal records, with the position of a log as its state. */
import type { SourcePoll, SourceReader, SourceState } from '@weir/dataflow'

export interface MemoryRecord {
  readonly value: unknown
  /** Event time, ms. */
  readonly ts: number
}

export class MemoryLogSource implements SourceReader {
  readonly #splits: readonly (readonly MemoryRecord[])[]
  readonly #batchMax: number
  readonly #ended = new Set<number>()
  #at: number[]
  #turn = 0
  /** Stops handing out records of each split here until it is raised: tests choose where the barrier falls. */
  limit = Number.MAX_SAFE_INTEGER

  /** @param batchMax records handed out at once: results must not depend on it. */
  constructor(splits: readonly (readonly MemoryRecord[])[], batchMax: number) {
    this.#splits = splits
    this.#batchMax = batchMax
    this.#at = splits.map(() => 0)
  }

  open(restored: SourceState | null): Promise<readonly number[]> {
    const stored = (restored?.['partitions'] ?? {}) as Record<string, { offset: string } | undefined>
    this.#at = this.#splits.map((_, split) => Number(stored[split]?.offset ?? 0))
    return Promise.resolve([...this.#splits.keys()])
  }

  poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    const n = this.#splits.length
    for (let i = 0; i < n; i++) {
      const split = (this.#turn + i) % n
      if (held?.has(split)) continue
      const all = this.#splits[split]!
      const from = this.#at[split]!
      const to = Math.min(all.length, from + Math.min(maxRecords, this.#batchMax), this.limit)
      if (to <= from) {
        if (from < all.length || this.#ended.has(split)) continue
        this.#ended.add(split)
        return Promise.resolve({ kind: 'split-end', split })
      }
      this.#turn = split + 1
      this.#at[split] = to
      const taken = all.slice(from, to)
      return Promise.resolve({
        kind: 'values',
        split,
        values: taken.map((r) => r.value),
        timestamps: taken.map((r) => r.ts),
        offsets: taken.map((_, j) => from + j),
      })
    }
    if (this.#ended.size === n) return Promise.resolve('end')
    return new Promise((resolve) => setTimeout(() => resolve('idle'), 1))
  }

  snapshot(): SourceState {
    const end = (split: number): string => String(this.#splits[split]!.length)
    return {
      partitions: Object.fromEntries(this.#at.map((at, split) => [split, { offset: String(at), end: end(split) }])),
    }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
