/** An HTTP endpoint as a sink. */
import { SECRET_FORM, WeirError, isSecretReference } from '@weir/model'
import type { Codec } from './codecs/codec.ts'
import type { Sink } from './connectors.ts'
import { encoderOf } from './files.ts'

export interface HttpSinkOptions<T> {
  /** Bodies; JSON where none is given. */
  readonly value?: Codec<T>
  readonly method?: 'POST' | 'PUT' | 'PATCH'
  /** Default: what the codec says, else `application/json`. */
  readonly contentType?: string
  /** `env:NAME` or `file:/path`: the variable or file of the task-managers that holds the header Authorization. */
  readonly authorization?: string
}

const METHODS = ['POST', 'PUT', 'PATCH']

export const http = {
  /**
   * One request per record, sent when its epoch is published, in the order of its subtask, with an `Idempotency-Key` that is
   * the same however often it is sent: once where the receiver honours the key, at least once where it does not.
   *
   * @param url or `env:NAME`, `file:/path` of one that is secret
   * Throws `OPTION_INVALID` (invalid) naming the option.
   */
  sink<T = unknown>(url: string, options: HttpSinkOptions<T> = {}): Sink<T> {
    const { method = 'POST', authorization = null, value } = options
    const contentType = options.contentType ?? value?.contentType ?? 'application/json'
    // The URL is not repeated: it may hold a secret.
    const invalid = (option: string, rule: string): WeirError =>
      new WeirError({ code: 'OPTION_INVALID', kind: 'invalid', option }, `http.sink: ${option} ${rule}`)
    if (!isSecretReference(url)) {
      const parsed = URL.canParse(url) ? new URL(url) : null
      if (parsed === null || !/^https?:$/.test(parsed.protocol))
        throw invalid('url', `is http://…, https://…, ${SECRET_FORM}`)
      if (parsed.username !== '' || parsed.password !== '') {
        const rule = `holds a secret, and plans are stored and shown: name it as ${SECRET_FORM}, or use authorization`
        throw invalid('url', rule)
      }
    }
    if (value?.headers !== undefined) throw invalid('value', 'writes headers; those of a request are this sink’s')
    if (!METHODS.includes(method)) throw invalid('method', `is one of ${METHODS.join(', ')}`)
    if (authorization !== null && !isSecretReference(authorization)) {
      throw invalid('authorization', `is ${SECRET_FORM}: plans are stored and shown`)
    }
    return {
      descriptor: { connector: 'http', url, method, contentType, authorization },
      encodeKey: () => null,
      ...encoderOf(value),
    }
  },
}
