import { attempt, digest, epoch, generation, jobId, type Epoch } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Manifest, ManifestRef } from './manifest.ts'
import {
  DELETIONS_MAX,
  RETAINED_EPOCHS,
  keptBehind,
  keptOf,
  namesOf,
  orphans,
  planDeletions,
  retentionOf,
  sweepable,
  type KeptEpoch,
  type RetentionObserved,
} from './retention.ts'

const job = jobId('j')
const TTL = 10
const key = (n: number, g = 1, a = 1, name = 'state-0-1.seg'): string => `jobs/j/epochs/${n}-g${g}-a${a}/${name}`
const manifest = (n: number, chain: readonly string[], of: { g?: number; a?: number } = {}): Manifest => ({
  formatVersion: 1,
  jobId: job,
  epoch: epoch(n),
  generation: generation(of.g ?? 1),
  attempt: attempt(of.a ?? 1),
  parentEpoch: epoch(n - 1),
  parentDigest: null,
  graphHash: 'g',
  parallelism: 1,
  maxParallelism: 128,
  triggeredAt: 0,
  lastCommittedAt: null,
  subtasks: [
    {
      ...{ subtask: 0 as never, sources: {}, sinks: {}, watermarks: {}, recordsIn: 0 },
      segments: [{ stage: 1, chain: chain.map((k) => ({ key: k, bytes: 1, sha256: '' })) }],
    },
  ],
})
const withInFlight = (m: Manifest, key: string): Manifest => ({
  ...m,
  subtasks: m.subtasks.map((s) => ({
    ...s,
    inFlight: [{ key, bytes: 1, sha256: '', subtask: s.subtask, parallelism: 1, records: 1, hasUnsent: false }],
  })),
})
const refOf = (m: Manifest): ManifestRef => ({
  ...{ epoch: m.epoch, generation: m.generation, attempt: m.attempt, parentEpoch: m.parentEpoch },
  key: key(m.epoch, m.generation, m.attempt, 'manifest.json'),
  digest: digest(`${m.epoch}-${m.generation}-${m.attempt}`.padEnd(64, '0')),
})

/** Publishes one epoch after the other, as a leader does. */
class Line {
  kept: KeptEpoch[] = []
  newest: Manifest | null = null
  retained = RETAINED_EPOCHS
  readonly pinned = new Set<Epoch>()
  publishedMs: { epoch: Epoch; ms: number }[] = []
  publish(m: Manifest, now: number, found: readonly string[] = [], deleted: ReadonlySet<string> = new Set()): void {
    const { kept, pinned, retained } = this
    const retention = retentionOf({ manifest: m, kept, retained, pinned, deleted, orphans: found })
    this.kept = [...keptBehind(keptOf({ ref: refOf(m), manifest: { ...m, retention } }), kept)]
    this.newest = { ...m, retention }
    this.publishedMs.push({ epoch: m.epoch, ms: now })
  }
  see(now: number, change: Partial<RetentionObserved> = {}): RetentionObserved {
    const { ref } = this.kept[0]!
    const head = { generation: ref.generation, manifest: ref, nonce: '' }
    const { kept, publishedMs } = this
    return { jobId: job, generation: ref.generation, head, kept, publishedMs, now, leaseTtlMs: TTL, ...change }
  }
  get listed(): unknown {
    return this.kept[0]!.retention!.unreferenced
  }
}
/** Epoch 4 has dropped epoch 1, whose base 1 was folded into `4-folded` meanwhile. */
function folded(): Line {
  const line = new Line()
  line.publish(manifest(1, [key(1)]), 0)
  for (const n of [2, 3, 4]) line.publish(manifest(n, [key(9, 0), key(n)]), n)
  return line
}
const FIRST = [key(1, 1, 1, 'manifest.json'), key(1)]

test('what only a dropped epoch names is listed by the manifest that drops it, and its manifest with it', () => {
  expect(folded().listed).toEqual(FIRST.map((k) => ({ key: k, since: 4 })))
})

test('deleted is what is listed: one published epoch and twice the lease later, not sooner', () => {
  const line = folded()
  expect(planDeletions(line.see(1_000))).toEqual([])
  line.publish(manifest(5, [key(9, 0), key(5)]), 5)
  expect(planDeletions(line.see(4 + 2 * TTL - 1))).toEqual([])
  expect(planDeletions(line.see(4 + 2 * TTL))).toEqual(FIRST)
})

