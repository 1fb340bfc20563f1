import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RowIndex } from './row-index.ts'

/** Few hashes, and such as begin at one slot, so that runs overlap and wrap around. */
const hash = fc.oneof(fc.integer({ min: 0, max: 7 }), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1, 128, 256, 384))

function placesOf(index: RowIndex, hash: number): Set<number> {
  const places = new Set<number>()
  for (let slot = index.first(hash); index.at(slot) !== 0; slot = index.next(hash, slot)) places.add(index.at(slot))
  return places
}

test('over any history of additions and removals each hash has the places it was given', () => {
  const change = fc.record({ hash, place: fc.integer({ min: 1, max: 40 }), remove: fc.boolean() })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200, size: 'max' }), (changes) => {
      const index = new RowIndex()
      const model = new Map<number, Set<number>>()
      for (const { hash, place, remove } of changes) {
        const places = model.get(hash) ?? new Set<number>()
        model.set(hash, places)
        if (remove) expect(index.remove(hash, place)).toBe(places.delete(place))
        else if (!places.has(place)) {
          places.add(place)
          index.add(hash, place)
        }
      }
      for (const [hash, places] of model) expect(placesOf(index, hash)).toEqual(places)
      expect(index.size).toBe([...model.values()].reduce((sum, { size }) => sum + size, 0))
    }),
  )
})
