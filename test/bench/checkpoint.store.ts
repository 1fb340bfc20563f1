/**
 * What the state of one slice costs, on the real object store; medians of the rounds.
 *
 * - the synchronous pause of a barrier at 10 k, 100 k and 1 M keys, all of them changed
 * - bytes of a delta at 5 % changed keys against the base
 * - restore of 1 M keys with values of 100 B: until the first element may be processed, and until each key was read once;
 *   from the object store, and from copies on the disk
 * - order state against the same as JSON, as stored and by codec; MB/s of one thread
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { SegmentRef } from '@weir/dataflow'
import { PatientUpload, S3ObjectStore } from '@weir/metadata'
import { attempt, epoch, generation, operatorUid } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { LocalCopies, openStateStore, type LevelStateStore } from '@weir/state'
import { compressSync as lz4Sync } from 'lz4-napi'
import { stackEndpoints } from '../stack/endpoints.ts'
import { atLeast, atMost, figure, median, say, type Figure } from './lib/figures.ts'
import { jsonOf, KEYS, keyOf, mixed, order, ROUNDS, zstd, type Order } from './checkpoint.state.ts'

const SIZES = [KEYS / 100, KEYS / 10, KEYS]
/** Barriers per size and round, two of the largest. Their median counts; the longest, which has the scheduler in it, is reported. */
const BARRIERS = 3
const CODEC_BYTES = 32 * 1024 * 1024

const { url, bucket, accessKey, secretKey } = stackEndpoints().s3
const objects = new S3ObjectStore({
  ...{ endpoint: url, region: 'us-east-1', bucket, prefix: `bench-${systemRandom.nonce().slice(0, 8)}/` },
  credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
})
const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))
const uid = operatorUid('orders')
let opened = 0
const places = new Set<'local' | 'store'>()

/** `attempt`: it keeps copies of what it stores on the disk, and finds those of earlier attempts. */
function open(attempt: string | null = null): Promise<LevelStateStore> {
  const name = ++opened
  return openStateStore(
    {
      dir: join(dir, `${name}`),
      keyGroups: { from: 0, to: 128 },
      ...{ maxParallelism: 128, writer: '0/1', hotEntriesMax: 200_000 },
      // Never folded: the figures are of what a snapshot writes itself.
      ...{ chainLengthMax: 1_000, chainRatioMax: 1_000, freeze: false },
    },
    {
      objects,
      upload: (key) =>
        new PatientUpload(objects, key, {
          clock: systemClock,
          signal: new AbortController().signal,
          budgetMs: 60_000,
        }),
      segmentKey: (c, kind) => `${name}/${c.epoch}-${kind}.seg`,
      ...(attempt !== null && {
        copies: new LocalCopies({ root: join(dir, 'copies'), jobId: 'bench', attempt, bytesMax: Infinity }),
        restoredFrom: (place) => places.add(place),
      }),
    },
  )
}
const cp = (n: number) => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })

interface Restore {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Until every key has been read once. */
  readonly allSeconds: number
}
interface Round {
  /** By size. */
  readonly pauses: readonly (readonly number[])[]
  readonly deltaShare: number
  readonly storedRatio: number
  readonly snapshotSeconds: number
  readonly snapshotCpuSeconds: number
  readonly store: Restore
  readonly local: Restore
}

async function timed<T>(call: () => Promise<T>): Promise<{ value: T; seconds: number; cpuSeconds: number }> {
  const [started, cpu] = [performance.now(), process.cpuUsage()]
  const value = await call()
  const { user, system } = process.cpuUsage(cpu)
  return { value, seconds: (performance.now() - started) / 1_000, cpuSeconds: (user + system) / 1e6 }
}
const bytesOf = (ref: SegmentRef): number => ref.bytes

/** Calls `snapshot`; what it does before it returns is the pause. */
async function barrier(store: LevelStateStore, n: number, pauses: number[]): Promise<readonly SegmentRef[]> {
  const started = performance.now()
  const stored = store.snapshot(cp(n))
  pauses.push(performance.now() - started)
  return stored
}

async function pausesOf(keys: number): Promise<number[]> {
  const store = await open()
  const state = store.keyed<number>(uid, 'sums')
  const pauses: number[] = []
  for (let n = 1; n <= BARRIERS; n++) {
    for (let i = 0; i < keys; i++) state.put(keyOf(i), i * n + 0.5)
    await barrier(store, n, pauses)
  }
  await store.close()
  return pauses
}

