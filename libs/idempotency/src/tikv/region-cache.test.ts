import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RegionCache, REGION_IDLE_MS } from './region-cache.ts'
import { holds, overlap, peerToAsk, type Region } from './region.ts'

const region = (id: number, start: string, end: string, version = 1): Region => ({
  id: BigInt(id),
  start: Buffer.from(start),
  end: Buffer.from(end),
  epoch: { confVer: 1n, version: BigInt(version) },
  peers: [
    { id: BigInt(id * 10), storeId: 1n },
    { id: BigInt(id * 10 + 1), storeId: 2n },
  ],
  leader: { id: BigInt(id * 10), storeId: 1n },
})
const idAt = (cache: RegionCache, key: string, now = 0): bigint | undefined => cache.locate(Buffer.from(key), now)?.id

test('a key is found in the region with the greatest start before it, an empty end is infinity', () => {
  const cache = new RegionCache()
  for (const each of [region(1, '', 'd'), region(2, 'd', 'm'), region(3, 'm', '')]) cache.insert(each, 0)
  expect(['', 'c', 'd', 'lz', 'm', 'zz'].map((key) => idAt(cache, key))).toEqual([1n, 1n, 2n, 2n, 3n, 3n])
})

test('a gap is a gap', () => {
  const cache = new RegionCache()
  cache.insert(region(1, 'b', 'd'), 0)
  expect(['a', 'b', 'd'].map((key) => idAt(cache, key))).toEqual([undefined, 1n, undefined])
})

test('halves replace what was split, and the whole does not come back', () => {
  const cache = new RegionCache()
  cache.insert(region(1, '', ''), 0)
  cache.insert(region(1, 'm', '', 2), 0)
  expect(['a', 'z'].map((key) => idAt(cache, key))).toEqual([undefined, 1n])
  cache.insert(region(2, '', 'm', 2), 0)
  expect(cache.insert(region(1, '', ''), 0)).toBe(false)
  expect(['a', 'z'].map((key) => idAt(cache, key))).toEqual([2n, 1n])
})

test('what nobody asked for goes after a while', () => {
  const cache = new RegionCache()
  cache.insert(region(1, '', ''), 0)
  expect(idAt(cache, 'a', REGION_IDLE_MS)).toBe(1n)
  expect(idAt(cache, 'a', 2 * REGION_IDLE_MS)).toBe(1n)
  expect(idAt(cache, 'a', 3 * REGION_IDLE_MS + 1)).toBeUndefined()
  expect(cache.size).toBe(0)
})

test('a region is led by the peer on a store, if it has one there', () => {
  const cache = new RegionCache()
  cache.insert(region(1, '', ''), 0)
  expect(cache.lead(1n, 2n)).toBe(true)
  expect(cache.locate(Buffer.from('a'), 0)?.leader).toEqual({ id: 11n, storeId: 2n })
  expect([cache.lead(1n, 9n), cache.lead(9n, 1n)]).toEqual([false, false])
  cache.dropLedBy(2n)
  expect(cache.size).toBe(0)
})

test('the leader is asked, or who may know better while its store cannot be reached', () => {
  const of = region(1, '', '')
  expect(peerToAsk(of, () => false)?.storeId).toBe(1n)
  expect(peerToAsk(of, (store) => store === 1n)?.storeId).toBe(2n)
  expect(peerToAsk(of, () => true)?.storeId).toBe(1n)
  expect(peerToAsk({ ...of, leader: null }, () => false)?.storeId).toBe(1n)
  expect(peerToAsk({ ...of, leader: null, peers: [] }, () => false)).toBeNull()
})

/** Says the same, slowly. */
class PlainCache {
  regions: Region[] = []

  insert(region: Region): void {
    const against = this.regions.filter((known) => overlap(known, region))
    const newer = ({ id, epoch }: Region): boolean =>
      epoch.version > region.epoch.version ||
      (id === region.id && epoch.version === region.epoch.version && epoch.confVer > region.epoch.confVer)
    if (!against.some(newer)) this.regions = [...this.regions.filter((known) => !against.includes(known)), region]
  }
}

test('it finds what a plain list finds', () => {
  const key = fc.integer({ min: 0, max: 12 }).map((n) => (n === 0 ? '' : String.fromCharCode(96 + n)))
  const told = fc
    .record({ id: fc.integer({ min: 1, max: 6 }), a: key, b: key, version: fc.integer({ min: 1, max: 4 }) })
    .filter(({ a, b }) => b === '' || a < b)
  fc.assert(
    fc.property(fc.array(told, { maxLength: 30 }), (all) => {
      const [cache, plain] = [new RegionCache(), new PlainCache()]
      for (const { id, a, b, version } of all) {
        cache.insert(region(id, a, b, version), 0)
        plain.insert(region(id, a, b, version))
        for (const at of 'abcdefghijklm') {
          const expected = plain.regions.find((known) => holds(known, Buffer.from(at)))
          expect(cache.locate(Buffer.from(at), 0)).toEqual(expected ?? null)
        }
      }
      expect(cache.size).toBe(plain.regions.length)
    }),
  )
})
