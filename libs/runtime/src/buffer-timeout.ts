/** Setting `bufferTimeoutMs`: records do not stay longer in half-filled frames, whether the stage is busy or held up. */
import { asWeirError, type Cancel } from '@weir/model'
import type { SliceScope } from './slice-scope.ts'
import type { StageRun } from './stage-run.ts'

export class BufferTimeout {
  readonly #scope: SliceScope
  readonly #run: Pick<StageRun, 'outputs'>
  readonly #timeoutMs: number
  /** Null: no record has been seen to wait. */
  #dueMs: number | null = null

  constructor(scope: SliceScope, run: Pick<StageRun, 'outputs'>, timeoutMs: number) {
    this.#scope = scope
    this.#run = run
    this.#timeoutMs = timeoutMs
  }

  /** To be called behind every batch, with a look at the clock that the loop takes anyway. */
  look(nowMs: number): void {
    this.#dueMs ??= nowMs + this.#timeoutMs
    if (nowMs >= this.#dueMs) this.#flush()
  }

  flushed(): void {
    this.#dueMs = null
  }

  /** The loop writes nothing meanwhile: one look is enough. */
  async during<T>(held: Promise<T>): Promise<T> {
    const cancel = this.#later()
    try {
      return await held
    } finally {
      cancel()
    }
  }

  #later(): Cancel {
    const { clock } = this.#scope.deps
    const nowMs = clock.monotonic()
    this.#dueMs ??= nowMs + this.#timeoutMs
    return clock.after(Math.max(0, this.#dueMs - nowMs), () => {
      try {
        if (!this.#scope.over) this.#flush()
      } catch (error) {
        this.#scope.fail(asWeirError(error, 'SLICE_FAILED'))
      }
    })
  }

  #flush(): void {
    for (const output of this.#run.outputs) output.flush()
    this.#dueMs = null
  }
}

export function bufferTimeoutOf(scope: SliceScope, run: Pick<StageRun, 'outputs'>): BufferTimeout | null {
  const { bufferTimeoutMs } = scope.options.plan.job.settings
  return bufferTimeoutMs === undefined || run.outputs.length === 0
    ? null
    : new BufferTimeout(scope, run, bufferTimeoutMs)
}

/** What a loop waits for. The same promise where nothing has to be done meanwhile. */
export const heldUp = <T>({ bufferTimeout }: Pick<StageRun, 'bufferTimeout'>, held: Promise<T>): Promise<T> =>
  bufferTimeout === null ? held : bufferTimeout.during(held)
