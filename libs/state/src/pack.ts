/** Values and names as bytes. The bytes are stored: they can be read for ever. */
import { createHash } from 'node:crypto'
import { Packr } from 'msgpackr'

const packr = new Packr({ useRecords: true, moreTypes: true })

export const pack = (value: unknown): Buffer => packr.pack(value)
export const unpack = (bytes: Uint8Array): unknown => packr.unpack(bytes)
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Names a state: JSON of uid, name and, where it is kept per split, the split. */
export const stateId = (operatorUid: string, name: string, split: number | undefined): string =>
  JSON.stringify(split === undefined ? [operatorUid, name] : [operatorUid, name, split])
export const stateNames = (id: string): [operatorUid: string, name: string, split?: number] =>
  JSON.parse(id) as [string, string, number?]
