/** Values and names as bytes. The bytes are stored: they can be read for ever. */
import { createHash } from 'node:crypto'
import { refuseFunction, unportableExtension } from '@weir/dataflow'
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

/** What `pack` makes, from `start` to `end` of a buffer that the next one is packed into. */
export const packReused = (value: unknown): Buffer & { readonly start: number; readonly end: number } =>
  packr.pack(value, REUSE_BUFFER_MODE | RESET_BUFFER_MODE) as Buffer & { start: number; end: number }

/** What `pack` makes, into a buffer. @returns where it ends; where there is no room, how many bytes it has, negative */
export function packInto(value: unknown, into: Buffer, at: number): number {
  const packed = packReused(value)
  const { start, end } = packed
  const bytes = end - start
  if (at + bytes > into.length) return -bytes
  copyBytes(packed, start, end, into, at)
  return at + bytes
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
