/**
 * `npm run bench -- traces`: what tracing of sampled records costs one slice (decode, filter, keyBy, exchange, sum, sink), alternating
 * in one process: nobody asks; asked and nothing drawn; one of a thousand drawn; and the same where every record has headers that are
 * looked at. Records per second, medians of the rounds; the ratio to "off" is the figure.
 */
import { planJob, type RawRecords, type SourcePoll, type SourceReader } from '@weir/dataflow'
import { attempt, generation, jobId, subtask, type RecordHeader } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { Slice, type RecordTracePort, type SliceReport } from '@weir/runtime'
import { MemoryExchange, MemorySink, MemoryStateStore, MemoryTopic } from '@weir/runtime/testing'
import { job, json, log } from '@weir/sdk'
import { hash } from 'node:crypto'
import { atLeast, figure, median, say } from './lib/figures.ts'
import { order } from './lib/orders.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 300_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7)
const KEYS = 1_000
const POLL = 2_000
const HEADERS: readonly RecordHeader[] = [
  ['content-type', Buffer.from('application/json')],
  ['tenant', Buffer.from('eu')],
]

interface Order {
  readonly user: string
  readonly amountMinor: number
  readonly status: string
}

const plan = planJob(
  job('orders', { parallelism: 1 }, (flow) => {
    flow
      .from(log.topic('in', { value: json<Order>() }), 'in')
      .filter(({ status }) => status === 'PAID', 'paid')
      .keyBy(({ user }) => user, 'by-user')
      .reduce('sum', 0, (sum, { amountMinor }) => sum + amountMinor)
      .to(log.sink('out'), 'out')
  }),
)

/** One poll, handed out again and again at other offsets. */
function recordsOf(headers: boolean): RawRecords {
  const texts = Array.from({ length: POLL }, (_, i) => order(i, KEYS))
  const buffer = Buffer.from(texts.join(''))
  const at = (index: number): number => texts.slice(0, index).reduce((sum, { length }) => sum + length, 0)
  const starts = Int32Array.from(texts, (_, i) => at(i))
  const none = new Int32Array(POLL).fill(-1)
  return {
    ...{ buffer, count: POLL, keyStart: none, keyEnd: none, valueStart: starts },
    valueEnd: starts.map((start, i) => start + texts[i]!.length),
    timestamps: new Float64Array(POLL).fill(1_000),
    offsets: new Float64Array(POLL),
    ...(headers && { headers: () => HEADERS }),
  }
}

function source(raw: RawRecords): SourceReader {
  let read = 0
  return {
    open: () => Promise.resolve([0]),
    poll(): Promise<SourcePoll> {
      if (read >= RECORDS) return Promise.resolve('end')
      for (let i = 0; i < POLL; i++) raw.offsets[i] = read + i
      read += POLL
      return Promise.resolve({ kind: 'raw', split: 0, raw })
    },
    snapshot: () => ({ read }),
    close: () => Promise.resolve(),
  }
}

class Nowhere extends MemorySink {
  override write(): undefined {}
}

let spans = 0
const sampling = (sampleRate: number): RecordTracePort => ({
  sampleRate,
  traceId: (of) => hash('sha256', of, 'hex').slice(0, 32),
  spanId: () => systemRandom.nonce().slice(0, 16),
  ended: () => void spans++,
})

async function round({ traces, raw }: Way): Promise<number> {
  let ended = (): void => {}
  let failed = (_: Error): void => {}
  const over = new Promise<void>((resolve, reject) => ([ended, failed] = [resolve, reject]))
  const options = { jobId: jobId('bench'), attempt: { generation: generation(1), attempt: attempt(1) } }
  const slice = new Slice(
    { ...options, subtask: subtask(0), plan, freeze: false },
    {
      clock: systemClock,
      exchange: new MemoryExchange(),
      createSource: () => source(raw),
      createSink: () => new Nowhere(new MemoryTopic()),
      createContinuousSink: () => {
        throw new Error('this job has none')
      },
      openState: (stage) => Promise.resolve(new MemoryStateStore(new Map(), `stage-${stage}`)),
      ...(traces && { traces }),
      report: (report: SliceReport) => {
        if (report.type === 'input-ended') ended()
        if (report.type === 'failed') failed(report.error)
      },
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    },
  )
  await slice.recover(null)
  const began = performance.now()
  await slice.run([{ subtask: subtask(0), taskManagerId: 'bench', exchangeAddress: '' }])
  await over
  const seconds = (performance.now() - began) / 1_000
  await slice.stop('leave')
  return RECORDS / seconds
}

interface Way {
  readonly traces: RecordTracePort | undefined
  readonly raw: RawRecords
}
const [plain, headed] = [recordsOf(false), recordsOf(true)]
const ways: Record<string, Way> = {
  off: { traces: undefined, raw: plain },
  'on, nothing drawn': { traces: sampling(0), raw: plain },
  'on, one of 1,000': { traces: sampling(0.001), raw: plain },
  'off, headers': { traces: undefined, raw: headed },
  'on, one of 1,000, headers': { traces: sampling(0.001), raw: headed },
}
const results = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]))
for (let n = 0; n <= ROUNDS; n++) {
  for (const [name, way] of Object.entries(ways)) {
    const perSecond = await round(way)
    if (n > 0) results.get(name)!.push(perSecond) // the first one warms up
  }
}
const of = (name: string): number => median(results.get(name)!)
for (const name of results.keys()) say(`${name}: ${Math.round(of(name) / 1_000)} k records/s`)
const figures = [
  figure('off, records per second', of('off')),
  atLeast('on and nothing drawn, to off', of('on, nothing drawn') / of('off'), 0.97),
  atLeast('on and one of 1,000 drawn, to off', of('on, one of 1,000') / of('off'), 0.95),
  figure('the same where records have headers, to off', of('on, one of 1,000, headers') / of('off, headers')),
  figure('spans in all', spans),
]
console.log(JSON.stringify({ bench: 'traces', records: RECORDS, rounds: ROUNDS, figures }))
process.exitCode = figures.every(({ holds }) => holds) ? 0 : 1