test('a pinned epoch is kept however many follow, and dropped like any other when it is not pinned any more', () => {
  const line = folded()
  line.pinned.add(epoch(3))
  for (const n of [5, 6, 7, 8]) line.publish(manifest(n, [key(9, 0), key(n)]), n)
  expect(line.kept.map(({ ref }) => ref.epoch)).toEqual([8, 7, 6, 3])
  expect(line.listed).not.toContainEqual({ key: key(3), since: 6 })
  line.pinned.clear()
  line.publish(manifest(9, []), 9)
  expect(line.listed).toContainEqual({ key: key(3), since: 9 })
})

test('as many epochs are kept as the job asks for', () => {
  const line = new Line()
  line.retained = 1
  for (const n of [1, 2]) line.publish(manifest(n, [key(n)]), n)
  expect(line.kept.map(({ ref }) => ref.epoch)).toEqual([2])
  expect(line.listed).toContainEqual({ key: key(1), since: 2 })
})

test('a leader that has just taken over waits twice the lease from its own claim on', () => {
  const line = folded()
  line.publish(manifest(5, [key(9, 0), key(5)]), 5)
  const since = { publishedMs: [{ epoch: epoch(5), ms: 500 }] }
  expect(planDeletions(line.see(500 + 2 * TTL - 1, since))).toEqual([])
  expect(planDeletions(line.see(500 + 2 * TTL, since))).toEqual(FIRST)
})

test('nothing is deleted when head.json is away, another generation’s, or stands elsewhere', () => {
  const line = folded()
  line.publish(manifest(5, [key(5)]), 5)
  const { head } = line.see(1_000)
  const other = refOf(manifest(6, [], { g: 2 }))
  for (const now of [null, { ...head!, generation: generation(2) }, { ...head!, manifest: other }]) {
    expect(planDeletions(line.see(1_000, { head: now }))).toEqual([])
    expect(orphans(line.see(1_000, { head: now }), [key(1, 0)])).toEqual([])
  }
})

test('never a key of the current generation at or above the epoch of the head, whatever a list says', () => {
  const line = new Line()
  line.publish(manifest(1, []), 0, [key(2), key(3), key(7, 0), key(7, 2), 'jobs/other/epochs/1-g0-a1/x'])
  line.publish(manifest(3, []), 0)
  expect(planDeletions(line.see(1_000))).toEqual([key(2), key(7, 0)])
})

test('deletions of one epoch are bounded; the rest is for the next', () => {
  const line = new Line()
  const found = Array.from({ length: DELETIONS_MAX + 5 }, (_, i) => key(i + 1, 0))
  line.publish(manifest(1, []), 0, found)
  line.publish(manifest(2, []), 0)
  const first = planDeletions(line.see(1_000))
  expect(first).toHaveLength(DELETIONS_MAX)
  line.publish(manifest(3, []), 0, [], new Set(first))
  expect(planDeletions(line.see(1_000))).toEqual(found.slice(DELETIONS_MAX))
})

test('what is listed and yet named by a kept epoch stays, whoever listed it', () => {
  const line = folded()
  line.publish(manifest(5, [key(5)]), 5)
  const [newest, ...others] = line.kept
  const named = { ...others[0]!, names: new Set([key(1)]) }
  expect(planDeletions(line.see(100, { kept: [newest!, named] }))).toEqual([key(1, 1, 1, 'manifest.json')])
})

test('while the manifest of a kept epoch cannot be read nothing more is listed: it may name anything', () => {
  const line = new Line()
  for (const n of [1, 2, 3]) line.publish(manifest(n, [key(n)]), n)
  line.kept = line.kept.map((epoch, i) => (i === 1 ? { ...epoch, names: null } : epoch))
  line.publish(manifest(4, [key(4)]), 4, [key(0, 0)])
  expect(line.listed).toEqual([])
})

test('orphans: uploads of attempts before the one that has published; never what a kept epoch names', () => {
  const line = new Line()
  line.publish(manifest(1, [key(1)]), 0)
  line.publish(manifest(4, [key(1), key(4, 1, 3)], { a: 3 }), 0)
  const listed = [
    ...[key(1), key(2, 1, 1), key(3, 1, 2, 'manifest.json'), key(3, 0, 9), key(3, 1, 3), key(4, 1, 2)],
    ...[key(5, 1, 4), refOf(manifest(1, [])).key, 'jobs/j/head.json'],
  ]
  expect(orphans(line.see(0), listed)).toEqual([key(2, 1, 1), key(3, 1, 2, 'manifest.json'), key(3, 0, 9)])
  const unreadable = line.kept.map((k, i) => (i === 1 ? { ...k, names: null } : k))
  expect(orphans(line.see(0, { kept: unreadable }), listed)).toEqual([])
})

/**
 * Any life of a job: epochs published or given up, restarts, takeovers by a leader that knows only what is stored, folds,
 * clocks, and a frozen leader that deletes by what it saw long ago.
 */
