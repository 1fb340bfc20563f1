/** One slice in memory with an endless source in front of a sink of a known speed: what the benches of rates are about, and nothing else. */
import { defaultSettings, planJob, type GraphNode, type SourcePoll, type SourceReader } from '@weir/dataflow'
import { attempt, generation, jobId, operatorUid, subtask, type CheckpointId, type RecordBatch } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Slice } from '@weir/runtime'
import { MemoryExchange, MemorySink, MemoryStateStore, MemoryTopic } from '@weir/runtime/testing'

export interface Rates {
  readonly recordsPerSecond: number | null
  readonly minRecordsPerSecond: number | null
}

/** Always has what it is asked for; or never anything. */
class Endless implements SourceReader {
  #at = 0
  readonly #signal: AbortSignal
  readonly #read: ((records: number) => void) | null

  /** @param read null: every poll waits until the slice is over */
  constructor(signal: AbortSignal, read: ((records: number) => void) | null) {
    this.#signal = signal
    this.#read = read
  }

  open = (): Promise<readonly number[]> => Promise.resolve([0])
  snapshot = () => ({})
  close = (): Promise<void> => Promise.resolve()

  poll(maxRecords: number): Promise<SourcePoll> {
    if (this.#read === null) {
      return new Promise((_, reject) =>
        this.#signal.addEventListener('abort', () => reject(this.#signal.reason as Error), { once: true }),
      )
    }
    const offsets = Array.from({ length: maxRecords }, (_, i) => this.#at + i)
    this.#at += maxRecords
    this.#read(maxRecords)
    return Promise.resolve({ kind: 'values', split: 0, offsets, values: offsets, timestamps: offsets })
  }
}

/** Takes so many records per second, one batch after the other; 0: none. */
class PacedSink extends MemorySink {
  readonly #perSecond: () => number
  #freeAtMs = 0

  constructor(perSecond: () => number) {
    super(new MemoryTopic())
    this.#perSecond = perSecond
  }

  override write({ values }: RecordBatch): undefined {
    const perSecond = this.#perSecond()
    if (perSecond === 0) return new Promise(() => {}) as unknown as undefined
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now()) + (values.length / perSecond) * 1_000
    return systemClock.sleep(this.#freeAtMs - performance.now()) as unknown as undefined
  }

  /** What it has taken goes nowhere. */
  override prepare(_: CheckpointId): never {
    throw new Error('the bench has no checkpoints')
  }
}

export interface SliceOptions {
  readonly rates: Rates
  /** The sink is behind an exchange. */
  readonly isExchanged: boolean
  readonly sinkPerSecond: () => number
  /** null: the source never has anything. */
  readonly read: ((records: number) => void) | null
  /** Of the attempt, as the source sees it. */
  readonly onSignal?: (signal: AbortSignal) => void
}

export async function startSlice({ rates, isExchanged, sinkPerSecond, read, onSignal }: SliceOptions): Promise<Slice> {
  const uid = operatorUid
  const descriptor = { connector: 'kafka', topic: 'bench' }
  const exchanged: GraphNode[] = [
    { kind: 'keyBy', uid: uid('by-digit'), key: (n) => (n as number) % 10 },
    { kind: 'reduce', uid: uid('last'), initial: 0, reduce: (_, n) => n },
  ]
  const nodes: GraphNode[] = [
    {
      ...{ kind: 'source', uid: uid('in'), descriptor, decode: null, timestamp: null, outOfOrderMs: 0 },
      ...rates,
    },
    ...(isExchanged ? exchanged : []),
    { kind: 'sink', uid: uid('out'), descriptor, encodeKey: String, encodeValue: String },
  ]
  const plan = planJob({
    ...{ kind: 'weir.job', version: 1, name: 'rate', settings: { ...defaultSettings } },
    graph: { nodes, edges: nodes.slice(1).map((_, i) => [i, i + 1] as const) },
  })
  const slice = new Slice(
    {
      ...{ jobId: jobId('rate'), attempt: { generation: generation(1), attempt: attempt(1) } },
      ...{ subtask: subtask(0), plan, freeze: false },
    },
    {
      ...{ clock: systemClock, exchange: new MemoryExchange() },
      createSource: (_, { signal }) => {
        onSignal?.(signal)
        return new Endless(signal, read)
      },
      createSink: () => new PacedSink(sinkPerSecond),
      createContinuousSink: () => {
        throw new Error('the bench has no continuous scope')
      },
      openState: () => Promise.resolve(new MemoryStateStore(new Map(), 'bench')),
      report: (report) => {
        if (report.type === 'failed' && report.error.code !== 'SLICE_STOPPED') throw report.error
      },
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    },
  )
  await slice.recover(null)
  await slice.run([{ subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }])
  return slice
}
