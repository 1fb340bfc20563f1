import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { timedClaim, type Kept } from './claim-row.ts'
import { shownValue } from './shown-value.ts'

const fingerprint = hash('sha256', 'an order')
const sha256 = (text: string): string => hash('sha256', text)
const NOW = 1_795_959_155_850
const kept: Kept = [fingerprint, NOW, 'orders/0/7']
const bytes = Buffer.from(timedClaim(NOW + 5, [fingerprint, NOW, null]) as Uint8Array)

test.each([
  [4, timedClaim(NOW + 5, kept)],
  [4, [NOW + 5, ...kept]],
  [3, `${bytes.toString('base64url')}.orders/0/7`],
  [2, [NOW + 5, ...kept]],
  [1, kept],
])('a claim of version %i: fingerprint, event time, origin, status', (version, value) => {
  expect(shownValue({ name: 'weir.claim', version }, value, sha256)).toEqual({
    ...{ fingerprint, eventTime: new Date(NOW).toISOString(), origin: 'orders/0/7', status: 'CLAIMED' },
  })
})

test('anything else is plain JSON, and so is a claim of a later build', () => {
  expect(shownValue(null, 7n, sha256)).toEqual({ $bigint: '7' })
  expect(shownValue({ name: 'balance', version: 1 }, Buffer.of(1, 2), sha256)).toEqual({ $bytes: '0102' })
  expect(shownValue({ name: 'weir.claim', version: 5 }, Buffer.of(1, 2), sha256)).toEqual({ $bytes: '0102' })
})
