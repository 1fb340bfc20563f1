import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Clock } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { claimTierContract } from '../testing/claim-tier-contract.ts'
import { memoryPlace, MemoryTier } from '../testing/memory-tier.ts'
import { SET_ASIDE_MAX } from './level-folder.ts'
import { readRow, writeRow } from './level-row.ts'
import { LevelTier } from './level-tier.ts'

const { signal } = new AbortController()
const HOUR = 3_600_000
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function place(): Promise<{ folder: string; clock: Clock; pass(ms: number): void }> {
  const parent = await mkdtemp(join(tmpdir(), 'weir-claims-'))
  cleanups.push(() => rm(parent, { recursive: true, force: true }))
  let ahead = 0
  return {
    folder: join(parent, 'claims'),
    clock: { ...systemClock, now: () => Date.now() + ahead },
    pass: (ms) => void (ahead += ms),
  }
}
type Place = Awaited<ReturnType<typeof place>>

async function opened({ folder, clock }: Place, onDamage: 'fail' | 'setAside' = 'fail'): Promise<LevelTier> {
  const tier = await LevelTier.open({ folder, onDamage }, { clock })
  cleanups.push(() => tier.close())
  return tier
}

claimTierContract('LevelDB', async () => {
  const at = await place()
  return {
    shared: false,
    ttlMsMin: 1,
    open: () => LevelTier.open({ folder: at.folder, onDamage: 'fail' }, at),
    pass: (ms) => Promise.resolve(at.pass(ms)),
  }
})

test('a range has the keys in order, without those whose time is over', async () => {
  const at = await place()
  const tier = await opened(at)
  await tier.claim(
    ['b', 'a', 'd', 'c'].map((key) => ({ key, value: `of ${key}`, ttlMs: key === 'c' ? 1 : HOUR })),
    signal,
  )
  at.pass(10)
  expect(await tier.range('a', 'd')).toEqual([
    { key: 'a', text: 'of a' },
    { key: 'b', text: 'of b' },
  ])
  expect(await tier.range('a', 'z', 1)).toEqual([{ key: 'a', text: 'of a' }])
})

test('what has had its time goes by and by, without anybody asking for it', async () => {
  const at = await place()
  const tier = await opened(at)
  const batch = (name: string, ttlMs: number): Promise<unknown> =>
    tier.claim(
      Array.from({ length: 1_500 }, (_, i) => ({ key: `${name}/${i}`, value: 'x', ttlMs })),
      signal,
    )
  await batch('old', 1)
  at.pass(10)
  await batch('new', HOUR)
  await batch('new', HOUR)
  await tier.close()
  const { ClassicLevel } = await import('classic-level')
  const level = new ClassicLevel(at.folder)
  const left = await level.keys({ gte: 'old/', lt: 'old0' }).all()
  await level.close()
  expect(left).toEqual([])
})

test('many claims at once share the writes of the disk', async () => {
  const tier = await opened(await place())
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, i) => tier.claim([{ key: `k${i % 50}`, value: `v${i}`, ttlMs: HOUR }], signal)),
  )
  expect(answers.filter(([answer]) => answer!.won)).toHaveLength(50)
})

test('a folder that another tier has open is not taken for a damaged one', async () => {
  const at = await place()
  await opened(at, 'setAside')
  await expect(LevelTier.open({ folder: at.folder, onDamage: 'setAside' }, at)).rejects.toMatchObject({
    code: 'CLAIM_TIER_LOCKED',
    kind: 'invalid',
  })
})

/** Overwrites what its name matches, in the middle. */
async function damage(folder: string, pattern: RegExp): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!pattern.test(name)) continue
    const bytes = await readFile(join(folder, name))
    bytes.fill(0xa5, Math.floor(bytes.length / 3), Math.ceil((2 * bytes.length) / 3))
    await writeFile(join(folder, name), bytes)
  }
}

async function filled(at: Place): Promise<void> {
  const tier = await opened(at)
  await tier.claim(
    Array.from({ length: 2_000 }, (_, i) => ({ key: `k${i}`, value: `value ${i}`, ttlMs: HOUR })),
    signal,
  )
  await tier.close()
  // A second opening writes the log into a table.
  await (await opened(at)).close()
}

