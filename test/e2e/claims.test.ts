/**
 * One effect per event on a real fleet: killed between claim and commit, with Redis away for a while and for long, and with dead
 * letters that hand their claims on. The first test is the flaw this is about, done as it is often done.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@weir/runtime/system'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PrivateServer } from '../stack/private-server.ts'
import { TikvCluster } from '../tikv/cluster.ts'
import type { Payment } from './claims.job.ts'
import { Fleet, recoveries, type JobAnswer } from './fleet.ts'

const PAYMENTS = 3_000
/** Enough for all that is done to the fleet. */
const RATE = 200
const ids = Array.from({ length: PAYMENTS }, (_, i) => `p-${i}`)
const isTwice = (i: number): boolean => i % 10 === 3
const isContradicted = (i: number): boolean => i % 50 === 7
const DEAD_AMOUNT = 13
const isDead = (i: number): boolean => i % 500 === 99
const amountOf = (i: number): number => (isDead(i) ? DEAD_AMOUNT : 100 + (i % 7))

/** Partition by number, so that a second one comes behind its first, or beside it in another partition. */
function lines(withDead: boolean): { readonly partition: number; readonly line: string }[] {
  const all: { partition: number; line: string }[] = []
  const add = (i: number, partition: number, amount: number): void => {
    all.push({ partition, line: JSON.stringify({ id: `p-${i}`, amount }) })
  }
  for (let i = 0; i < PAYMENTS; i++) {
    const amount = !withDead && isDead(i) ? 100 : amountOf(i)
    add(i, i % 4, amount)
    if (isTwice(i)) add(i, (i + 1) % 4, amount)
    if (isContradicted(i)) add(i, i % 4, 999)
  }
  return all
}

const fleet = new Fleet()
const jobFile = new URL('claims.job.ts', import.meta.url).pathname
const naiveFile = new URL('claims-naive.job.ts', import.meta.url).pathname
let redis: PrivateServer<'redis'>
let tikv: TikvCluster
let dir = ''
let env: Record<string, string>
let numbered = 0

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'weir-claims-'))
  redis = await PrivateServer.start('redis')
  tikv = await TikvCluster.start()
  env = { WEIR_TEST_REDIS: `redis://${redis.endpoint}`, WEIR_TEST_REDIS_NAIVE: redis.endpoint }
  await fleet.start({ managers: 1, workers: 0 })
  await fleet.addWorker(env)
})
afterAll(async () => {
  await fleet.stop()
  await redis.close()
  tikv.stop()
  await rm(dir, { recursive: true, force: true })
})

interface Started {
  readonly jobId: string
  readonly topics: Record<string, string>
  readonly mended: string
}

async function started(file: string, set: Record<string, string | number>, withDead = false): Promise<Started> {
  const n = numbered++
  const names = ['payments', 'out', 'twice', 'conflicts', 'dead']
  const made = await fleet.topics(names.map((name) => `${name}${n}`))
  const topics = Object.fromEntries(names.map((name) => [name, made[`${name}${n}`]!]))
  const all = lines(withDead)
  const texts = all.map(({ line }) => line)
  fleet.produce(topics['payments']!, texts, 4, (_, i) => all[i]!.partition)
  const jobId = `claims-${n}-${fleet.run}`
  const mended = join(dir, `mended-${n}`)
  const isNaive = file === naiveFile
  const params = isNaive
    ? { payments: topics['payments']!, out: topics['out']!, rate: RATE, checkpointMs: 1_500, ...set }
    : { ...topics, mended, rate: RATE, block: 30_000, checkpointMs: 1_500, ...set }
  const submitted = await fleet.cli(
    ...['submit', file, '--id', jobId, ...Object.entries(params).flatMap(([k, v]) => ['--set', `${k}=${v}`])],
  )
  expect(submitted.stderr).toBe('')
  return { jobId, topics, mended }
}

const written = ({ topics }: Started): string[] => fleet.read(topics['out']!).map(([, value]) => (value as Payment).id)
const expectOnce = async (of: Started, expected: readonly string[]): Promise<void> => {
  await expect.poll(() => written(of).length, { interval: 300 }).toBeGreaterThanOrEqual(expected.length)
  expect(written(of).sort()).toEqual([...expected].sort())
}

