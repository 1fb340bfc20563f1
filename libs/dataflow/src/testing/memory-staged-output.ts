/** Staged output in a Map, for tests of sinks. What it holds and how it fails is in the hands of the test. */
import type { StagedChunk, StagedOutput, StagedRef, StagedWriter } from '../ports.ts'

export class MemoryStagedOutput implements StagedOutput {
  readonly stored = new Map<string, readonly StagedChunk[]>()
  /** Chunks that may still be read; then reading fails. */
  readable = Infinity
  #serial = 0

  begin(): StagedWriter {
    const chunks: StagedChunk[] = []
    const key = `staged/${this.#serial++}`
    return {
      // A real one compresses what it was given: later changes of the bytes must not show.
      append: (chunk) => void chunks.push({ ...chunk, bytes: Buffer.from(chunk.bytes) }),
      room: () => undefined,
      finish: () => {
        this.stored.set(key, chunks)
        return Promise.resolve({ parts: [{ key, bytes: chunks.length, sha256: '' }] })
      },
    }
  }

  async *read(ref: StagedRef): AsyncGenerator<StagedChunk> {
    await Promise.resolve()
    for (const { key } of ref.parts) {
      for (const chunk of this.stored.get(key) ?? missing(key)) {
        if (this.readable-- <= 0) throw new Error('the process dies here')
        yield { ...chunk, bytes: Buffer.from(chunk.bytes) }
      }
    }
  }

  delete(ref: StagedRef): Promise<void> {
    for (const { key } of ref.parts) this.stored.delete(key)
    return Promise.resolve()
  }

  /** All of it is of one attempt. */
  sweep(of: 'earlier-attempts' | 'this-attempt'): Promise<void> {
    if (of === 'this-attempt') this.stored.clear()
    return Promise.resolve()
  }
}

function missing(key: string): never {
  throw new Error(`${key} was deleted too early`)
}
