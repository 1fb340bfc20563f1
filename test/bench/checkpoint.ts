/**
 * `npm run bench -- checkpoint`: what the state of one slice costs, on the real object store. Every figure is a ratio, or
 * two sides, of one run; medians of the rounds.
 *
 * - the synchronous pause of a barrier at 10 k, 100 k and 1 M keys, all of them changed
 * - bytes of a delta at 5 % changed keys against the base
 * - restore of 1 M keys with values of 100 B
 * - order state against the same as JSON, as stored and by codec; MB/s of one thread
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import type { SegmentRef } from '@weir/dataflow'
import { PatientUpload, S3ObjectStore } from '@weir/metadata'
import { attempt, epoch, generation, operatorUid, systemClock, systemRandom } from '@weir/model'
import { openStateStore, type LevelStateStore } from '@weir/state'
import { compressSync as lz4Sync } from 'lz4-napi'
import { stackEndpoints } from '../stack/endpoints.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const KEYS = Number(process.env['BENCH_KEYS'] ?? 1_000_000)
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
const say = (text: string): void => console.error(text)
let opened = 0

function open(): Promise<LevelStateStore> {
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
    },
  )
}
const cp = (n: number) => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })

/** About 125 bytes as JSON. Users, amounts, states and times follow no pattern; ids do, as they do in life. */
interface Order {
  readonly id: number
  readonly user: string
  readonly amountMinor: number
  readonly currency: string
  readonly status: string
  readonly updatedAt: number
}
const STATUS = ['PAID', 'OPEN', 'SHIPPED', 'CANCELLED']
/** A hash: amounts and times that follow no pattern. */
const mixed = (i: number): number => Math.imul((i ^ (i >>> 15)) + 0x9e3779b9, 0x85ebca6b) >>> 0
const order = (i: number, version = 0): Order => ({
  id: i,
  user: `user-${mixed(i) % 100_000}`,
  amountMinor: mixed(i + version) % 100_000,
  currency: 'EUR',
  status: STATUS[mixed(i + version) % 4]!,
  updatedAt: 1_750_000_000_000 + (mixed(i * 3 + version) % 86_400_000),
})
const keyOf = (i: number): string => `order-${i}`

interface Round {
  /** By size. */
  readonly pauses: readonly (readonly number[])[]
  readonly deltaShare: number
  readonly storedRatio: number
  readonly snapshotSeconds: number
  readonly snapshotCpuSeconds: number
  readonly restoreSeconds: number
  readonly restoreCpuSeconds: number
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

  const values = await open()
  for (let i = 0; i < KEYS; i++) values.keyed<string>(uid, 'values').put(keyOf(i), `${mixed(i)}`.padEnd(98, 'weir '))
  const written = await barrier(values, 1, pauses[2]!)
  await values.close()
  const restored = await open()
  const restore = await timed(() => restored.restore(written))
  const last = restored.keyed<string>(uid, 'values').get(keyOf(KEYS - 1))
  if (last?.length !== 98) throw new Error('the last key was not restored')
  await restored.close()
  return {
    pauses,
    deltaShare: bytesOf(chain[1]!) / bytesOf(chain[0]!),
    storedRatio: jsonBytes / bytesOf(chain[0]!),
    snapshotSeconds: base.seconds,
    snapshotCpuSeconds: base.cpuSeconds,
    restoreSeconds: restore.seconds,
    restoreCpuSeconds: restore.cpuSeconds,
  }
}

const LEVEL_3 = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
const CODECS = {
  zstd: (bytes: Buffer) => zstdCompressSync(bytes, LEVEL_3),
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

const rounds: Round[] = []
const codecs: Record<Codec, ReturnType<typeof codec>>[] = []
try {
  const lines: string[] = []
  for (let i = 0, bytes = 0; bytes < CODEC_BYTES; i++) {
    lines.push(JSON.stringify([keyOf(i), order(i)]))
    bytes += lines.at(-1)!.length + 1
  }
  const json = Buffer.from(lines.join('\n'))
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

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
const of = (value: (r: Round) => number): number => median(rounds.map(value))
const coded = (name: Codec, field: 'ratio' | 'megabytesPerSecond'): number => median(codecs.map((c) => c[name][field]))
const figure = (name: string, value: number, goal: number | null = null, holds = true): object => ({
  name,
  value: Number(value.toPrecision(4)),
  goal,
  holds,
})
const atMost = (name: string, value: number, goal: number): object => figure(name, value, goal, value <= goal)
const atLeast = (name: string, value: number, goal: number): object => figure(name, value, goal, value >= goal)
console.log(
  JSON.stringify({
    bench: 'checkpoint',
    figures: [
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
        `restore s, ${KEYS} keys of 100 B`,
        of((r) => r.restoreSeconds),
        3,
      ),
      figure(
        `restore CPU-s, ${KEYS} keys of 100 B`,
        of((r) => r.restoreCpuSeconds),
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
    ],
  }),
)