async function round(): Promise<Round> {
  const pauses = [await pausesOf(KEYS / 100), await pausesOf(KEYS / 10), []]
  const store = await open()
  const state = store.keyed<Order>(uid, 'orders')
  let jsonBytes = 0
  for (let i = 0; i < KEYS; i++) {
    const value = order(i)
    jsonBytes += JSON.stringify([keyOf(i), value]).length + 1
    state.put(keyOf(i), value)
  }
  const base = await timed(() => barrier(store, 1, pauses[2]!))
  for (let i = 0; i < KEYS; i += 20) state.put(keyOf(i), order(i, 1))
  const chain = await store.snapshot(cp(2))
  await store.close()

  const values = await open('1')
  for (let i = 0; i < KEYS; i++) values.keyed<string>(uid, 'values').put(keyOf(i), `${mixed(i)}`.padEnd(98, 'weir '))
  const written = await barrier(values, 1, pauses[2]!)
  await values.close()
  const fromStore = await restore(written, null)
  places.clear()
  const fromDisk = await restore(written, '2')
  if (places.has('store')) throw new Error('a local recovery has read the object store')
  return {
    pauses,
    deltaShare: bytesOf(chain[1]!) / bytesOf(chain[0]!),
    storedRatio: jsonBytes / bytesOf(chain[0]!),
    snapshotSeconds: base.seconds,
    snapshotCpuSeconds: base.cpuSeconds,
    store: fromStore,
    local: fromDisk,
  }
}

async function restore(written: readonly SegmentRef[], attempt: string | null): Promise<Restore> {
  const store = await open(attempt)
  const { seconds, cpuSeconds } = await timed(() => store.restore(written))
  const began = performance.now()
  const values = store.keyed<string>(uid, 'values')
  for (let i = 0; i < KEYS; i++)
    if (values.get(keyOf(i))?.length !== 98) throw new Error(`${keyOf(i)} was not restored`)
  const allSeconds = seconds + (performance.now() - began) / 1_000
  await store.close()
  return { seconds, cpuSeconds, allSeconds }
}

const CODECS = {
  zstd,
  lz4: (bytes: Buffer) => lz4Sync(bytes),
  gzip: (bytes: Buffer) => gzipSync(bytes),
} satisfies Record<string, (bytes: Buffer) => Buffer>
type Codec = keyof typeof CODECS

/** In pieces of a chunk's size, on this thread; by its CPU time, which others on the machine do not change. */
function codec(name: Codec, json: Buffer): { readonly ratio: number; readonly megabytesPerSecond: number } {
  const started = process.cpuUsage()
  let out = 0
  for (let at = 0; at < json.length; at += 256 * 1024) out += CODECS[name](json.subarray(at, at + 256 * 1024)).length
  const { user, system } = process.cpuUsage(started)
  return { ratio: json.length / out, megabytesPerSecond: json.length / (user + system) }
}

export async function storeFigures(): Promise<readonly Figure[]> {
  const rounds: Round[] = []
  const codecs: Record<Codec, ReturnType<typeof codec>>[] = []
  try {
    const json = jsonOf(CODEC_BYTES)
    for (let i = 0; i < ROUNDS; i++) {
      const r = await round()
      const c = { zstd: codec('zstd', json), lz4: codec('lz4', json), gzip: codec('gzip', json) }
      rounds.push(r)
      codecs.push(c)
      say(`round ${i + 1}: ${JSON.stringify(r)} ${JSON.stringify(c)}`)
    }
  } finally {
    for (const key of await objects.list('')) await objects.delete(key)
    await objects.close()
    await rm(dir, { recursive: true, force: true })
  }
  const of = (value: (r: Round) => number): number => median(rounds.map(value))
  const coded = (name: Codec, field: 'ratio' | 'megabytesPerSecond'): number =>
    median(codecs.map((c) => c[name][field]))
  const values = `${KEYS} keys of 100 B`
  return [
    ...SIZES.flatMap((keys, i) => {
      const pauses = rounds.flatMap((r) => r.pauses[i]!)
      return [
        atMost(`synchronous pause ms, ${keys} keys changed`, median(pauses), 10),
        figure(`the longest of ${pauses.length}`, Math.max(...pauses)),
      ]
    }),
    atMost(
      'delta of 5 % changed keys / base, bytes',
      of((r) => r.deltaShare),
      0.15,
    ),
    atLeast(
      'JSON / stored bytes, order state',
      of((r) => r.storedRatio),
      3.8,
    ),
    atMost(
      `restore s, ${values}`,
      of((r) => r.store.seconds),
      3,
    ),
    figure(
      `restore s until every key was read once, ${values}`,
      of((r) => r.store.allSeconds),
    ),
    figure(
      `restore CPU-s, ${values}`,
      of((r) => r.store.cpuSeconds),
    ),
    atMost(
      `local recovery s, ${values}`,
      of((r) => r.local.seconds),
      1,
    ),
    figure(
      `local recovery s until every key was read once, ${values}`,
      of((r) => r.local.allSeconds),
    ),
    figure(
      `snapshot s, ${KEYS} keys all changed`,
      of((r) => r.snapshotSeconds),
    ),
    figure(
      `snapshot CPU-s, ${KEYS} keys all changed`,
      of((r) => r.snapshotCpuSeconds),
    ),
    atLeast('zstd-3 MB/s per thread on JSON', coded('zstd', 'megabytesPerSecond'), 350),
    figure('lz4 MB/s per thread on JSON', coded('lz4', 'megabytesPerSecond')),
    figure('gzip MB/s per thread on JSON', coded('gzip', 'megabytesPerSecond')),
    figure('JSON / zstd-3 bytes', coded('zstd', 'ratio')),
    figure('JSON / lz4 bytes', coded('lz4', 'ratio')),
    figure('JSON / gzip bytes', coded('gzip', 'ratio')),
  ]
}