test('whatever happens, nothing is deleted that a kept or later epoch names, and everything unneeded is in the end', () => {
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constantFrom('publish' as const, 'give-up' as const), fold: fc.nat(4) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'takeover' as const), fold: fc.nat(0) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('freeze' as const, 'thaw' as const), fold: fc.nat(0) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const objects = new Set<string>()
      const published: Manifest[] = []
      let line = new Line()
      let [g, a, n, now] = [1, 1, 0, 0]
      let chain: string[] = []
      let found: readonly string[] = []
      let frozen: RetentionObserved | null = null
      const deleted = new Set<string>()
      const remove = (keys: readonly string[]): void => {
        for (const k of keys) {
          objects.delete(k)
          deleted.add(k)
        }
        for (const { ref, names } of line.kept) for (const k of [ref.key, ...names!]) expect(objects).toContain(k)
      }
      const epochOf = (fold: number): Manifest => {
        n++
        now += 7
        objects.add(key(n, g, a))
        chain = [...chain, key(n, g, a)]
        if (fold === 0) {
          const base = key(n, g, a, 'state-0-1-folded.seg')
          objects.add(base)
          chain = [base]
        }
        return manifest(n, chain, { g, a })
      }
      const publish = (fold: number): void => {
        const m = epochOf(fold)
        line.publish(m, now, found, deleted)
        objects.add(refOf(m).key)
        published.push(line.newest!)
        found = []
        remove(planDeletions(line.see(now)))
        found = orphans(line.see(now), [...objects])
      }
      /** From what is published. */
      const restart = (): void => {
        chain = published.length === 0 ? [] : [...namesOf(published.at(-1)!)]
      }
      for (const { do: what, fold } of steps) {
        if (what === 'publish') publish(fold)
        else if (what === 'give-up') epochOf(fold)
        else if (what === 'restart') {
          a++
          restart()
        } else if (what === 'takeover') {
          g++
          a = 1
          restart()
          const stored = published.slice(-RETAINED_EPOCHS).reverse()
          line = new Line()
          line.kept = stored.map((m) => keptOf({ ref: refOf(m), manifest: m }))
          line.publishedMs = stored.slice(0, 1).map((m) => ({ epoch: m.epoch, ms: now }))
          found = []
          deleted.clear()
        } else if (what === 'freeze') frozen = line.kept.length === 0 ? null : line.see(now)
        // Its check of head.json was just before it froze.
        else if (frozen !== null) remove(planDeletions({ ...frozen, now: now + 1_000 }))
      }
      // Quiet: everything but what is kept goes.
      g++
      restart()
      for (let i = 0; i < 12; i++) {
        publish(0)
        now += 3 * TTL
      }
      const kept = line.kept.flatMap(({ ref, names }) => [ref.key, ...names!])
      const due = line.kept[0]!.retention!.unreferenced.map(({ key: k }) => k)
      const own = (k: string): boolean => k.includes(`-g${g}-`)
      expect([...objects].filter((k) => !kept.includes(k) && !due.includes(k) && !own(k))).toEqual([])
      expect(due.length).toBeLessThan(12)
    }),
    { numRuns: 300 },
  )
})

test('A22: records in flight are named, kept and listed like segments of state', () => {
  const line = new Line()
  const flying = key(1, 1, 1, 'in-flight-0.bin')
  line.publish(withInFlight(manifest(1, [key(1)]), flying), 0)
  expect([...line.kept[0]!.names!]).toEqual([key(1), flying])
  for (let n = 2; n <= RETAINED_EPOCHS; n++) line.publish(manifest(n, [key(1)]), n)
  expect(line.listed).toEqual([])
  line.publish(manifest(RETAINED_EPOCHS + 1, [key(1)]), RETAINED_EPOCHS + 1)
  expect(line.kept[0]!.retention!.unreferenced.map((entry) => entry.key)).toContain(flying)
})

test('A22: of an ended job never a key of a later generation, nor anything while the head is not where its record says', () => {
  const line = new Line()
  for (const n of [1, 2]) line.publish(manifest(n, [key(n)]), n)
  const kept = [line.kept[0]!]
  const { head } = line.see(0)
  const listed = [key(1), key(2), key(3, 1, 2), key(3, 2, 1), kept[0]!.ref.key, 'jobs/j/savepoints/s/1-g1-a1/x']
  const of = { jobId: job, generation: generation(1), kept, head }
  expect(sweepable(of, listed)).toEqual([key(1), key(3, 1, 2)])
  // Published since, by a run under the same id; or by another leader.
  expect(sweepable({ ...of, head: { ...head!, manifest: refOf(manifest(3, [])) } }, listed)).toEqual([])
  expect(sweepable({ ...of, head: { ...head!, generation: generation(2) } }, listed)).toEqual([])
})
