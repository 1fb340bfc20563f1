/** Claims of a job in its own state, on the real store: what a claim costs in rows, how long it is there, and claims of earlier builds. */
import {
  KeyedProcessOperator,
  NO_FINGERPRINT,
  claimingInState,
  keyedProcessOf,
  refuseNone,
  stateSchema,
  timedClaimSchema,
  type Collector,
} from '@weir/dataflow'
import { operatorUid, subtask } from '@weir/model'
import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { MemoryObjects, cp, openStore } from './fixture.ts'
import type { LevelStateStore } from './store.ts'

const uid = operatorUid('once')
const TTL_MS = 100
const nodeOf = (isOfKey: boolean) =>
  keyedProcessOf(
    claimingInState<string>({
      claimOf: (bizKey) => ({ key: { bizKey, eventType: '' }, fingerprint: NO_FINGERPRINT }),
      ...(isOfKey && { fieldsOfKey: () => '{"amount":1}' }),
      sha256: (text) => hash('sha256', text),
      ...{ windowMs: TTL_MS, ttlMs: TTL_MS, onConflict: 'sideOutput', sides: [], uid },
    }),
  )
/** As the build before wrote it. */
const listedClaimSchema = stateSchema<unknown>('weir.claim').next((claim): unknown => claim)
/** Snapshots until it is so, at most 100: what is over is found by a few rows of each. */
async function snapshotsUntil(
  store: LevelStateStore,
  last: number,
  isSo: () => boolean,
  before: (epoch: number) => void,
): Promise<void> {
  for (let epoch = last + 1; !isSo() && epoch <= last + 100; epoch++) {
    before(epoch)
    await store.snapshot(cp(epoch))
    await store.folded()
  }
}
const schemas = (_: string, state: string) => (state === 'claim' ? timedClaimSchema : null)
describe.each([
  { isPacked: false, isOfKey: false, hotEntriesMax: 10_000 },
  { isPacked: true, isOfKey: false, hotEntriesMax: 10_000 },
  { isPacked: true, isOfKey: true, hotEntriesMax: 10_000 },
  { isPacked: true, isOfKey: true, hotEntriesMax: 4 },
])(
  'packed: $isPacked, fingerprint from the key: $isOfKey, entries in memory: $hotEntriesMax',
  ({ isPacked, isOfKey, hotEntriesMax }) => {
    const open = (objects: MemoryObjects) =>
      openStore(objects, { schemas, packed: () => (isPacked ? 0 : null), hotEntriesMax })

    function claiming(store: LevelStateStore, watermark = 0) {
      const operator = new KeyedProcessOperator({ uid, ...nodeOf(isOfKey) })
      operator.open({
        ...{ uid, subtask: subtask(0), parallelism: 1, maxParallelism: 128, state: store, watermark, freeze: true },
        ...{ counters: { lateRecords: 0 }, refuse: refuseNone, clock: { now: () => 0 } },
      })
      let passed: unknown[] = []
      const out: Collector = { emit: ({ values }) => void passed.push(...values), watermark: () => {} }
      return {
        /** Those that passed. */
        records(keys: readonly string[], timestamp: number): unknown[] {
          passed = []
          operator.onBatch({ keys: [...keys], values: [...keys], timestamps: keys.map(() => timestamp) }, out)
          return passed
        },
        watermark: (timestamp: number) => operator.onWatermark(timestamp, out),
      }
    }

    /** Goes on behind a watermark of 50, when 'late' was claimed: it is held for `TTL_MS` from then. */
    async function restoredLate(objects: MemoryObjects, chain: Parameters<LevelStateStore['restore']>[0]) {
      const store = await open(objects)
      await store.restore(chain)
      const of = claiming(store, 50)
      of.watermark(49 + TTL_MS)
      expect(of.records(['late'], 30)).toEqual([])
      of.watermark(50 + TTL_MS)
      expect(of.records(['late'], 30)).toEqual(['late'])
      return { store, ...of }
    }

    test('a claim is one row', async () => {
      const store = await open(new MemoryObjects())
      const { records } = claiming(store)
      expect(records(['a', 'b', 'a'], 10)).toEqual(['a', 'b'])
      const [segment] = await store.snapshot(cp(1))
      expect(segment!.states).toEqual([
        { operatorUid: 'once', name: 'claim', rows: 2, schema: { name: 'weir.claim', version: 4 } },
      ])
      await store.close()
    })

    test('a claim is held from when it was written, by event time, also that of a late record, over a restart', async () => {
      const objects = new MemoryObjects()
      const a = await open(objects)
      const before = claiming(a)
      before.watermark(50)
      expect(before.records(['late'], 20)).toEqual(['late'])
      expect(before.records(['early'], 60)).toEqual(['early'])
      const chain = await a.snapshot(cp(1))
      await a.close()
      const { store: b, records } = await restoredLate(objects, chain)
      expect(records(['early'], 70)).toEqual([])
      await b.close()
    })

    test('claims that are over are found by snapshots, and deleted', async () => {
      const store = await open(new MemoryObjects())
      const { records, watermark } = claiming(store)
      const keys = Array.from({ length: 500 }, (_, i) => `k${i}`)
      records(keys, 10)
      const left = (): number => keys.filter((key) => store.keyed(uid, 'claim').get(key) !== undefined).length
      await snapshotsUntil(
        store,
        0,
        () => left() === 0,
        (epoch) => {
          records(['alive'], 110 + epoch)
          watermark(110 + epoch)
        },
      )
      expect(left()).toBe(0)
      expect(store.keyed(uid, 'claim').get('alive')).toBeDefined()
      await store.close()
    })

    test('claims of a build that kept them as lists are held as long as they were to be', async () => {
      const objects = new MemoryObjects()
      const a = await openStore(objects, {
        schemas: (_, state) => (state === 'claim' ? listedClaimSchema : null),
      })
      a.keyed(uid, 'claim').put('early', [60, NO_FINGERPRINT])
      a.keyed(uid, 'claim').put('late', [50, NO_FINGERPRINT, 20, 'in/0/1'])
      const chain = await a.snapshot(cp(1))
      await a.close()
      const b = await open(objects)
      await b.restore(chain)
      expect(b.keyed(uid, 'claim').get('early')).toBeInstanceOf(Uint8Array)
      const { records, watermark } = claiming(b, 50)
      watermark(149)
      expect(records(['early', 'late'], 70)).toEqual([])
      watermark(150)
      expect(records(['early', 'late'], 110)).toEqual(['late'])
      await b.close()
    })

    test('claims of a build that kept their time in rows beside them are held as long as they were to be, and deleted', async () => {
      const objects = new MemoryObjects()
      const a = await openStore(objects)
      for (const [key, eventTime, touched] of [
        ['late', 20, 50],
        ['early', 60, 60],
        ['over', 10, 10],
      ] as const) {
        a.keyed(uid, 'claim').put(key, [NO_FINGERPRINT, eventTime, null])
        a.keyed(uid, 'claim.touched').put(key, touched)
      }
      const chain = await a.snapshot(cp(1))
      await a.close()
      const { store: b, records, watermark } = await restoredLate(objects, chain)
      expect(b.keyed(uid, 'claim.touched').get('late')).toBeUndefined()
      expect(records(['early'], 70)).toEqual([])
      const isOver = (): boolean => b.keyed(uid, 'claim').get('over') === undefined
      await snapshotsUntil(b, 1, isOver, (epoch) => watermark(150 + epoch))
      expect(b.keyed(uid, 'claim').get('over')).toBeUndefined()
      expect(b.keyed(uid, 'claim.touched').get('over')).toBeUndefined()
      await b.close()
    })
  },
)
