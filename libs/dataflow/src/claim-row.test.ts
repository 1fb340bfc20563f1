import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { keptIn, timedClaim, type Kept } from './claim-row.ts'
import { NO_FINGERPRINT } from './fingerprint.ts'
import { timeIn } from './written-time.ts'

const sha = hash('sha256', 'an order')
const NOW = 1_795_959_155_850

test('the stored form: a text of known bytes', () => {
  expect(timedClaim(0x010203040506, [NO_FINGERPRINT, 0x010203040506, null])).toBe('AQIDBAUGAA')
  expect(timedClaim(NOW, ['00'.repeat(31) + 'ff', NOW, null])).toBe(
    'AaIngeyKAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD_',
  )
  expect(timedClaim(2, [NO_FINGERPRINT, 1, 'in/0/7 a.b'])).toBe('AAAAAAACAgAAAAAAAQ.in/0/7 a.b')
})

test.each<[number, Kept]>([
  [NOW, [sha, NOW, null]],
  [NOW, [NO_FINGERPRINT, NOW, null]],
  [NOW, [sha, NOW - 1, 'orders/0/7#2 once']],
  [NOW, [sha, NOW, 'a..b.\ud83d']],
  [0, [sha, 0, '']],
  [2 ** 48 - 1, [sha, 2 ** 48 - 1, null]],
])('a claim is read as it was written, and says when that was: %j %j', (written, kept) => {
  const claim = timedClaim(written, kept)
  expect(typeof claim).toBe('string')
  expect(keptIn(claim)).toEqual(kept)
  expect(timeIn(claim)).toBe(written)
})

test.each<[number, Kept]>([
  [NOW, ['another fingerprint', NOW, null]],
  [NOW, [sha.toUpperCase(), NOW, null]],
  [NOW, [sha, -1, 'in/0/1']],
  [2 ** 48, [sha, NOW, null]],
])('what does not fit is a list: %j %j', (written, kept) => {
  const claim = timedClaim(written, kept)
  expect(claim).toEqual([written, ...kept])
  expect(keptIn(claim)).toEqual(kept)
  expect(timeIn(claim)).toBe(written)
})

test.each(['', 'AQIDBAU', 'AQID AUG', 'äQIDBAUG'])(
  'a text that begins with no time does not say when it was written: %j',
  (text) => {
    expect(timeIn(text)).toBe(Number.POSITIVE_INFINITY)
  },
)
