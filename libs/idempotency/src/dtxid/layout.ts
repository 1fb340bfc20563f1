/**
 * The two forms of a transaction id. Highest bits first, so ids sort by time, then datacenter, worker, sequence:
 *
 *   63 bits, a bigint      41 ms since 2025 | 5 datacenter | 10 worker |  7 sequence     fits a signed 64-bit column
 *   68 bits, 17 hex digits 41 ms since 2025 | 5 datacenter | 10 worker | 12 sequence     its order is that of the text
 *
 * The time is that of a logical clock (clock.ts): near the fleet's, never twice the same with the same sequence. The field lasts
 * until 2094.
 */
import { invalidId, invalidSetting } from './errors.ts'

export const DATACENTERS = 32
export const WORKERS = 1_024
/** ms since 1970 at which the field of time is 0. */
export const TIME_ORIGIN_MS = Date.UTC(2025, 0, 1)
/** First value that does not fit. */
export const TIME_END = 2 ** 41

export type DtxIdForm = '63' | '68'

/** What an id says. */
export interface DtxIdParts {
  /** ms since `TIME_ORIGIN_MS` */
  readonly time: number
  readonly datacenter: number
  readonly worker: number
  /** Within the ms. */
  readonly sequence: number
}

/** How ids of a form are made: a prefix per ms, then one step per id. */
export interface IdLayout<Id> {
  readonly form: DtxIdForm
  /** Per ms and worker. */
  readonly sequences: number
  prefix(time: number, datacenter: number, worker: number): Id
  /** `sequence` < `sequences` */
  id(prefix: Id, sequence: number): Id
}

const SEQUENCE_BITS = { '63': 7, '68': 12 } as const
const SEQUENCE_BIGINTS = Array.from({ length: 2 ** SEQUENCE_BITS['63'] }, (_, i) => BigInt(i))
const SEQUENCE_HEX = Array.from({ length: 2 ** SEQUENCE_BITS['68'] }, (_, i) => i.toString(16).padStart(3, '0'))
const PREFIX_HEX_DIGITS = 14

const above = (time: number, datacenter: number, worker: number): bigint =>
  (BigInt(time) << 15n) | BigInt(datacenter * WORKERS + worker)

export const layout63: IdLayout<bigint> = {
  form: '63',
  sequences: SEQUENCE_BIGINTS.length,
  prefix: (time, datacenter, worker) => above(time, datacenter, worker) << 7n,
  id: (prefix, sequence) => prefix + SEQUENCE_BIGINTS[sequence]!,
}

export const layout68: IdLayout<string> = {
  form: '68',
  sequences: SEQUENCE_HEX.length,
  prefix: (time, datacenter, worker) => above(time, datacenter, worker).toString(16).padStart(PREFIX_HEX_DIGITS, '0'),
  id: (prefix, sequence) => prefix + SEQUENCE_HEX[sequence]!,
}

/** Throws `DTXID_INVALID` (invalid) for a part that does not fit. */
export function encodeDtxId(form: '63', parts: DtxIdParts): bigint
export function encodeDtxId(form: '68', parts: DtxIdParts): string
export function encodeDtxId(form: DtxIdForm, { time, datacenter, worker, sequence }: DtxIdParts): bigint | string {
  const layout: IdLayout<bigint> | IdLayout<string> = form === '63' ? layout63 : layout68
  within('time', time, TIME_END)
  within('datacenter', datacenter, DATACENTERS)
  within('worker', worker, WORKERS)
  within('sequence', sequence, layout.sequences)
  return layout.form === '63'
    ? layout63.id(layout63.prefix(time, datacenter, worker), sequence)
    : layout68.id(layout68.prefix(time, datacenter, worker), sequence)
}

/**
 * Of both forms: a bigint, or its decimal digits, is of 63 bits; exactly 17 lower-case hex digits are of 68. Of text, 17 digits that are
 * all decimal could be either: they are of 68, unless `form` says otherwise (those of 63 bits had 17 digits until October 2025 only).
 * Throws `DTXID_INVALID` (invalid).
 */
export function parseDtxId(id: bigint | string, form?: DtxIdForm): DtxIdParts & { readonly form: DtxIdForm } {
  if (typeof id === 'string' && form !== '63' && /^[0-9a-f]{17}$/.test(id)) return parts('68', BigInt(`0x${id}`))
  if (form === '68') throw invalidId(String(id), 'the 68-bit form is 17 lower-case hex digits')
  if (typeof id === 'string' && !/^\d{1,19}$/.test(id)) {
    throw invalidId(
      id,
      'give the decimal digits of the 63-bit form, or the 17 lower-case hex digits of the 68-bit form',
    )
  }
  const value = BigInt(id)
  if (value < 0n || value >= 2n ** 63n) throw invalidId(String(id), 'the 63-bit form is from 0 to 2^63 - 1')
  return parts('63', value)
}

/** For people: what an id says, and when that was. */
export function inspectDtxId(
  id: bigint | string,
  form?: DtxIdForm,
): ReturnType<typeof parseDtxId> & { readonly at: string } {
  const parsed = parseDtxId(id, form)
  return { ...parsed, at: new Date(TIME_ORIGIN_MS + parsed.time).toISOString() }
}

function parts(form: DtxIdForm, value: bigint): DtxIdParts & { readonly form: DtxIdForm } {
  const bits = SEQUENCE_BITS[form]
  const place = Number((value >> BigInt(bits)) & 0x7fffn)
  return {
    form,
    time: Number(value >> BigInt(bits + 15)),
    datacenter: Math.floor(place / WORKERS),
    worker: place % WORKERS,
    sequence: Number(value & BigInt(2 ** bits - 1)),
  }
}

function within(part: keyof DtxIdParts, value: number, end: number): void {
  if (Number.isInteger(value) && value >= 0 && value < end) return
  throw invalidSetting(part, value, `it must be a whole number from 0 to ${end - 1}`)
}
