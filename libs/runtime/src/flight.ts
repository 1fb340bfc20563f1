/**
 * Records in flight at a barrier that overtakes, as an object beside the segments of state:
 *
 *   u8 version (1) · u32le length of the header · header · frames
 *   header  JSON { "streams": [{ "stage", "input", "from", "to", "frames": n }, …] }; without `input` it is 0
 *   frames  of the streams one after the other, each u32le length · frame (`frame.ts`; its sequence means nothing here)
 *
 * Elements are encoded when they are taken: what user code does to a value afterwards is not in the object.
 */
import type { InFlightRef } from '@weir/checkpoint'
import { WeirError, type StreamElement, type Subtask } from '@weir/model'
import { decodeElement, encodeFrame } from './frame.ts'

const VERSION = 1
const PREFIX_BYTES = 5

/** One direction of one exchange edge. */
export interface StreamName {
  /** The receiving one, and which of its inputs. */
  readonly stage: number
  readonly input: number
  readonly from: Subtask
  readonly to: Subtask
}

export interface StoredStream extends StreamName {
  readonly elements: readonly StreamElement[]
}

/** What a restored stage processes before anything new, in order. */
export interface StoredFlight {
  readonly ref: InFlightRef
  readonly streams: readonly StoredStream[]
}

/** Barriers are where the cut is, and the end of an input is told again: neither is in flight. */
const isInFlight = ({ kind }: StreamElement): boolean => kind !== 'barrier' && kind !== 'end'

export class Flight {
  readonly #bytesMax: number
  readonly #streams = new Map<string, { name: StreamName; frames: Uint8Array[] }>()
  #bytes = 0
  #records = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get records(): number {
    return this.#records
  }

  get isEmpty(): boolean {
    return this.#streams.size === 0
  }

  /** `frame`: the element as it came, where it did. False: there is no room for it; it is not taken. */
  add(name: StreamName, element: StreamElement, frame: Uint8Array | null): boolean {
    if (!isInFlight(element)) return true
    // Bytes in a decoded value are a view of its frame: a copy.
    const bytes = frame?.slice() ?? encodeFrame(0, element)
    if (this.#bytes + bytes.byteLength > this.#bytesMax) return false
    this.#bytes += bytes.byteLength
    this.#records += recordsOf(element)
    const key = `${name.stage}.${name.input}/${name.from}/${name.to}`
    const stream = this.#streams.get(key)
    if (stream === undefined) this.#streams.set(key, { name, frames: [bytes] })
    else stream.frames.push(bytes)
    return true
  }

  encode(): Uint8Array {
    const streams = [...this.#streams.values()]
    const named = streams.map(({ name, frames }) => ({ ...name, frames: frames.length }))
    const header = new TextEncoder().encode(JSON.stringify({ streams: named }))
    const frames = streams.flatMap((stream) => stream.frames)
    const object = new Uint8Array(PREFIX_BYTES + header.length + 4 * frames.length + this.#bytes)
    const view = new DataView(object.buffer)
    object[0] = VERSION
    view.setUint32(1, header.length, true)
    object.set(header, PREFIX_BYTES)
    let at = PREFIX_BYTES + header.length
    for (const frame of frames) {
      view.setUint32(at, frame.byteLength, true)
      object.set(frame, at + 4)
      at += 4 + frame.byteLength
    }
    return object
  }
}

/** Throws `IN_FLIGHT_VERSION` (invalid) when a newer build has written it. */
export function decodeFlight(object: Uint8Array): readonly StoredStream[] {
  if (object[0] !== VERSION) {
    throw new WeirError(
      { code: 'IN_FLIGHT_VERSION', kind: 'invalid', version: object[0] },
      `records in flight are stored in format ${object[0]}; this build reads format ${VERSION}: use the newer build`,
    )
  }
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength)
  const headerBytes = view.getUint32(1, true)
  const header = new TextDecoder().decode(object.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes))
  type Named = Omit<StreamName, 'input'> & { readonly input?: number; readonly frames: number }
  const { streams } = JSON.parse(header) as { streams: readonly Named[] }
  let at = PREFIX_BYTES + headerBytes
  return streams.map(({ frames, input = 0, ...name }) => ({
    ...{ ...name, input },
    elements: Array.from({ length: frames }, () => {
      const bytes = view.getUint32(at, true)
      const frame = object.subarray(at + 4, at + 4 + bytes)
      at += 4 + bytes
      return decodeElement(frame)
    }),
  }))
}

const recordsOf = (element: StreamElement): number =>
  element.kind === 'records' ? element.batch.values.length : element.kind === 'aside' ? element.records.length : 0
