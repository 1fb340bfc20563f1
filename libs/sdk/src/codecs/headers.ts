/** Headers for the job: what a record had, beside its value, and what an output is written with. */
import type { SinkHeader } from '@weir/dataflow'
import type { RecordHeader } from '@weir/model'
import { wrapped, type Codec } from './codec.ts'

/** A value with the headers it came with, in their order; names may repeat. */
export interface WithHeaders<T> {
  readonly value: T
  readonly headers: readonly RecordHeader[]
}
/** What is written: values of headers may be text. */
export interface WithSinkHeaders<T> {
  readonly value: T
  readonly headers: readonly SinkHeader[]
}

/**
 * Hands the headers of a record to the job, or those an output is to have to the sink:
 *
 *     flow.from(kafka.topic('orders', { value: withHeaders(json(Order)) }))
 *       .filter(({ headers }) => headerText(headers, 'region') === 'eu')
 *       .to(kafka.sink('orders.eu', { value: withHeaders(json()) }))
 */
export function withHeaders<T, W>(codec: Codec<T, W>): Codec<WithHeaders<T>, WithSinkHeaders<W>> {
  return wrapped(codec, {
    decoder: (inner) => (buffer, start, end, headers) => ({
      value: inner(buffer, start, end, headers),
      headers: headers?.() ?? [],
    }),
    encoder: ({ encode, headers: own }) => ({
      encode: (of, record) => encode((of as WithSinkHeaders<W>).value, record),
      headers(of, record) {
        const { value, headers } = of as WithSinkHeaders<W>
        return own === undefined ? headers : [...own(value, record), ...headers]
      },
    }),
  })
}

/** A value beside the texts of some headers. Null: there is no such header, or it has no value. */
export interface WithNamedHeaders<T, N extends string> {
  readonly value: T
  readonly headers: Readonly<Record<N, string | null>>
}

/**
 * Some headers as fields, by name: `withNamedHeaders(json(Order), { region: 'x-region' })` hands out `{ value, headers: { region } }`.
 * Of a name that comes twice it is the last. Written are those that are not null.
 */
export function withNamedHeaders<T, W, N extends string>(
  codec: Codec<T, W>,
  names: Readonly<Record<N, string>>,
): Codec<WithNamedHeaders<T, N>, WithNamedHeaders<W, N>> {
  const fields = Object.entries<string>(names)
  return wrapped(codec, {
    decoder: (inner) => (buffer, start, end, headers) => {
      const all = headers?.() ?? []
      return {
        value: inner(buffer, start, end, headers),
        headers: Object.fromEntries(fields.map(([field, name]) => [field, headerText(all, name) ?? null])),
      }
    },
    encoder: ({ encode, headers: own }) => ({
      encode: (of, record) => encode((of as WithNamedHeaders<W, N>).value, record),
      headers(of, record) {
        const { value, headers } = of as WithNamedHeaders<W, string>
        const written = fields.flatMap(([field, name]): SinkHeader[] => {
          const text = headers[field] ?? null
          return text === null ? [] : [[name, text]]
        })
        return own === undefined ? written : [...own(value, record), ...written]
      },
    }),
  })
}

/** Of the last header with this name, as UTF-8; undefined: there is none, or it has no value. */
export function headerText(headers: readonly RecordHeader[], name: string): string | undefined {
  const value = headers.findLast(([of]) => of === name)?.[1]
  return value ? Buffer.from(value).toString() : undefined
}
