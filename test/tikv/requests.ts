/** The RawKV methods on the data: request → response. One table for unary calls and for those inside BatchCommands. */
import type { kvrpcpb } from '@weir/proto/tikv'
import type { RawData } from './raw-data.ts'

const EMPTY = Buffer.alloc(0)
const keyErrors = (abort: string): kvrpcpb.KvPair[] =>
  abort === '' ? [] : [{ error: { abort }, key: EMPTY, value: EMPTY }]
const fine = { regionError: undefined, error: '' }

export interface Methods {
  rawGet: [kvrpcpb.RawGetRequest, kvrpcpb.RawGetResponse]
  rawBatchGet: [kvrpcpb.RawBatchGetRequest, kvrpcpb.RawBatchGetResponse]
  rawPut: [kvrpcpb.RawPutRequest, kvrpcpb.RawPutResponse]
  rawBatchPut: [kvrpcpb.RawBatchPutRequest, kvrpcpb.RawBatchPutResponse]
  rawDelete: [kvrpcpb.RawDeleteRequest, kvrpcpb.RawDeleteResponse]
  rawBatchDelete: [kvrpcpb.RawBatchDeleteRequest, kvrpcpb.RawBatchDeleteResponse]
  rawScan: [kvrpcpb.RawScanRequest, kvrpcpb.RawScanResponse]
  rawGetKeyTtl: [kvrpcpb.RawGetKeyTTLRequest, kvrpcpb.RawGetKeyTTLResponse]
  rawCompareAndSwap: [kvrpcpb.RawCASRequest, kvrpcpb.RawCASResponse]
}
export type Method = keyof Methods

export interface MethodRules<Request, Response> {
  keys(request: Request): readonly Buffer[]
  ttls?(request: Request): readonly bigint[]
  apply(data: RawData, request: Request): Response
  /** What the response says instead; where it has no such field, in the way it can. '': nothing but the fields at rest. */
  refused(error: string): Response
}

export const methods: { [M in Method]: MethodRules<Methods[M][0], Methods[M][1]> } = {
  rawGet: {
    keys: ({ key }) => [key],
    apply(data, { key }) {
      const value = data.get(key)
      return { ...fine, value: value ?? EMPTY, notFound: value === null }
    },
    refused: (error) => ({ ...fine, error, value: EMPTY, notFound: false }),
  },
  rawBatchGet: {
    keys: ({ keys }) => keys,
    apply(data, { keys }) {
      const pairs = keys.flatMap((key) => {
        const value = data.get(key)
        return value === null ? [] : [{ error: undefined, key, value }]
      })
      // In another order than asked, since none is promised.
      return { regionError: undefined, pairs: pairs.reverse() }
    },
    refused: (abort) => ({ regionError: undefined, pairs: keyErrors(abort) }),
  },
  rawPut: {
    keys: ({ key }) => [key],
    ttls: ({ ttl }) => [ttl],
    apply(data, { key, value, ttl }) {
      data.put(key, value, ttl)
      return fine
    },
    refused: (error) => ({ ...fine, error }),
  },
  rawBatchPut: {
    keys: ({ pairs }) => pairs.map(({ key }) => key),
    ttls: ({ ttls, ttl }) => [...ttls, ttl],
    apply(data, { pairs, ttls, ttl }) {
      pairs.forEach(({ key, value }, i) => data.put(key, value, ttls[i] ?? ttls[0] ?? ttl))
      return fine
    },
    refused: (error) => ({ ...fine, error }),
  },
  rawDelete: {
    keys: ({ key }) => [key],
    apply(data, { key }) {
      data.delete(key)
      return fine
    },
    refused: (error) => ({ ...fine, error }),
  },
  rawBatchDelete: {
    keys: ({ keys }) => keys,
    apply(data, { keys }) {
      for (const key of keys) data.delete(key)
      return fine
    },
    refused: (error) => ({ ...fine, error }),
  },
  rawScan: {
    keys: ({ startKey }) => [startKey],
    apply(data, { startKey, endKey, limit, keyOnly }) {
      const kvs = data.scan(startKey, endKey, limit)
      return {
        regionError: undefined,
        kvs: kvs.map(({ key, value }) => ({ error: undefined, key, value: keyOnly ? EMPTY : value })),
      }
    },
    refused: (abort) => ({ regionError: undefined, kvs: keyErrors(abort) }),
  },
  rawGetKeyTtl: {
    keys: ({ key }) => [key],
    apply(data, { key }) {
      if (data.apiVersion === 'v1') return { ...fine, error: 'ttl is not enabled', ttl: 0n, notFound: false }
      const ttl = data.ttl(key)
      return { ...fine, ttl: BigInt(ttl ?? 0), notFound: ttl === null }
    },
    refused: (error) => ({ ...fine, error, ttl: 0n, notFound: false }),
  },
  rawCompareAndSwap: {
    keys: ({ key }) => [key],
    ttls: ({ ttl }) => [ttl],
    apply(data, { key, value, previousNotExist, previousValue, ttl }) {
      const { swapped, previous } = data.swap(key, previousNotExist ? null : previousValue, value, ttl)
      return { ...fine, succeed: swapped, previousNotExist: previous === null, previousValue: previous ?? EMPTY }
    },
    refused: (error) => ({ ...fine, error, succeed: false, previousNotExist: false, previousValue: EMPTY }),
  },
}
