import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { KnownPoison, NO_POISON, POISONED_MAX, learned, type Poison, type SinkOrigin } from './poison.ts'

const origin = (offset: number, sink = 'out'): SinkOrigin => ({ sink, place: 3, offset, ordinal: null })
const refused = (...suspects: SinkOrigin[]) => ({
  ...{ code: 'RECORDS_REFUSED', kind: 'restart' as const },
  facts: { suspects },
})

test('a batch is suspected, a single record is proven; other failures teach nothing', () => {
  const first = learned(NO_POISON, refused(origin(1), origin(2), origin(3)))
  expect(first).toEqual({ suspects: [1, 2, 3].map((n) => origin(n)), poisoned: [] })
  const second = learned(first, refused(origin(2)))
  expect(second).toEqual({ ...first, poisoned: [origin(2)] })
  expect(learned(second, refused(origin(2)))).toBe(second)
  expect(learned(second, { code: 'PRODUCER_FENCED', kind: 'fenced', facts: {} })).toBe(second)
  expect(learned(second, refused(origin(7), origin(8)))).toEqual({
    suspects: [origin(7), origin(8)],
    poisoned: [origin(2)],
  })
})

test('the list is bounded: from there on the restarts run out', () => {
  let poison: Poison = NO_POISON
  for (let n = 0; n <= POISONED_MAX; n++) poison = learned(poison, refused(origin(n)))
  expect(poison.poisoned).toHaveLength(POISONED_MAX)
})

test('each sink knows its own records, by where they were read', () => {
  const poison = { suspects: [origin(1), origin(2)], poisoned: [origin(2), origin(1, 'other')] }
  const known = new KnownPoison(operatorUid('out'), poison)
  const origins = { places: [3, 3, 4], offsets: [1, 2, 1], ordinals: null }
  const batch = { keys: null, values: ['a', 'b', 'c'], timestamps: [0, 0, 0], origins }
  expect([0, 1, 2].map((i) => known.of(batch, i))).toEqual(['suspect', 'poisoned', undefined])
  expect(known.of({ ...batch, origins: { ...origins, ordinals: ['0', '0', '0'] } }, 1)).toBeUndefined()
  expect(known.of({ ...batch, origins: undefined }, 1)).toBeUndefined()
  expect(new KnownPoison(operatorUid('none'), poison).empty).toBe(true)
})