test('a folder that does not open is set aside and named, and the tier begins empty', async () => {
  const at = await place()
  await filled(at)
  await damage(at.folder, /^(MANIFEST|CURRENT)/)
  const told: unknown[] = []
  const listen = (message: unknown): void => void told.push(message)
  subscribe('weir:idempotency:set-aside', listen)
  cleanups.push(() => unsubscribe('weir:idempotency:set-aside', listen))
  const tier = await opened(at, 'setAside')
  expect(await tier.get('k1', signal)).toBeNull()
  expect(await tier.claim([{ key: 'k1', value: 'new', ttlMs: HOUR }], signal)).toEqual([{ won: true }])
  expect(told).toEqual([expect.objectContaining({ folder: at.folder, aside: `${at.folder}.damaged-1` })])
  expect(await readdir(dirname(at.folder))).toContain(`${basename(at.folder)}.damaged-1`)
})

test('where it is the only place of the claims, damage is an error and nothing is moved', async () => {
  const at = await place()
  await filled(at)
  await damage(at.folder, /^(MANIFEST|CURRENT)/)
  await expect(opened(at)).rejects.toMatchObject({ code: 'CLAIM_TIER_CORRUPT', kind: 'invalid' })
  expect(await readdir(dirname(at.folder))).toEqual([basename(at.folder)])
})

test('a row that was changed on the disk is found when it is read', async () => {
  const at = await place()
  const { ClassicLevel } = await import('classic-level')
  const level = new ClassicLevel(at.folder)
  await level.put('k', writeRow('k', { text: 'a', until: Date.now() + HOUR }).replace(/a$/, 'b'))
  await level.close()
  const strict = await opened(at)
  await expect(strict.get('k', signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_CORRUPT' })
  await strict.close()
  const tier = await opened(at, 'setAside')
  expect(await tier.get('k', signal)).toBeNull()
  expect(await readdir(dirname(at.folder))).toEqual([basename(at.folder), `${basename(at.folder)}.damaged-1`])
})

test('a disk that damages it again and again is somebody’s to look at', async () => {
  const at = await place()
  for (let i = 0; i < SET_ASIDE_MAX; i++) {
    await writeFile(join(dirname(at.folder), `claims.damaged-${i + 1}`), '')
  }
  await filled(at)
  await damage(at.folder, /^(MANIFEST|CURRENT)/)
  await expect(opened(at, 'setAside')).rejects.toMatchObject({
    code: 'CLAIM_TIER_CORRUPT',
    message: expect.stringContaining('look at the disk') as string,
  })
})

test('a row comes back as it was, and no other text under its checksum', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 })
  fc.assert(
    fc.property(text, text, fc.nat(), (key, value, until) => {
      const row = writeRow(key, { text: value, until })
      expect(readRow(key, row)).toEqual({ text: value, until })
      expect(readRow(`${key}x`, row)).toBeNull()
      expect(readRow(key, `${row}x`)).toBeNull()
    }),
  )
  for (const odd of ['', 'x', ':', '::', '1:2', 'zz:1:a']) expect(readRow('k', odd)).toBeNull()
})

test('it decides what the plain tier decides', async () => {
  const key = fc.constantFrom('a', 'b', 'c')
  const value = fc.constantFrom('1', '2', '3')
  const ttlMs = fc.constantFrom(10, 1_000)
  const operation = fc.oneof(
    fc.record({
      type: fc.constant('claim' as const),
      entries: fc.array(fc.record({ key, value, ttlMs }), { maxLength: 4 }),
    }),
    fc.record({
      type: fc.constant('swap' as const),
      entry: fc.record({ key, value, ttlMs }),
      expected: fc.option(value),
    }),
    fc.record({ type: fc.constant('release' as const), key, value }),
    fc.record({ type: fc.constant('pass' as const), ms: fc.constantFrom(5, 20) }),
    fc.record({ type: fc.constant('read' as const) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
      const at = await place()
      const plainPlace = memoryPlace()
      plainPlace.nowMs = 0
      const plain = new MemoryTier(plainPlace)
      // One clock, that only `pass` sets on.
      const tier = await LevelTier.open(
        { folder: at.folder, onDamage: 'fail' },
        { clock: { ...systemClock, now: () => plainPlace.nowMs } },
      )
      for (const each of operations) {
        if (each.type === 'pass') plainPlace.nowMs += each.ms
        else if (each.type === 'claim')
          expect(await tier.claim(each.entries, signal)).toEqual(await plain.claim(each.entries, signal))
        else if (each.type === 'swap')
          expect(await tier.swap(each.entry, each.expected, signal)).toEqual(
            await plain.swap(each.entry, each.expected, signal),
          )
        else if (each.type === 'release')
          expect(await tier.release(each.key, each.value, signal)).toBe(
            await plain.release(each.key, each.value, signal),
          )
        else expect(await tier.getMany(['a', 'b', 'c'], signal)).toEqual(await plain.getMany(['a', 'b', 'c'], signal))
      }
      await tier.close()
    }),
    { numRuns: 40 },
  )
})
