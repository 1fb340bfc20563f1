import { WATERMARK_MIN } from '@weir/model'
import { expect, test } from 'vitest'
import { Filter } from './operators/filter.ts'
import { Catch, batchOf, contextOf, uid } from './operators/fixture.ts'
import { FlatMap } from './operators/flat-map.ts'
import { MapValues } from './operators/map.ts'
import type { RecordContext } from './record-context.ts'

const origins = { places: [7, 7, 7], offsets: [1, 2, 3], ordinals: null }
const batch = () => ({
  ...batchOf(['a', 1, 10], ['b', 2, 20], ['c', 3, 30]),
  origins: { places: [...origins.places], offsets: [...origins.offsets], ordinals: null },
})
const opening = contextOf({ origins: () => ({ source: uid, topic: 'in', partition: 7 }), watermark: 5 })
const told = ({ key, timestamp, watermark, origin }: RecordContext): unknown => [
  ...[key, timestamp, watermark === WATERMARK_MIN ? 'none' : watermark, origin?.id],
]

test('a function with a second parameter is told of its record, also behind one that failed', () => {
  const out = new Catch()
  const refused: number[] = []
  const map = new MapValues({
    uid,
    map: (value, context) => {
      if (value === 2) throw new RangeError('two')
      return told(context)
    },
  })
  map.open({ ...opening, refuse: (_batch, i) => void refused.push(i) })
  map.onBatch(batch(), out)
  map.onWatermark(30, out)
  map.onBatch(batchOf([null, 4, 40]), out)
  expect(refused).toEqual([1])
  expect(out.seen).toEqual([
    ['a', ['a', 10, 5, 'in/7/1'], 10],
    ['c', ['c', 30, 5, 'in/7/3'], 30],
    'watermark 30',
    [null, [null, 40, 30, undefined], 40],
  ])
})

test('a filter that closes gaps in its arrays tells of the right record', () => {
  const seen: unknown[] = []
  const out = new Catch()
  const filter = new Filter({ uid, test: (value, context) => seen.push(told(context)) > 0 && value !== 1 })
  filter.open(opening)
  filter.onBatch(batch(), out)
  expect(seen).toEqual([
    ['a', 10, 5, 'in/7/1'],
    ['b', 20, 5, 'in/7/2'],
    ['c', 30, 5, 'in/7/3'],
  ])
})

test('a generator is told while it runs', () => {
  const out = new Catch()
  const flatMap = new FlatMap({
    uid,
    flatMap: function* (_value, context) {
      yield told(context)
      yield context.key
    },
  })
  flatMap.open(opening)
  flatMap.onBatch(batch(), out)
  expect(out.seen.map((row) => row[1])).toEqual([
    ...[['a', 10, 5, 'in/7/1'], 'a', ['b', 20, 5, 'in/7/2'], 'b', ['c', 30, 5, 'in/7/3'], 'c'],
  ])
})
