/** What every kind of link between two slots has in common. */
import { WeirError } from '@weir/model'
import type { LinkId } from '@weir/runtime'

/** How long one end of a link waits for the other. */
export const LINK_TIMEOUT_MS = 15_000

export const keyOf = (id: LinkId): string =>
  `${id.jobId}/${id.attempt.generation}/${id.attempt.attempt}/${id.from}>${id.to}#${id.stage}.${id.input}`

/** A wait for the other end: ends with the signal or after `LINK_TIMEOUT_MS` (`EXCHANGE_TIMEOUT`, restart). */
export function bounded<T>(
  signal: AbortSignal,
  what: string,
  undo: () => void,
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const settle =
      <A>(call: (a: A) => void) =>
      (value: A): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', aborted)
        call(value)
      }
    const fail = settle((error: Error) => {
      undo()
      reject(error)
    })
    const aborted = (): void => fail(signal.reason as Error)
    const timer = setTimeout(
      () =>
        fail(
          new WeirError(
            { code: 'EXCHANGE_TIMEOUT', kind: 'restart' },
            `${what} took longer than ${LINK_TIMEOUT_MS} ms`,
          ),
        ),
      LINK_TIMEOUT_MS,
    )
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted, { once: true })
    start(settle(resolve), fail)
  })
}

/** Both halves: the first trouble is told once; a close of our own is no trouble. */
export class LinkEnd {
  #closed = false
  #broken: Error | null = null
  #call: (error: Error) => void = () => {}

  onBroken(call: (error: Error) => void): void {
    this.#call = call
    if (this.#broken && !this.#closed) call(this.#broken)
  }

  protected get closed(): boolean {
    return this.#closed
  }

  protected breakWith(error: Error): void {
    if (this.#closed || this.#broken) return
    this.#broken = error
    this.#call(error)
  }

  protected markClosed(): void {
    this.#closed = true
  }
}
