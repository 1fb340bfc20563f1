/**
 * A firing in parts: what event time sets free (windows that end, timers) may be as much as there are keys. The caller asks for one part
 * after the other, each when there is room for it; the watermark that made the firing goes on behind the last one.
 *
 *     onWatermark(10) ─▶ 1,000 results │ fire ─▶ 1,000 results │ fire ─▶ 400 results, watermark 10
 *                                      └ pending: no record, watermark, timer of processing time or barrier comes in between
 *
 * A firing of one part is over before `onWatermark` returns.
 */
import { assert, type Watermark } from '@weir/model'
import type { Collector, Firing } from './operator.ts'

/** A part ends with the batch in which it has come to so many results, or timers that fired. */
export const FIRING_PART_MAX = 1_000

export class PartedFiring implements Firing {
  #parts: Iterator<void> | null = null
  #watermark: Watermark = 0

  get isPending(): boolean {
    return this.#parts !== null
  }

  /** @param parts emits into `out`, and yields behind every part but the last */
  begin(parts: Iterator<void>, watermark: Watermark, out: Collector): void {
    assert(this.#parts === null, 'a watermark came while a firing was open')
    this.#parts = parts
    this.#watermark = watermark
    this.fire(out)
  }

  fire(out: Collector): void {
    if (this.#parts?.next().done !== true) return
    this.#parts = null
    out.watermark(this.#watermark)
  }
}

/** Ends the firings at once, for callers that hold everything in memory anyway. In the order of `firings`, upstream first. */
export function fireWholly(firings: readonly { readonly firing: Firing; readonly out: Collector }[]): void {
  for (let open = openFiring(firings); open !== undefined; open = openFiring(firings)) open.firing.fire(open.out)
}

/** The next one to be asked for a part. Of two on one way only one can be open: the second gets its watermark from the first. */
export function openFiring<F extends { readonly firing: Firing }>(firings: readonly F[]): F | undefined {
  for (const of of firings) if (of.firing.isPending) return of
  return undefined
}
