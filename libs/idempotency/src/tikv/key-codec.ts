/** How user keys appear on the wire and in region boundaries, by the api version of the server. */
import { WeirError } from '@weir/model'
import { kvrpcpb } from '@weir/proto/tikv'
import { encodeMemcomparable } from './memcomparable.ts'

/** TiKV's own `max-key-size`. */
export const KEY_BYTES_MAX = 8 << 10

export interface KeyCodec {
  /** What a request's context says. A v1ttl server is sent V1: it refuses V1TTL. */
  readonly apiVersion: kvrpcpb.APIVersion
  readonly keyspaceId: number
  /** Of a user key, as in a request. */
  toWire(key: Buffer): Buffer
  /** Of a key on the wire, as regions are ordered and PD is asked. */
  toBoundary(wire: Buffer): Buffer
  /** Of a key in a response. */
  fromWire(wire: Buffer): Buffer
}

/** Servers with `enable-ttl` (v1ttl): keys and boundaries are plain. */
export const codecV1: KeyCodec = {
  apiVersion: kvrpcpb.APIVersion.V1,
  keyspaceId: 0,
  toWire: checked,
  toBoundary: (wire) => wire,
  fromWire: (wire) => wire,
}

/** Servers with `storage.api-version = 2`: the key is led by `r` and the keyspace; boundaries are memcomparable. */
export function codecV2(keyspaceId: number): KeyCodec {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32BE(keyspaceId)
  prefix[0] = 'r'.charCodeAt(0)
  return {
    apiVersion: kvrpcpb.APIVersion.V2,
    keyspaceId,
    toWire: (key) => Buffer.concat([prefix, checked(key)]),
    toBoundary: encodeMemcomparable,
    fromWire: (wire) => wire.subarray(prefix.length),
  }
}

function checked(key: Buffer): Buffer {
  if (key.length > 0 && key.length <= KEY_BYTES_MAX - 4) return key
  throw new WeirError(
    { code: 'TIKV_KEY_LENGTH', kind: 'invalid', bytes: key.length, bytesMax: KEY_BYTES_MAX - 4 },
    `a TiKV key has 1 to ${KEY_BYTES_MAX - 4} bytes, this one ${key.length}: shorten the biz key, or hash it`,
  )
}
