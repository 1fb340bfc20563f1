/**
 * How many records go into one frame, so that it is bounded by bytes too. Nothing is measured but frames that are encoded anyway:
 * each says how large records are just now. Only where that has grown at once is a frame encoded again, in smaller parts.
 */
import { sliceOrigins, type StreamElement } from '@weir/model'

/** A frame with more than one record is never larger: with the credits, what a channel holds of the receiver's memory. */
export const FRAME_BYTES_MAX = 256 * 1024
/** Records differ: frames are filled so far, so that few must be encoded again. */
const FRAME_BYTES_AIM = (FRAME_BYTES_MAX * 3) / 4

export class FrameSize {
  #recordsMax = Number.POSITIVE_INFINITY

  /** The element in two, where it has more records than would fit as those before it did; else null. */
  split(element: StreamElement): readonly [StreamElement, StreamElement] | null {
    return recordsOf(element) > this.#recordsMax ? cut(element, this.#recordsMax) : null
  }

  /** Looks at a frame. False: it is too large, and `split` will cut its element. */
  fits(element: StreamElement, bytes: number): boolean {
    const records = recordsOf(element)
    if (records === 0) return true
    const tooLarge = records > 1 && bytes > FRAME_BYTES_MAX
    const asThese = Math.floor((FRAME_BYTES_AIM * records) / bytes)
    // At least halved: few large records among small ones are found in few steps.
    this.#recordsMax = Math.max(1, tooLarge ? Math.min(records >> 1, asThese) : asThese)
    return !tooLarge
  }
}

const recordsOf = (element: StreamElement): number =>
  element.kind === 'records' ? element.batch.values.length : element.kind === 'aside' ? element.records.length : 0

function cut(element: StreamElement, at: number): readonly [StreamElement, StreamElement] {
  const part = (from: number, to?: number): StreamElement => {
    if (element.kind === 'aside') return { ...element, records: element.records.slice(from, to) }
    if (element.kind !== 'records') return element
    const { keys, values, timestamps, origins } = element.batch
    return {
      kind: 'records',
      batch: {
        keys: keys && keys.slice(from, to),
        values: values.slice(from, to),
        timestamps: timestamps.slice(from, to),
        ...(origins && { origins: sliceOrigins(origins, from, to) }),
      },
    }
  }
  return [part(0, at), part(at)]
}
