import { expect, test } from 'vitest'
import { MapValues } from './map.ts'
import { Catch, batchOf, contextOf, thrown, uid } from './fixture.ts'

const mapOf = (f: (value: never) => unknown): MapValues => {
  const map = new MapValues({ uid, map: f as (value: unknown) => unknown })
  map.open(contextOf())
  return map
}

test('every value is replaced, key and event time stay', () => {
  const out = new Catch()
  const map = mapOf((v: number) => v * 2)
  map.onBatch(batchOf(['a', 1, 10], ['b', 2, 20]), out)
  map.onWatermark(20, out)
  expect(out.seen).toEqual([['a', 2, 10], ['b', 4, 20], 'watermark 20'])
})

test('a function that throws is named with operator, index and event time, not with the value', () => {
  const map = mapOf((v: { secret: string; f: () => void }) => v.f())
  const error = thrown(() => map.onBatch(batchOf([null, { secret: 'iban' }, 77]), new Catch()))
  expect(error.toJSON()).toMatchObject({
    code: 'OPERATOR_FAILED',
    kind: 'invalid',
    facts: { operatorUid: 'op', index: 0, timestamp: 77, cause: 'TypeError: v.f is not a function' },
  })
  expect(JSON.stringify(error)).not.toContain('iban')
})

test('a promise is refused at the record that returned it', () => {
  const error = thrown(() =>
    mapOf((v: number) => (v === 2 ? Promise.resolve(v) : v)).onBatch(
      batchOf([null, 1, 10], [null, 2, 20]),
      new Catch(),
    ),
  )
  expect(error).toMatchObject({
    code: 'OPERATOR_RETURNED_PROMISE',
    kind: 'invalid',
    facts: { index: 1, timestamp: 20 },
  })
})

test('an error of a later operator is not taken for one of this function', () => {
  const downstream = {
    emit: (): void => {
      throw new RangeError('sink is full')
    },
    watermark: (): void => {},
  }
  expect(() => mapOf((v) => v).onBatch(batchOf([null, 1, 10]), downstream)).toThrow(new RangeError('sink is full'))
})
