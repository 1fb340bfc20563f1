import { operatorUid, placeOf, type RecordBatch } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { claimOrigin, type ClaimNames } from './claim-origin.ts'
import { originAt, type OriginNames } from './origin.ts'

const uid = operatorUid('once')
const names: OriginNames = (place) => ({
  source: operatorUid('in'),
  topic: place < 4 ? 'orders' : null,
  partition: place,
})
const logId = (place: number): string | null => (place % 2 === 0 ? 'topic-id' : null)
const of: ClaimNames = { jobId: 'j', uid, window: null, names, logId }

const batch = (records: readonly (readonly [place: number, offset: number, ordinal: string])[], ordinals = false) => ({
  keys: null,
  timestamps: records.map(() => 0),
  origins: {
    places: records.map(([place]) => place),
    offsets: records.map(([, offset]) => offset),
    ordinals: ordinals ? records.map(([, , ordinal]) => ordinal) : null,
  },
})

test('a record is called by job, operator, topic and its id, partition, offset and ordinal', () => {
  const origin = claimOrigin(of)
  expect(origin(batch([[placeOf(0, 0), 7, '']]), 0)).toBe('j/once/orders/0/7@topic-id')
  expect(origin(batch([[1, 7, '2.0']], true), 0)).toBe('j/once/orders/1/7#2.0')
  expect(origin(batch([[5, 7, '']]), 0)).toBe('j/once/in/5/7')
})

test('a result of a window is called by window, key and end', () => {
  const origin = claimOrigin({ ...of, window: operatorUid('hourly') })
  const results: Pick<RecordBatch, 'keys' | 'timestamps' | 'origins'> = { keys: ['1', 1], timestamps: [99, 99] }
  expect([origin(results, 0), origin(results, 1)]).toEqual(['j/once/hourly/string:1/100', 'j/once/hourly/number:1/100'])
  expect(claimOrigin(of)(results, 0)).toBeNull()
})

test('in whatever order places come, each record has the name it has alone', () => {
  const record = fc.tuple(fc.nat(7), fc.nat(1_000), fc.constantFrom('', '0', '3.1'))
  fc.assert(
    fc.property(fc.array(record), fc.boolean(), (records, ordinals) => {
      const origin = claimOrigin(of)
      const all = batch(records, ordinals)
      for (const [i, [place]] of records.entries()) {
        const id = logId(place)
        const alone = `j/once/${originAt(all, i, names)!.id}${id === null ? '' : `@${id}`}`
        expect(origin(all, i)).toBe(alone)
      }
    }),
  )
})
