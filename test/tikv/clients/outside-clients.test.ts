/**
 * `npm run check:tikv`: what keeps the peer honest. TiKV clients of others write and read on it, across splits, merges and changes of
 * leaders; what they have written Weir's client reads, and they read what it has written. Where a client cannot do something, the
 * test says so by what it leaves out, and the library's name.
 */
import { systemClock, systemRandom } from '@weir/runtime/system'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Channels } from '../../../libs/idempotency/src/tikv/channels.ts'
import { codecV1, codecV2 } from '../../../libs/idempotency/src/tikv/key-codec.ts'
import { PlacementDriver } from '../../../libs/idempotency/src/tikv/placement-driver.ts'
import { RawKv } from '../../../libs/idempotency/src/tikv/raw-kv.ts'
import { Stores } from '../../../libs/idempotency/src/tikv/stores.ts'
import { clients } from '../../../tools/stack/tikv-clients.mjs'
import { TikvCluster } from '../cluster.ts'
import { scriptedFaults } from '../faults.ts'
import { OutsideClient } from './outside-client.ts'

const { signal } = new AbortController()
const bytes = (text: string): Buffer => Buffer.from(text)

interface Abilities {
  readonly name: keyof typeof clients
  readonly apiVersion: 'v1ttl' | 2
  readonly ttl: boolean
  readonly swap: 'with TTL' | 'without TTL' | 'none'
}
const all: readonly Abilities[] = [
  { name: 'client-go', apiVersion: 'v1ttl', ttl: true, swap: 'without TTL' },
  { name: 'client-go', apiVersion: 2, ttl: true, swap: 'without TTL' },
  { name: 'tikv-client-java', apiVersion: 'v1ttl', ttl: true, swap: 'with TTL' },
  { name: 'tikv-client-java', apiVersion: 2, ttl: true, swap: 'with TTL' },
  { name: 'tikv-client (Python)', apiVersion: 'v1ttl', ttl: false, swap: 'none' },
]

describe.each(all)('$name, api version $apiVersion', ({ name, apiVersion, ttl, swap }) => {
  let cluster: TikvCluster
  let outside: OutsideClient
  let channels: Channels
  let ours: RawKv

  beforeAll(async () => {
    const command = clients[name]()
    cluster = await TikvCluster.start({ apiVersion, pdMembers: 1 })
    outside = await OutsideClient.start(command, cluster.pd, apiVersion)
    channels = new Channels(null)
    const pd = new PlacementDriver({ endpoints: cluster.pd }, { channels, clock: systemClock })
    const stores = new Stores({ pd, clock: systemClock })
    const codec = apiVersion === 2 ? codecV2(0) : codecV1
    ours = new RawKv({ deadlineMs: 2_000 }, { channels, pd, stores, codec, clock: systemClock, random: systemRandom })
  })
  afterEach(() => {
    cluster.faults = () => null
  })
  afterAll(() => {
    outside?.stop()
    channels?.close()
    cluster?.stop()
  })

  const read = async (key: string): Promise<string | null> => (await ours.get(bytes(key), signal))?.toString() ?? null

  test('each reads what the other has written, and that it was deleted', async () => {
    await outside.put('a', 'by them', 600)
    expect(await read('a')).toBe('by them')
    await ours.put(bytes('b'), bytes('by us'), 600, signal)
    expect(await outside.get('b')).toBe('by us')
    await outside.delete('a')
    expect(await read('a')).toBeNull()
    await ours.delete(bytes('b'), signal)
    expect(await outside.get('b')).toBeNull()
  })

  test('across splits, merges, leaders elsewhere and peers moved both find every key', async () => {
    const keys = Array.from({ length: 24 }, (_, i) => `k${String(i).padStart(2, '0')}`)
    for (const key of keys) await outside.put(key, `1 ${key}`, 600)
    for (const at of ['k06', 'k12', 'k18']) cluster.split(at)
    expect(await outside.batchGet([...keys, 'nowhere'])).toEqual([...keys.map((key) => `1 ${key}`), null])
    const found = await ours.batchGet(keys.map(bytes), signal)
    expect(keys.map((key) => found.get(key)?.toString())).toEqual(keys.map((key) => `1 ${key}`))
    cluster.transfer('k06', 2n)
    cluster.transfer('k18', 3n)
    cluster.merge('k12')
    for (const key of keys) await ours.put(bytes(key), bytes(`2 ${key}`), 600, signal)
    expect(await outside.batchGet(keys)).toEqual(keys.map((key) => `2 ${key}`))
    for (const key of keys) await outside.put(key, `3 ${key}`, 600)
    for (const key of keys) expect(await read(key)).toBe(`3 ${key}`)
  })

  test.runIf(ttl)('both see the same time to live, and that it is over', async () => {
    await outside.put('t', 'x', 100)
    const left = await ours.ttl(bytes('t'), signal)
    expect(left).toBeGreaterThanOrEqual(98)
    expect(left).toBeLessThanOrEqual(100)
    await ours.put(bytes('u'), bytes('x'), 100, signal)
    expect(await outside.ttl('u')).toBeGreaterThanOrEqual(98)
    cluster.aheadSeconds += 101
    expect([await read('t'), await outside.get('u'), await outside.ttl('u')]).toEqual([null, null, null])
  })

  test.runIf(swap !== 'none')('a swap is won once, whoever tries', async () => {
    expect(await outside.swap('s', null, 'theirs', 600)).toMatchObject({ swapped: true })
    const lost = await ours.compareAndSwap(bytes('s'), null, bytes('ours'), 600, signal)
    expect([lost.swapped, lost.previous?.toString()]).toEqual([false, 'theirs'])
    expect((await ours.compareAndSwap(bytes('s'), bytes('theirs'), bytes('ours'), 600, signal)).swapped).toBe(true)
    expect(await outside.swap('s', null, 'again', 600)).toEqual({ swapped: false, previous: 'ours' })
    expect(await outside.swap('s', 'ours', 'last', 600)).toMatchObject({ swapped: true })
    expect(await read('s')).toBe('last')
    expect(await ours.ttl(bytes('s'), signal)).toBe(swap === 'with TTL' ? 600 : 0)
  })

  test.runIf(name === 'client-go')('a swap whose answer was lost looks lost to it, and is won with us', async () => {
    cluster.faults = scriptedFaults('rawCompareAndSwap', [{ type: 'loseAnswer' }])
    expect(await outside.swap('l', null, 'token', 600)).toEqual({ swapped: false, previous: 'token' })
    cluster.faults = scriptedFaults('rawCompareAndSwap', [{ type: 'loseAnswer' }])
    const { swapped, previous } = await ours.compareAndSwap(bytes('m'), null, bytes('token'), 600, signal)
    expect([swapped, previous?.toString()]).toEqual([false, 'token'])
  })
})
