/** Values and names as bytes. The bytes are stored: they can be read for ever. */
import { createHash } from 'node:crypto'
import { refuseFunction, unportableExtension } from '@weir/dataflow'
import { FlatPacker } from './flat-packer.ts'
import { Packr, REUSE_BUFFER_MODE, RESET_BUFFER_MODE, addExtension } from 'msgpackr'

addExtension(unportableExtension as never)
const packr = new Packr({ useRecords: true, moreTypes: true, writeFunction: refuseFunction } as never)
/** Copied in a loop up to here: a call costs more. */
const SHORT_BYTES = 48

export const pack = (value: unknown): Buffer => packr.pack(value)
export const unpack = (bytes: Uint8Array): unknown => packr.unpack(bytes)
/** Of what lies from `start` to `end`, which is not empty. */
export const unpackPart = (bytes: Uint8Array, start: number, end: number): unknown =>
  packr.unpack(bytes, { start, end } as never)
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const flat = new FlatPacker(pack)

/** Bytes of a packed value, from `start` to `end`. */
export interface Packed {
  bytes: Buffer
  start: number
  end: number
}
const reused: Packed = { bytes: flat.bytes, start: 0, end: 0 }

/** What `pack` makes. The same object again and again, and the next value is packed where this one lies. */
export function packReused(value: unknown): Readonly<Packed> {
  if (flat.pack(value)) {
    reused.bytes = flat.bytes
    reused.start = 0
    reused.end = flat.end
  } else {
    const packed = packr.pack(value, REUSE_BUFFER_MODE | RESET_BUFFER_MODE) as Buffer & Packed
    reused.bytes = packed
    reused.start = packed.start
    reused.end = packed.end
  }
  return reused
}

/** What `pack` makes, into a buffer. @returns where it ends; where there is no room, how many bytes it has, negative */
export function packInto(value: unknown, into: Buffer, at: number): number {
  const { bytes, start, end } = packReused(value)
  const length = end - start
  if (at + length > into.length) return -length
  copyBytes(bytes, start, end, into, at)
  return at + length
}

/** @returns behind the copy */
export function copyBytes(from: Uint8Array, start: number, end: number, into: Buffer, at: number): number {
  const bytes = end - start
  if (bytes <= SHORT_BYTES) for (let i = 0; i < bytes; i++) into[at + i] = from[start + i]!
  else into.set(start === 0 && end === from.length ? from : from.subarray(start, end), at)
  return at + bytes
}

/** Names a state: JSON of uid, name and, where it is kept per split, the split. */
export const stateId = (operatorUid: string, name: string, split: number | undefined): string =>
  JSON.stringify(split === undefined ? [operatorUid, name] : [operatorUid, name, split])
export const stateNames = (id: string): [operatorUid: string, name: string, split?: number] =>
  JSON.parse(id) as [string, string, number?]
