/** What every store of claims must do (`ClaimStore`): the Redis script and the machine over tiers run the same sentences. */
import type { Claim, ClaimStore, ClaimStoreOptions, HeldClaim } from '@weir/dataflow'
import { decideClaim } from '@weir/dataflow'
import { attempt, generation, type AttemptId } from '@weir/model'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'

export interface ClaimStoreHarness {
  /** Stores of one harness share their claims where their namespaces are the same. Closed by the contract. */
  open(options: ClaimStoreOptions): Promise<ClaimStore>
  /** Lets so much time pass for the store. */
  pass(ms: number): Promise<void>
}

const NOON = 1_750_000_000_000
const HOUR = 3_600_000
let numbered = 0

export function claimStoreContract(name: string, make: () => Promise<ClaimStoreHarness>): void {
  describe(name, () => {
    const opened: ClaimStore[] = []
    const { signal } = new AbortController()
    const started = async (options: Partial<ClaimStoreOptions> = {}): Promise<Opened> => {
      const harness = await make()
      const all = { namespace: `n${process.pid}-${Date.now()}-${numbered++}`, windowMs: HOUR, ttlMs: HOUR, ...options }
      const open = async (): Promise<ClaimStore> => {
        const store = await harness.open(all)
        opened.push(store)
        return store
      }
      return { harness, open, store: await open() }
    }
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close()
    })
    const outcomes = async (store: ClaimStore, ...claims: Claim[]): Promise<string[]> =>
      (await store.claim(claims, signal)).map(({ outcome }) => outcome)

    test('the first one holds the key, and passes again as often as it is read again', async () => {
      const { store } = await started()
      expect(await outcomes(store, claim('a'))).toEqual(['first'])
      // An answer that was lost looks the same as a first one.
      expect(['first', 'replay']).toContain((await outcomes(store, claim('a')))[0])
      expect(await outcomes(store, claim('a', { attempt: at(2) }))).toEqual(['replay'])
      expect(await outcomes(store, claim('b'))).toEqual(['duplicate'])
      expect(await outcomes(store, claim('b', { fingerprint: 'g' }))).toEqual(['conflict'])
    })

    test('who holds the key is told to those that do not pass', async () => {
      const { store } = await started()
      await store.claim([claim('topic-1/0/17 with a space')], signal)
      const [duplicate, conflict] = await store.claim([claim('b'), claim('c', { fingerprint: 'g' })], signal)
      const held = {
        origin: 'topic-1/0/17 with a space',
        fingerprint: 'f',
        eventTime: NOON,
        attempt: at(1),
        status: 'CLAIMED',
      }
      expect(duplicate).toEqual({ outcome: 'duplicate', held })
      expect(conflict).toEqual({ outcome: 'conflict', held })
    })

    test('keys that differ in anything do not meet', async () => {
      const { store } = await started()
      const keys = [
        ['a', 'paid'],
        ['a', 'sent'],
        ['a:paid', ''],
        ['', 'a'],
        ['', 'a:'],
        [':', 'a'],
        ['x}{y', 'paid'],
        ['é', 'paid'],
        ['e\u0301', 'paid'],
      ] as const
      const claims = keys.map(([bizKey, eventType], i) => claim(`o${i}`, { key: { bizKey, eventType } }))
      expect(await outcomes(store, ...claims)).toEqual(keys.map(() => 'first'))
      const again = claims.map((c) => ({ ...c, origin: `${c.origin} again` }))
      expect(await outcomes(store, ...again)).toEqual(keys.map(() => 'duplicate'))
    })

    test('the claims of one batch are decided in order', async () => {
      const { store } = await started()
      const batch = [claim('a'), claim('b'), claim('a#1'), claim('c', { fingerprint: 'g' }), claim('a')]
      const [first, ...rest] = await outcomes(store, ...batch)
      expect(first).toBe('first')
      expect(rest.slice(0, 3)).toEqual(['duplicate', 'duplicate', 'conflict'])
      expect(['first', 'replay']).toContain(rest[3])
    })

    test('a window apart they are two events, before and behind', async () => {
      const { store } = await started()
      expect(await outcomes(store, claim('a'))).toEqual(['first'])
      expect(await outcomes(store, claim('b', { eventTime: NOON + HOUR - 1 }))).toEqual(['duplicate'])
      expect(await outcomes(store, claim('c', { eventTime: NOON - HOUR + 1 }))).toEqual(['duplicate'])
      expect(await outcomes(store, claim('d', { eventTime: NOON + HOUR }))).toEqual(['first'])
      expect(await outcomes(store, claim('a', { attempt: at(2) }))).toEqual(['first'])
    })

    test('a dead letter hands its claim to the next origin, whatever its fingerprint is', async () => {
      const { store } = await started()
      await outcomes(store, claim('a'))
      await store.dead(['a', 'never claimed'], at(1), signal)
      expect(await outcomes(store, claim('b', { fingerprint: 'g' }))).toEqual(['handed-on'])
      expect(await outcomes(store, claim('c', { fingerprint: 'g' }))).toEqual(['duplicate'])
      expect(await outcomes(store, claim('a', { fingerprint: 'g', attempt: at(2) }))).toEqual(['duplicate'])
      expect(await outcomes(store, claim('b', { fingerprint: 'g', attempt: at(2) }))).toEqual(['replay'])
    })

    test('a dead one that is read again lives: what it died of was in an older attempt', async () => {
      const { store } = await started()
      await outcomes(store, claim('a'))
      await store.dead(['a'], at(1), signal)
      expect(await outcomes(store, claim('a', { attempt: at(2) }))).toEqual(['replay'])
      expect(await outcomes(store, claim('b', { attempt: at(2) }))).toEqual(['duplicate'])
      // A frozen process of the first attempt wakes up.
      await store.dead(['a'], at(1), signal)
      expect(await outcomes(store, claim('a'))).toEqual(['replay'])
      expect(await outcomes(store, claim('b', { attempt: at(2) }))).toEqual(['duplicate'])
      await store.dead(['a'], at(2), signal)
      await store.dead(['a'], at(1), signal)
      expect(await outcomes(store, claim('b', { attempt: at(2) }))).toEqual(['handed-on'])
    })

    test('another instance knows the claims; another namespace does not', async () => {
      const one = await started()
      await outcomes(one.store, claim('a'))
      expect(await outcomes(await one.open(), claim('b'))).toEqual(['duplicate'])
      const other = await one.harness.open({
        namespace: `other-${numbered++}-${Date.now()}`,
        windowMs: HOUR,
        ttlMs: HOUR,
      })
      opened.push(other)
      expect(await outcomes(other, claim('b'))).toEqual(['first'])
    })

    test('a claim is there for its time and no longer; each pass of its holder begins it again', async () => {
      // Servers have clocks of their own: what lies between a pause and the time it is about is how slow a machine may be.
      const { store, harness } = await started({ windowMs: 100, ttlMs: 3_000 })
      await outcomes(store, claim('a'))
      await harness.pass(1_600)
      expect(await outcomes(store, claim('a', { attempt: at(2) }))).toEqual(['replay'])
      await harness.pass(1_600)
      expect(await outcomes(store, claim('b'))).toEqual(['duplicate'])
      await harness.pass(1_600)
      expect(await outcomes(store, claim('b'))).toEqual(['first'])
    })

    test('of many at once one is the first', async () => {
      const { open } = await started()
      const stores = await Promise.all([open(), open(), open()])
      const all = await Promise.all(Array.from({ length: 60 }, (_, i) => outcomes(stores[i % 3]!, claim(`o${i}`))))
      expect(all.flat().filter((outcome) => outcome === 'first')).toHaveLength(1)
      expect(all.flat().filter((outcome) => outcome === 'duplicate')).toHaveLength(59)
    })

    test('a dead claim that is read again and wanted by others at once goes to exactly one of them', async () => {
      const { open } = await started()
      const stores = await Promise.all([open(), open(), open()])
      for (let i = 0; i < 30; i++) {
        const key = { bizKey: `k${i}`, eventType: 't' }
        await stores[0].claim([claim('a', { key })], signal)
        await stores[0].dead(['a'], at(1), signal)
        const all = await Promise.all([
          outcomes(stores[0], claim('a', { key, attempt: at(2) })),
          outcomes(stores[1], claim('b', { key, attempt: at(2) })),
          outcomes(stores[2], claim('c', { key, attempt: at(2) })),
        ])
        expect(all.flat().filter((outcome) => outcome !== 'duplicate')).toHaveLength(1)
      }
    })

    test('whatever comes, it decides as decideClaim does', async () => {
      const { store } = await started()
      let run = 0
      const step = fc.oneof(
        fc.record({
          do: fc.constant('claim' as const),
          origin: fc.constantFrom('a', 'b', 'c'),
          fingerprint: fc.constantFrom('f', 'g'),
          after: fc.integer({ min: -2 * HOUR, max: 2 * HOUR }),
        }),
        fc.record({ do: fc.constant('die' as const) }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
          const prefix = `r${run++}/`
          const key = { bizKey: prefix, eventType: 't' }
          let held: HeldClaim | null = null
          for (const [i, now] of steps.entries()) {
            if (now.do === 'die') {
              if (held === null) continue
              const { origin, attempt: of }: HeldClaim = held
              await store.dead([origin], of, signal)
              held = { ...(held as HeldClaim), status: 'DEAD' }
              continue
            }
            const { fingerprint, after } = now
            // An origin is read once in an attempt.
            const of = claim(prefix + now.origin, { key, fingerprint, eventTime: NOON + after, attempt: at(i + 1) })
            const { outcome, next } = decideClaim(held, of, HOUR)
            expect(await outcomes(store, of)).toEqual([outcome])
            held = next ?? held
          }
        }),
        { numRuns: 60 },
      )
    })

    test('a closed store says so; an aborted call rejects with its reason', async () => {
      const { store } = await started()
      const reason = new Error('the attempt is over')
      await expect(store.claim([claim('a')], AbortSignal.abort(reason))).rejects.toBe(reason)
      await store.close()
      await store.close()
      await expect(store.claim([claim('a')], signal)).rejects.toMatchObject({ code: 'CLAIMS_CLOSED', kind: 'restart' })
    })

    test('nothing is claimed by nobody', async () => {
      const { store } = await started()
      expect(await store.claim([], signal)).toEqual([])
      await store.dead([], at(1), signal)
    })
  })
}

interface Opened {
  readonly harness: ClaimStoreHarness
  readonly open: () => Promise<ClaimStore>
  readonly store: ClaimStore
}

const at = (n: number): AttemptId => ({ generation: generation(1), attempt: attempt(n) })

const claim = (origin: string, change: Partial<Claim> = {}): Claim => ({
  ...{
    key: { bizKey: 'order-1', eventType: 'paid' },
    fingerprint: 'f',
    origin,
    attempt: at(1),
    eventTime: NOON,
    ...change,
  },
})
