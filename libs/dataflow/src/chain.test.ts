import { expect, test } from 'vitest'
import { chain, fanIn, fanOut } from './chain.ts'
import type { Input } from './chain.ts'
import { Catch, batchOf, contextOf, uid } from './operators/fixture.ts'
import { Filter } from './operators/filter.ts'
import { MapValues } from './operators/map.ts'

class CatchInput extends Catch implements Input {
  end(): void {
    this.seen.push('end')
  }
}

test('records, watermarks and the end pass through a chain in order', () => {
  const out = new CatchInput()
  const operators = [
    new Filter({ uid, test: (v) => (v as number) > 1 }),
    new MapValues({ uid, map: (v) => (v as number) * 10 }),
  ]
  for (const operator of operators) operator.open(contextOf())
  const input = chain(operators, out)
  input.emit(batchOf([null, 1, 1], [null, 2, 2]))
  input.watermark(2)
  input.end()
  expect(out.seen).toEqual([[null, 20, 2], 'watermark 2', 'end'])
})

test('branches do not see what another one does to its arrays', () => {
  const first = new CatchInput()
  const second = new CatchInput()
  const evens = new Filter({ uid, test: (v) => (v as number) % 2 === 0 })
  const odds = new Filter({ uid, test: (v) => (v as number) % 2 === 1 })
  evens.open(contextOf())
  odds.open(contextOf())
  const input = fanOut([chain([evens], first), chain([odds], second)])
  input.emit(batchOf(['a', 1, 1], ['b', 2, 2], ['c', 3, 3]))
  input.watermark(3)
  input.end()
  expect(first.seen).toEqual([['b', 2, 2], 'watermark 3', 'end'])
  expect(second.seen).toEqual([['a', 1, 1], ['c', 3, 3], 'watermark 3', 'end'])
})

test('of streams that come together the slowest tells the time, and the last one the end', () => {
  const out = new CatchInput()
  const [first, second] = fanIn(2, out) as [Input, Input]
  first.watermark(5)
  first.emit(batchOf(['a', 1, 6]))
  second.watermark(3)
  second.emit(batchOf(['b', 2, 4]))
  second.watermark(9)
  first.end()
  second.end()
  expect(out.seen).toEqual([['a', 1, 6], 'watermark 3', ['b', 2, 4], 'watermark 5', 'end'])
})
