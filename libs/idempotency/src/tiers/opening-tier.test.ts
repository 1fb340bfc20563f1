import { WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import type { ClaimTier } from '../tier.ts'
import { OpeningTier } from './opening-tier.ts'

const signal = new AbortController().signal

/** Answers every `get` with its key, and tells how often it was closed. */
function answering(): { readonly tier: ClaimTier; readonly closed: () => number } {
  let closed = 0
  const get = (key: string): Promise<string> => Promise.resolve(key)
  const close = (): Promise<void> => Promise.resolve(void closed++)
  return { tier: { get, close } as unknown as ClaimTier, closed: () => closed }
}

test('calls that come at once share one opening, and close closes what was opened', async () => {
  const { tier, closed } = answering()
  let openings = 0
  const opening = new OpeningTier(() => (openings++, Promise.resolve(tier)))
  expect(await Promise.all([opening.get('a', signal), opening.get('b', signal)])).toEqual(['a', 'b'])
  expect(openings).toBe(1)
  await opening.close()
  expect(closed()).toBe(1)
  await expect(opening.get('a', signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_CLOSED' })
})

test('an opening that failed is tried again by the next call', async () => {
  const { tier } = answering()
  const away = new WeirError({ code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry' }, 'away')
  const tries = [Promise.reject(away), Promise.resolve(tier)]
  const opening = new OpeningTier(() => tries.shift()!)
  await expect(opening.get('a', signal)).rejects.toBe(away)
  expect(await opening.get('a', signal)).toBe('a')
})

test('what is never asked is never opened', async () => {
  const opening = new OpeningTier(() => expect.unreachable())
  await opening.close()
})

test('a call that gives up leaves the opening to the others', async () => {
  const { tier } = answering()
  const { promise, resolve } = Promise.withResolvers<ClaimTier>()
  const opening = new OpeningTier(() => promise)
  const leaving = new AbortController()
  const left = opening.get('a', leaving.signal)
  const stays = opening.get('b', signal)
  leaving.abort(new Error('left'))
  await expect(left).rejects.toThrow('left')
  resolve(tier)
  expect(await stays).toBe('b')
})
