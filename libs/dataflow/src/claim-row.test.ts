import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  claimOfText,
  fieldsIn,
  keptIn,
  notHashed,
  ClaimBytes,
  timedClaim,
  type Kept,
  type TimedClaim,
} from './claim-row.ts'
import { NO_FINGERPRINT } from './fingerprint.ts'
import { timeIn } from './written-time.ts'

const sha = hash('sha256', 'an order')
const NOW = 1_795_959_155_850

const hex = (claim: TimedClaim): string => Buffer.from(claim as Uint8Array).toString('hex')

test('the stored form: known bytes', () => {
  expect(hex(timedClaim(0x010203040506, [NO_FINGERPRINT, 0x010203040506, null]))).toBe('01020304050600')
  const zeros = '00'.repeat(31)
  expect(hex(timedClaim(NOW, [`${zeros}ff`, NOW, null]))).toBe(`01a22781ec8a01${zeros}ff`)
  expect(hex(timedClaim(2, [NO_FINGERPRINT, 1, 'in/0/7 é']))).toBe(
    `00000000000206000000000001${Buffer.from('in/0/7 é').toString('hex')}`,
  )
})

test.each<[string, number, Kept]>([
  ['AQIDBAUGAA', 0x010203040506, [NO_FINGERPRINT, 0x010203040506, null]],
  ['AaIngeyKAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD_', NOW, ['00'.repeat(31) + 'ff', NOW, null]],
  ['AAAAAAACAgAAAAAAAQ.in/0/7 a.b', 2, [NO_FINGERPRINT, 1, 'in/0/7 a.b']],
  ['AQIDBAUGAA.', 0x010203040506, [NO_FINGERPRINT, 0x010203040506, '']],
])('a claim as the version before stored it: %j', (text, written, kept) => {
  const claim = claimOfText(text)
  expect(keptIn(claim, notHashed)).toEqual(kept)
  expect(timeIn(claim)).toBe(written)
  expect(claim).toEqual(timedClaim(written, kept))
})

test.each<[number, Kept]>([
  [NOW, [sha, NOW, null]],
  [NOW, [NO_FINGERPRINT, NOW, null]],
  [NOW, [sha, NOW - 1, 'orders/0/7#2 once']],
  [NOW, [sha, NOW, 'a..b.\u{1f600}'.repeat(40)]],
  [0, [sha, 0, '']],
  [2 ** 48 - 1, [sha, 2 ** 48 - 1, null]],
])('a claim is read as it was written, and says when that was: %j %j', (written, kept) => {
  const claim = timedClaim(written, kept)
  expect(claim).toBeInstanceOf(Uint8Array)
  expect(keptIn(claim, notHashed)).toEqual(kept)
  expect(timeIn(claim)).toBe(written)
})

test.each<[number, Kept]>([
  [NOW, ['another fingerprint', NOW, null]],
  [NOW, [sha.toUpperCase(), NOW, null]],
  [NOW, [sha, -1, 'in/0/1']],
  [NOW, [sha, NOW, 'half \ud83d']],
  [2 ** 48, [sha, NOW, null]],
])('what does not fit is a list: %j %j', (written, kept) => {
  const claim = timedClaim(written, kept)
  expect(claim).toEqual([written, ...kept])
  expect(keptIn(claim, notHashed)).toEqual(kept)
  expect(timeIn(claim)).toBe(written)
})

test.each([[], [1, 2, 3, 4, 5]])('bytes too few for a time do not say when they were written: %j', (...bytes) => {
  expect(timeIn(Uint8Array.from(bytes))).toBe(Number.POSITIVE_INFINITY)
})

test.each([
  ['{"amountMinor":1234}', true],
  ['x'.repeat(64), true],
  ['x'.repeat(65), false],
  ['"é"', false],
])('few fields stand for their fingerprint: %j', (fields, isShort) => {
  const claim = new ClaimBytes()
  const sha256 = (text: string): string => hash('sha256', text)
  expect(claim.writeFields(NOW, fields, NOW - 1, 'in/0/1', sha256)).toBe(true)
  const bytes = claim.bytes.subarray(0, claim.end)
  expect(fieldsIn(bytes)).toBe(isShort ? fields : null)
  expect(keptIn(bytes, sha256)).toEqual([sha256(`["weir.fingerprint.1","",${fields}]`), NOW - 1, 'in/0/1'])
  expect(timeIn(bytes)).toBe(NOW)
})
