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

/** Of the last header with this name, as UTF-8; undefined: there is none, or it has no value. */
export function headerText(headers: readonly RecordHeader[], name: string): string | undefined {
  const value = headers.findLast(([of]) => of === name)?.[1]
  return value ? Buffer.from(value).toString() : undefined
}
