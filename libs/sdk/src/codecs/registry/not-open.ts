/** What a codec of a registry is before a source or sink has opened it. */
import { WeirError } from '@weir/model'

const fail = (): never => {
  throw new WeirError(
    { code: 'CODEC_NOT_OPEN', kind: 'invalid' },
    'this codec reads schemas from a registry: it works inside of a source or a sink, not by itself',
  )
}
export const notOpen = { decode: fail, encode: fail }
