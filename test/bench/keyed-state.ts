/**
 * `npm run bench -- keyed-state`: the same running sum by `reduce` and by `process` with each kind of state, on the real store,
 * alternating in one process; a barrier behind every tenth of a round. Records per second, medians of the rounds; the
 * ratio to `reduce` is the figure.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operatorFor, refuseNone, type Collector, type GraphNode, type OperatorNode } from '@weir/dataflow'
import { WATERMARK_MIN, attempt, epoch, generation, operatorUid, subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import {
  aggregatingState,
  datagen,
  job,
  listState,
  log,
  mapState,
  valueState,
  type KeyedStream,
  type Out,
} from '@weir/sdk'
import { openStateStore, type LevelStateStore } from '@weir/state'
import { median, say } from './lib/figures.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 1_000_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const KEYS = 20_000
const BATCH = 1_000
const dir = await mkdtemp(join(tmpdir(), 'weir-bench-'))

type Ways = Record<string, (keyed: KeyedStream<number>) => { to(sink: ReturnType<typeof log.sink>): void }>
const ways: Ways = {
  reduce: (keyed) => keyed.reduce('way', 0, (sum, n) => sum + n),
  value: (keyed) =>
    keyed.process('way', {
      state: { sum: valueState({ initial: 0 }) },
      onRecord({ state: { sum } }, n, out: Out<number>) {
        const next = sum.get() + n
        sum.set(next)
        out.emit(next)
      },
    }),
  'value, ttl': (keyed) =>
    keyed.process('way', {
      state: { sum: valueState({ initial: 0, ttl: '1h' }) },
      onRecord({ state: { sum } }, n, out: Out<number>) {
        const next = sum.get() + n
        sum.set(next)
        out.emit(next)
      },
    }),
  aggregating: (keyed) =>
    keyed.process('way', {
      state: { sum: aggregatingState({ initial: 0, add: (sum, n: number) => sum + n, result: (sum) => sum }) },
      onRecord({ state: { sum } }, n, out: Out<number>) {
        sum.add(n)
        out.emit(sum.get()!)
      },
    }),
  'map entry': (keyed) =>
    keyed.process('way', {
      state: { sums: mapState<string, number>() },
      onRecord({ state: { sums } }, n, out: Out<number>) {
        const next = (sums.get('total') ?? 0) + n
        sums.set('total', next)
        out.emit(next)
      },
    }),
  'list add': (keyed) =>
    keyed.process('way', {
      state: { all: listState<number>() },
      onRecord({ state: { all } }, n, out: Out<number>) {
        all.add(n)
        out.emit(n)
      },
    }),
  'event timer': (keyed) =>
    keyed.process('way', {
      timers: { close: 'event' },
      onRecord({ timers: { close }, timestamp }, n, out: Out<number>) {
        close.set(timestamp - (timestamp % 60_000) + 60_000)
        out.emit(n)
      },
      onTimer: () => {},
    }),
}

function nodeOf(way: keyof typeof ways): GraphNode {
  const { graph } = job('bench', (flow) => {
    const payments = flow.from(datagen.payments()).map((payment) => payment.amountMinor)
    ways[way]!(payments.keyBy((n) => n)).to(log.sink('out'))
  })
  return graph.nodes.find((node) => node.uid === 'way')!
}

function open(name: string): Promise<LevelStateStore> {
  const place = { dir: join(dir, name), keyGroups: { from: 0, to: 128 }, maxParallelism: 128, writer: '0/1' }
  const nothing = { write: () => Promise.resolve(), finish: () => Promise.resolve(), abort: () => Promise.resolve() }
  return openStateStore(
    { ...place, hotEntriesMax: 200_000, chainLengthMax: 1_000, chainRatioMax: 1_000, freeze: false },
    { objects: null as never, upload: () => nothing, segmentKey: (c, kind) => `${c.epoch}-${kind}` },
  )
}

/** Records per second of one round; barriers are not in it. */
async function round(way: keyof typeof ways, serial: number): Promise<number> {
  const store = await open(`${serial}`)
  const operator = operatorFor(nodeOf(way) as OperatorNode)
  operator.open({
    ...{ uid: operatorUid('way'), subtask: subtask(0), parallelism: 1, maxParallelism: 128, state: store },
    ...{ watermark: WATERMARK_MIN, counters: { lateRecords: 0 }, freeze: false, clock: systemClock },
    refuse: refuseNone,
  })
  let emitted = 0
  const out: Collector = { emit: ({ values }) => void (emitted += values.length), watermark: () => {} }
  let ms = 0
  for (let from = 0; from < RECORDS;) {
    const began = performance.now()
    for (const until = from + RECORDS / 10; from < until; from += BATCH) {
      const keys: string[] = []
      const values: number[] = []
      const timestamps: number[] = []
      for (let i = from; i < from + BATCH; i++) {
        keys.push(NAMES[(i * 7919) % KEYS]!)
        values.push(i % 100)
        timestamps.push(i)
      }
      operator.onBatch({ keys, values, timestamps }, out)
      operator.onWatermark(from, out)
    }
    ms += performance.now() - began
    await store.snapshot({ generation: generation(1), attempt: attempt(1), epoch: epoch(from / 10) })
  }
  await store.close()
  if (emitted !== RECORDS) throw new Error(`${way} put out ${emitted} of ${RECORDS}`)
  return (RECORDS / ms) * 1_000
}

const NAMES = Array.from({ length: KEYS }, (_, i) => `user-${i}`)
const found = new Map(Object.keys(ways).map((way) => [way, [] as number[]]))
let serial = 0
for (const way of found.keys()) await round(way, serial++) // warm
for (let i = 0; i < ROUNDS; i++) for (const [way, of] of found) of.push(await round(way, serial++))
const reduce = median(found.get('reduce')!)
const result = Object.fromEntries(
  [...found].map(([way, of]) => [
    way,
    { recordsPerSecond: Math.round(median(of)), ratioToReduce: Number((median(of) / reduce).toFixed(2)) },
  ]),
)
for (const [way, { recordsPerSecond, ratioToReduce }] of Object.entries(result)) {
  say(`${way.padEnd(12)} ${String(recordsPerSecond).padStart(10)} records/s   ${ratioToReduce} × reduce`)
}
console.log(JSON.stringify({ bench: 'keyed-state', records: RECORDS, keys: KEYS, rounds: ROUNDS, result }))
await rm(dir, { recursive: true, force: true })
