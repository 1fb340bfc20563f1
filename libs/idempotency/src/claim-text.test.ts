import type { Claim } from '@weir/dataflow'
import { attempt, generation } from '@weir/model'
import { expect, test } from 'vitest'
import { CLAIM_KEY_CHARS_MAX, claimKeyText, claimText, heldClaim } from './claim-text.ts'

const claim: Claim = {
  key: { bizKey: 'p-1', eventType: 'payment' },
  fingerprint: 'f',
  origin: 'orders/0/7 once',
  attempt: { generation: generation(3), attempt: attempt(2) },
  eventTime: -5,
}
const invalid = expect.objectContaining({ code: 'CLAIM_KEY_INVALID', kind: 'invalid' }) as Error

test('what is written is read again, whatever the origin holds', () => {
  for (const origin of ['orders/0/7 once', 'window sums "a b"\n1700 ', '\ud83d\ude00']) {
    const { key: _, ...held } = { ...claim, origin }
    expect(heldClaim('k', claimText({ ...claim, origin }))).toEqual({ ...held, status: 'CLAIMED' })
  }
})

test('a mark of a dead letter counts for the attempt it is of', () => {
  expect(heldClaim('k', claimText(claim), '3 2').status).toBe('DEAD')
  expect(heldClaim('k', claimText(claim), '3 1').status).toBe('CLAIMED')
})

// As bytes two different halves are the same replacement character: one window's key would be taken for another's.
test.each(['\ud83d', 'sums k\ude00 1700', '\ude00\ud83d'])(
  'an origin with half a surrogate pair is refused',
  (origin) => {
    expect(() => claimText({ ...claim, origin })).toThrow(invalid)
  },
)

test('so are such keys and types, and those that are too long', () => {
  expect(() => claimKeyText({ bizKey: 'k\ud83d', eventType: '' })).toThrow(invalid)
  expect(() => claimKeyText({ bizKey: 'k', eventType: '\ude00' })).toThrow(invalid)
  expect(claimKeyText({ bizKey: 'k'.repeat(CLAIM_KEY_CHARS_MAX - 3), eventType: '' })).toHaveLength(CLAIM_KEY_CHARS_MAX)
  expect(() => claimKeyText({ bizKey: 'k'.repeat(CLAIM_KEY_CHARS_MAX - 2), eventType: '' })).toThrow(invalid)
})

test.each(['', '2 f 1 1 1 o', '1 f x 1 1 o', '1 f 1 1'])(
  'what is no claim of this form is named as foreign: %j',
  (text) => {
    expect(() => heldClaim('k', text)).toThrow(
      expect.objectContaining({ code: 'CLAIMS_FOREIGN', kind: 'invalid' }) as Error,
    )
  },
)
