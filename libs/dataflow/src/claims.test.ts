import { attempt, generation, type AttemptId } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { claimPasses, decideClaim, type Claim, type HeldClaim } from './claims.ts'

const DAY = 86_400_000
const NOON = 1_750_000_000_000
const at = (n: number, g = 1): AttemptId => ({ generation: generation(g), attempt: attempt(n) })
const key = { bizKey: 'order-1', eventType: 'paid' }
const claim = (origin: string, fingerprint = 'f', eventTime = NOON, of = at(1)): Claim => ({
  ...{ key, fingerprint, origin, eventTime, attempt: of },
})
const held = (origin: string, change: Partial<HeldClaim> = {}): HeldClaim => ({
  ...{ fingerprint: 'f', origin, eventTime: NOON, attempt: at(1), status: 'CLAIMED', ...change },
})

test.each([
  ['nothing is there', null, claim('a'), 'first', held('a')],
  ['the holder again', held('a'), claim('a'), 'replay', held('a')],
  [
    'the holder again, in the next attempt',
    held('a'),
    claim('a', 'f', NOON, at(2)),
    'replay',
    held('a', { attempt: at(2) }),
  ],
  [
    'the holder again, out of an older attempt',
    held('a', { attempt: at(1, 2) }),
    claim('a', 'f', NOON, at(9)),
    'replay',
    held('a', { attempt: at(1, 2) }),
  ],
  [
    'the holder again, with a fingerprint of another build',
    held('a'),
    claim('a', 'g'),
    'replay',
    held('a', { fingerprint: 'g' }),
  ],
  ['another origin, the same fingerprint', held('a'), claim('b'), 'duplicate', null],
  ['another output of the same record', held('a#0'), claim('a#1'), 'duplicate', null],
  ['another fingerprint', held('a'), claim('b', 'g'), 'conflict', null],
  ['just inside of the window', held('a'), claim('b', 'f', NOON + DAY - 1), 'duplicate', null],
  ['just inside, before it', held('a'), claim('b', 'f', NOON - DAY + 1), 'duplicate', null],
  ['a window later', held('a'), claim('b', 'f', NOON + DAY), 'first', held('b', { eventTime: NOON + DAY })],
  [
    'a window earlier',
    held('a'),
    claim('b', 'g', NOON - DAY),
    'first',
    held('b', { fingerprint: 'g', eventTime: NOON - DAY }),
  ],
  ['the holder is dead', held('a', { status: 'DEAD' }), claim('b'), 'handed-on', held('b')],
  [
    'the holder is dead, and this one mends it',
    held('a', { status: 'DEAD' }),
    claim('b', 'g'),
    'handed-on',
    held('b', { fingerprint: 'g' }),
  ],
  [
    'the dead holder again, out of its own attempt',
    held('a', { status: 'DEAD' }),
    claim('a'),
    'replay',
    held('a', { status: 'DEAD' }),
  ],
  [
    'the dead holder again',
    held('a', { status: 'DEAD' }),
    claim('a', 'f', NOON, at(2)),
    'replay',
    held('a', { attempt: at(2) }),
  ],
] as const)('%s', (_, existing, of, outcome, next) => {
  expect(decideClaim(existing, of, DAY)).toEqual({ outcome, next })
})

const origins = fc.constantFrom('a', 'b', 'c')

test('of one event, however often and in whatever order it is read, one origin alone passes, and it passes always', () => {
  fc.assert(
    fc.property(fc.array(origins, { minLength: 1, maxLength: 20 }), (read) => {
      let existing: HeldClaim | null = null
      const passed = new Set<string>()
      for (const origin of read) {
        const { outcome, next } = decideClaim(existing, claim(origin), DAY)
        existing = next ?? existing
        if (claimPasses(outcome)) passed.add(origin)
        expect(claimPasses(outcome)).toBe(origin === read[0])
      }
      expect([...passed]).toEqual([read[0]])
    }),
  )
})

test('a dead letter hands the claim to one origin, and the dead one does not come between', () => {
  fc.assert(
    fc.property(fc.array(origins, { minLength: 1, maxLength: 20 }), (read) => {
      let existing: HeldClaim | null = held('dead', { status: 'DEAD' })
      for (const origin of [...read, 'dead']) {
        const { outcome, next } = decideClaim(existing, claim(origin), DAY)
        existing = next ?? existing
        expect(claimPasses(outcome)).toBe(origin === read[0])
      }
    }),
  )
})

test('without a dead letter nobody takes a claim within its window', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ origin: origins, print: fc.constantFrom('f', 'g'), after: fc.nat(2 * DAY) }), {
        maxLength: 30,
      }),
      (read) => {
        let existing: HeldClaim | null = null
        for (const { origin, print, after } of read) {
          const of = claim(origin, print, NOON + after)
          const { outcome, next } = decideClaim(existing, of, DAY)
          const isFree: boolean = existing === null || Math.abs(existing.eventTime - of.eventTime) >= DAY
          expect(outcome === 'first').toBe(isFree && existing?.origin !== origin)
          expect(next === null).toBe(!claimPasses(outcome))
          existing = next ?? existing
        }
      },
    ),
  )
})
