import { records, type Origins, type RecordBatch } from '@weir/model'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeFrame, encodeFrame } from './frame.ts'

/** MessagePack, as it is used, has no −0 and no key `__proto__`. */
const plain = fc
  .jsonValue()
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown)
  .filter((value) => !JSON.stringify(value).includes('__proto__'))
const rows = fc.array(
  fc.record({
    key: fc.oneof(fc.string(), fc.integer()),
    value: fc.oneof(plain, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
    timestamp: fc.nat(),
    offset: fc.nat(),
    trace: fc.option(fc.string()),
    retry: fc.option(fc.string()),
  }),
  { minLength: 1 },
)

test('a batch comes out as it went in, whichever columns its origins have', () => {
  const columns = fc.constantFrom('none', 'places', 'ordinals', 'traces', 'both', 'retries', 'all')
  fc.assert(
    fc.property(rows, columns, (all, has) => {
      const origins: Origins = {
        places: all.map(() => 3),
        offsets: all.map((row) => row.offset),
        ordinals: has === 'ordinals' || has === 'both' || has === 'all' ? all.map((_, i) => `${i}`) : null,
        ...((has === 'traces' || has === 'both' || has === 'all') && { traces: all.map((row) => row.trace) }),
        ...((has === 'retries' || has === 'all') && { retries: all.map((row) => row.retry) }),
      }
      const batch: RecordBatch = {
        keys: all.map((row) => row.key),
        values: all.map((row) => row.value),
        timestamps: all.map((row) => row.timestamp),
        ...(has !== 'none' && { origins }),
      }
      expect(decodeFrame(encodeFrame(7, records(batch)), 7)).toEqual(records(batch))
    }),
  )
})
