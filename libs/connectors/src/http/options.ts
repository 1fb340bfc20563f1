/** The descriptor of `http.sink` (libs/sdk): plain data, checked again here. */
import type { ConnectorDescriptor } from '@weir/dataflow'
import { WeirError } from '@weir/model'

export interface HttpSinkOptions {
  /** Or a reference to one. */
  readonly url: string
  readonly method: 'POST' | 'PUT' | 'PATCH'
  readonly contentType: string
  /** A reference to the header Authorization; null: none. */
  readonly authorization: string | null
}

/** Throws `DESCRIPTOR_INVALID` (invalid) naming the option. */
export function httpSinkOptions(descriptor: ConnectorDescriptor): HttpSinkOptions {
  const { url, method, contentType, authorization = null } = descriptor as ConnectorDescriptor & HttpSinkOptions
  const invalid = (option: string): WeirError =>
    new WeirError(
      { code: 'DESCRIPTOR_INVALID', kind: 'invalid', connector: 'http', option },
      `http: ${option} is missing or wrong. Make the descriptor with http.sink()`,
    )
  if (typeof url !== 'string' || url === '') throw invalid('url')
  if (!['POST', 'PUT', 'PATCH'].includes(method)) throw invalid('method')
  if (typeof contentType !== 'string') throw invalid('contentType')
  if (authorization !== null && typeof authorization !== 'string') throw invalid('authorization')
  return { url, method, contentType, authorization }
}