/** kill -9 when a good part of an epoch was read, and so claimed, and nothing of it is committed. They read the rest as fast as they can. */
async function killBetween(...jobs: readonly Started[]): Promise<void> {
  const claimed = jobs.map(async ({ jobId }) => {
    const at = await fleet.until(jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
    await fleet.until(jobId, 'some more records', (j) => j.recordsIn >= at.recordsIn + 200)
  })
  await Promise.all(claimed)
  await fleet.kill(fleet.workers[0]!)
  await fleet.addWorker(env)
  for (const { jobId } of jobs) await fleet.unlimited(jobId)
}

/** Keys that this job's slots have asked their store of claims for, as the metrics of their task-manager have it. */
async function claimedOf({ jobId }: Started): Promise<number> {
  const text = await (await fetch(`http://${fleet.workers[0]!.ready.http}/metrics`)).text()
  const keys =
    /^weir_claims_tier_keys_total\{(?=.*namespace="(.*?)\.\w+")(?=.*tier="remote")(?=.*outcome="hit").*\} (\d+)$/gm
  return [...text.matchAll(keys)].reduce((sum, [, job, n]) => (job === jobId ? sum + Number(n) : sum), 0)
}

interface Conflict {
  readonly bizKey: string
  readonly kind: string
}
/** They are of those that contradict another one; a topic of its own may be behind that of the outputs. */
async function contradictions({ topics }: Started): Promise<readonly Conflict[]> {
  const expected = new Set(ids.filter((_, i) => isContradicted(i)))
  const told = (): Conflict[] => fleet.read(topics['conflicts']!).map(([, value]) => value as Conflict)
  const keys = (): Set<string> => new Set(told().map(({ bizKey }) => bizKey))
  await expect.poll(() => keys().size, { interval: 300 }).toBeGreaterThanOrEqual(expected.size)
  expect(keys()).toEqual(expected)
  return told()
}

async function over({ jobId }: Started): Promise<void> {
  await fleet.cli('cancel', jobId)
}

test('who skips on replay what is claimed loses what was claimed and not committed', async () => {
  const of = await started(naiveFile, {})
  await killBetween(of)
  const total = lines(false).length
  await fleet.until(of.jobId, 'all read', (j) => recoveries(j) >= 1 && j.recordsIn >= total)
  const before = await fleet.job(of.jobId)
  await fleet.until(of.jobId, 'all final', (j) => j.finalEpoch >= before.publishedEpoch + 2)
  const there = new Set(written(of))
  const lost = ids.filter((id) => !there.has(id))
  expect(lost.length).toBeGreaterThan(0)
  await over(of)
})

test.each(['redis', 'state'])(
  'claims by origin (%s): killed between claim and commit nothing is lost and nothing doubled',
  async (store) => {
    const of = await started(jobFile, { store })
    await killBetween(of)
    await expectOnce(of, ids)
    expect(recoveries(await fleet.job(of.jobId))).toBeGreaterThanOrEqual(1)
    const duplicates = ({ slices }: JobAnswer): number =>
      slices.flatMap(({ claims }) => claims).reduce((sum, told) => sum + told.duplicates, 0)
    await fleet.until(of.jobId, 'duplicates to be told of', (j) => duplicates(j) > 0)
    // What slots ask of Redis comes to the metrics of their process; claims in state ask nobody.
    if (store === 'redis') await expect.poll(() => claimedOf(of)).toBeGreaterThan(0)
    else expect(await claimedOf(of)).toBe(0)
    // Of those that came twice or contradicted the other one is told of, once.
    const expected = ids.filter((_, i) => isTwice(i) && !isContradicted(i))
    const twice = (): string[] => fleet.read(of.topics['twice']!).map(([, value]) => (value as Payment).id)
    await expect.poll(() => twice().length, { interval: 300 }).toBeGreaterThanOrEqual(expected.length)
    expect(twice().sort()).toEqual(expected.sort())
    const conflicts = await contradictions(of)
    expect(conflicts.every(({ kind }) => kind === 'CONFLICT')).toBe(true)
    await over(of)
  },
)

test('claims in tiers, over Redis and over TiKV: killed between claim and commit nothing is lost and nothing doubled', async () => {
  // The disk outlives the process: what the killed one held open and had copied is found by its successor.
  const set = { localDir: join(dir, 'tiers') }
  const jobs = await Promise.all([
    started(jobFile, { ...set, store: 'tiers-redis' }),
    started(jobFile, { ...set, store: 'tiers-tikv', pd: tikv.pd.join() }),
  ])
  // What tiers tell in their slots comes to the metrics of the process.
  for (const of of jobs) await expect.poll(() => claimedOf(of)).toBeGreaterThan(0)
  await killBetween(...jobs)
  for (const of of jobs) {
    await expectOnce(of, ids)
    expect(recoveries(await fleet.job(of.jobId))).toBeGreaterThanOrEqual(1)
    await contradictions(of)
    await over(of)
  }
})

test.each(['redis', 'state'])('a dead letter hands its claim on (%s): replayed, it has its effect', async (store) => {
  const of = await started(jobFile, { store, rate: 3_000 }, true)
  const dead = ids.filter((_, i) => isDead(i))
  await expectOnce(
    of,
    ids.filter((_, i) => !isDead(i)),
  )
  await expect.poll(() => deadLetters(of).then(({ length }) => length)).toBe(dead.length)
  await writeFile(of.mended, '')
  const replayed = await fleet.cli('dlq', 'replay', of.jobId, '--all')
  expect(replayed.stderr).toBe('')
  await expectOnce(of, ids)
  await over(of)
})

async function deadLetters({ jobId }: Started): Promise<readonly unknown[]> {
  const http = (await fleet.leader()).ready.http
  const page = (await (await fetch(`http://${http}/api/v1/jobs/${jobId}/dead-letters?limit=100`)).json()) as {
    letters: unknown[]
  }
  return page.letters
}

test.each([
  ['frozen', () => redis.freeze(), () => Promise.resolve(redis.thaw())],
  ['killed and started again', () => redis.kill(), () => redis.start()],
])('Redis %s for some seconds: the pipeline waits, and loses nothing', async (_, away, back) => {
  const of = await started(jobFile, { store: 'redis' })
  await fleet.until(of.jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
  await away()
  await systemClock.sleep(4_000) // it is about this time
  const still = await fleet.job(of.jobId)
  expect(still.state).toBe('RUNNING')
  await back()
  await fleet.unlimited(of.jobId)
  await expectOnce(of, ids)
  expect(recoveries(await fleet.job(of.jobId))).toBe(0)
  await over(of)
})

test('Redis away for longer than it may block: the attempt restarts until it is back, and loses nothing', async () => {
  const of = await started(jobFile, { store: 'redis', block: 1_000 })
  await fleet.until(of.jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
  await redis.kill()
  await fleet.until(of.jobId, 'a restart', (j) => recoveries(j) >= 1)
  await redis.start()
  await fleet.unlimited(of.jobId)
  await expectOnce(of, ids)
  await over(of)
})

test('onUnavailable local: the job goes on and says that it is degraded, until Redis is back', async () => {
  const of = await started(jobFile, { store: 'redis', unavailable: 'local' })
  await fleet.until(of.jobId, 'the first epoch', (j) => j.finalEpoch >= 1)
  await redis.kill()
  const isDegraded = (j: JobAnswer): boolean => j.degraded && j.alerts.some(({ code }) => code === 'CLAIMS_DEGRADED')
  const degraded = await fleet.until(of.jobId, 'degraded', isDegraded)
  await fleet.until(of.jobId, 'it goes on', (j) => j.recordsIn > degraded.recordsIn + RATE)
  await redis.start()
  await fleet.until(of.jobId, 'no longer degraded', (j) => !j.degraded && !isDegraded(j))
  await fleet.unlimited(of.jobId)
  // Nothing is lost; a duplicate in another slice may have passed meanwhile.
  await expect.poll(() => new Set(written(of)).size, { interval: 300 }).toBe(PAYMENTS)
  await over(of)
})
