import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Subtask } from './ids.ts'
import { SubtaskMap } from './subtask-map.ts'

const at = (n: number): Subtask => n as Subtask

test('any history of changes is that of a copied Map, and no earlier one is changed by it', () => {
  const change = fc.record({ subtask: fc.nat(600).map(at), value: fc.option(fc.nat(), { nil: null }) })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
      let map = SubtaskMap.empty<number>()
      let model = new Map<Subtask, number>()
      const history = [{ map, model }]
      for (const { subtask, value } of changes) {
        model = new Map(model)
        if (value === null) model.delete(subtask)
        else model.set(subtask, value)
        map = value === null ? map.without(subtask) : map.with(subtask, value)
        history.push({ map, model })
      }
      for (const then of history) {
        expect([...then.map]).toEqual([...then.model].sort(([a], [b]) => a - b))
        expect(then.map.size).toBe(then.model.size)
        expect(then.map.every((value, subtask) => value % 3 > 0 || subtask < 300)).toBe(
          [...then.model].every(([subtask, value]) => value % 3 > 0 || subtask < 300),
        )
        for (const { subtask } of changes) {
          expect(then.map.get(subtask)).toBe(then.model.get(subtask))
          expect(then.map.has(subtask)).toBe(then.model.has(subtask))
        }
      }
    }),
  )
})

test('from entries in any order, and filled', () => {
  expect([
    ...SubtaskMap.from([
      [at(300), 'b'],
      [at(2), 'a'],
      [at(300), 'c'],
    ]),
  ]).toEqual([
    [2, 'a'],
    [300, 'c'],
  ])
  const filled = SubtaskMap.filled(300, (subtask) => subtask * 2)
  expect(filled.size).toBe(300)
  expect([...filled.keys()]).toEqual(Array.from({ length: 300 }, (_, i) => i))
  expect([...filled.values()].at(-1)).toBe(598)
})
