/**
 * Elements on the wire between two slices. A frame is one element:
 *
 *   u32le sequence · u8 kind · payload
 *   kind 1 records    msgpack [keys | null, values, timestamps, places?, offsets?, ordinals?, traces?, retries?], structures inlined: a
 *                     frame needs no other to be read; the last five where origins are carried, trace contexts, first tries
 *   kind 2 watermark  f64le timestamp
 *   kind 3 barrier    f64le generation · f64le epoch · f64le attempt
 *   kind 4 end        –
 *   kind 5 aside      msgpack of the records
 *   kind 6 idle       –
 *
 * The sequence counts frames of one link from 0: a gap or a repeat breaks the link instead of the result.
 */
import { notPortable, refuseFunction, unportableExtension } from '@weir/dataflow'
import {
  WeirError,
  type AsideRecord,
  type Attempt,
  type Epoch,
  type Generation,
  type Key,
  type Origins,
  type StreamElement,
} from '@weir/model'
import { Packr, addExtension } from 'msgpackr'

const HEADER_BYTES = 5
const RECORDS = 1
const WATERMARK = 2
const BARRIER = 3
const END_OF_INPUT = 4
const ASIDE = 5
const IDLE_INPUT = 6

addExtension(unportableExtension as never)
const packr = new Packr({ useRecords: true, moreTypes: true, writeFunction: refuseFunction } as never)

/** @returns a frame owning its whole ArrayBuffer, so that it can be transferred between threads. */
export function encodeFrame(sequence: number, element: StreamElement): Uint8Array {
  switch (element.kind) {
    case 'records': {
      const { keys, values, timestamps, origins } = element.batch
      const columns =
        origins === undefined ? [keys, values, timestamps] : [keys, values, timestamps, ...columnsOf(origins)]
      try {
        return packed(sequence, RECORDS, columns)
      } catch (error) {
        for (const i of values.keys()) {
          const known = notPortable(null, element.batch, i)
          if (known !== null) throw known
        }
        throw error
      }
    }
    case 'watermark': {
      const frame = header(sequence, WATERMARK, 8)
      view(frame).setFloat64(HEADER_BYTES, element.timestamp, true)
      return frame
    }
    case 'barrier': {
      const frame = header(sequence, BARRIER, 24)
      const v = view(frame)
      v.setFloat64(HEADER_BYTES, element.checkpoint.generation, true)
      v.setFloat64(HEADER_BYTES + 8, element.checkpoint.epoch, true)
      v.setFloat64(HEADER_BYTES + 16, element.checkpoint.attempt, true)
      return frame
    }
    case 'end':
      return header(sequence, END_OF_INPUT, 0)
    case 'idle':
      return header(sequence, IDLE_INPUT, 0)
    case 'aside':
      return packed(sequence, ASIDE, element.records)
  }
}

/** Throws `EXCHANGE_OUT_OF_ORDER` (restart) when the frame is not the expected one. */
export function decodeFrame(frame: Uint8Array, expectedSequence: number): StreamElement {
  const v = view(frame)
  const sequence = v.getUint32(0, true)
  if (sequence !== expectedSequence >>> 0) {
    throw new WeirError(
      { code: 'EXCHANGE_OUT_OF_ORDER', kind: 'restart', sequence, expectedSequence },
      `frame ${sequence} arrived where ${expectedSequence} was expected: the link lost or repeated data`,
    )
  }
  return decodeElement(frame)
}

/** Of a frame whose place among others is known already. */
export function decodeElement(frame: Uint8Array): StreamElement {
  const v = view(frame)
  switch (frame[4]) {
    case RECORDS: {
      const [keys, values, timestamps, places, offsets, ordinals, traces, retries] = packr.unpack(
        frame.subarray(HEADER_BYTES),
      ) as [
        Key[] | null,
        unknown[],
        number[],
        number[]?,
        number[]?,
        (string[] | null)?,
        ((string | null)[] | null)?,
        (string | null)[]?,
      ]
      if (places === undefined) return { kind: 'records', batch: { keys, values, timestamps } }
      const origins = {
        places,
        offsets: offsets!,
        ordinals: ordinals!,
        ...(traces && { traces }),
        ...(retries && { retries }),
      }
      return { kind: 'records', batch: { keys, values, timestamps, origins } }
    }
    case WATERMARK:
      return { kind: 'watermark', timestamp: v.getFloat64(HEADER_BYTES, true) }
    case BARRIER:
      return {
        kind: 'barrier',
        checkpoint: {
          generation: v.getFloat64(HEADER_BYTES, true) as Generation,
          epoch: v.getFloat64(HEADER_BYTES + 8, true) as Epoch,
          attempt: v.getFloat64(HEADER_BYTES + 16, true) as Attempt,
        },
      }
    case END_OF_INPUT:
      return { kind: 'end' }
    case IDLE_INPUT:
      return { kind: 'idle' }
    case ASIDE:
      return { kind: 'aside', records: packr.unpack(frame.subarray(HEADER_BYTES)) as AsideRecord[] }
    default:
      throw new WeirError(
        { code: 'EXCHANGE_BAD_FRAME', kind: 'restart', tag: frame[4] },
        `unknown frame kind ${frame[4]}`,
      )
  }
}

function columnsOf({ places, offsets, ordinals, traces, retries }: Origins): unknown[] {
  if (retries !== undefined) return [places, offsets, ordinals, traces ?? null, retries]
  return traces === undefined ? [places, offsets, ordinals] : [places, offsets, ordinals, traces]
}

function packed(sequence: number, kind: number, value: unknown): Uint8Array {
  const payload = packr.pack(value)
  const frame = header(sequence, kind, payload.byteLength)
  frame.set(payload, HEADER_BYTES)
  return frame
}

function header(sequence: number, kind: number, payloadBytes: number): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payloadBytes)
  view(frame).setUint32(0, sequence >>> 0, true)
  frame[4] = kind
  return frame
}

const view = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength)
