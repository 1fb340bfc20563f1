/** What tests of a single slice share: nodes, and a world that outlives its attempts. */
import {
  MemoryClaims,
  claimPlace,
  defaultSettings,
  planJob,
  type GraphNode,
  type JobDefinition,
  type JobSettings,
  type ResumableOperator,
  type SourceNode,
  type StateStore,
  type TwoPhaseSink,
} from '@weir/dataflow'
import {
  attempt,
  epoch,
  generation,
  jobId,
  operatorUid,
  subtask,
  type CheckpointId,
  type Clock,
  type Key,
} from '@weir/model'
import { systemClock } from './system/index.ts'
import type { SliceDeps } from './slice-ports.ts'
import type { SliceReport } from './slice-report.ts'
import { Slice } from './slice.ts'
import {
  MemoryBroker,
  MemoryContinuousSink,
  MemoryExchange,
  MemoryLogSource,
  MemorySink,
  MemoryStateStore,
  MemoryTopic,
  type MemoryRecord,
} from './testing/index.ts'

export const node = {
  source: (outOfOrderMs: number): SourceNode => ({
    kind: 'source',
    uid: operatorUid('in'),
    descriptor: { connector: 'kafka', topic: 'of-the-test' },
    decode: null,
    timestamp: null,
    outOfOrderMs,
    recordsPerSecond: null,
  }),
  keyedBySource: (): GraphNode => ({ kind: 'keyedBySource', uid: operatorUid('by-first'), key: (v) => String(v)[0]! }),
  keyBy: (key: (value: unknown) => Key): GraphNode => ({ kind: 'keyBy', uid: operatorUid('by-all'), key }),
  resumable: <S>(uid: string, create: () => ResumableOperator<string, string, S>): GraphNode => ({
    kind: 'resumable',
    uid: operatorUid(uid),
    create: create as unknown as () => ResumableOperator<unknown, unknown, unknown>,
  }),
  concat: (uid: string): GraphNode => ({
    kind: 'reduce',
    uid: operatorUid(uid),
    initial: '',
    reduce: (a, v) => `${String(a)}${String(v)} `,
  }),
  count: (uid: string, sizeMs: number): GraphNode => ({
    kind: 'window',
    uid: operatorUid(uid),
    window: { type: 'tumbling', sizeMs },
    aggregate: { initial: 0, add: (n) => (n as number) + 1 },
    aggregateName: 'count',
  }),
  sink: (uid: string): GraphNode => ({
    kind: 'sink',
    uid: operatorUid(uid),
    descriptor: { connector: 'kafka', topic: 'of-the-test' },
    encodeKey: String,
    encodeValue: String,
  }),
}
/** A chain: each node leads to the next. */
export const chainOf = (nodes: readonly GraphNode[], settings: Partial<JobSettings> = {}): JobDefinition => ({
  kind: 'weir.job',
  version: 1,
  name: 'splits',
  settings: { ...defaultSettings, ...settings },
  graph: { nodes, edges: nodes.slice(1).map((_, i) => [i, i + 1] as const) },
})

const running: Slice[] = []
export async function stopAll(): Promise<void> {
  for (const slice of running.splice(0)) await slice.stop('leave')
}

/** One slice, one attempt; topics and objects outlive it. */
export class World {
  clock: Clock = systemClock
  readonly topics = new Map<string, MemoryTopic>()
  readonly objects = new Map<string, string>()
  readonly broker = new MemoryBroker()
  /** Null: the sink is one in memory. */
  sinkOf: (...args: Parameters<SliceDeps['createSink']>) => TwoPhaseSink | null = () => null
  readonly claims = claimPlace()
  /** Undefined: nothing is traced. */
  traces: SliceDeps['traces'] = undefined
  openState = (stage: number): Promise<StateStore> =>
    Promise.resolve(new MemoryStateStore(this.objects, `stage-${stage}`))

  topic(uid: string): MemoryTopic {
    if (!this.topics.has(uid)) this.topics.set(uid, new MemoryTopic())
    return this.topics.get(uid)!
  }

  start(job: JobDefinition, source: MemoryLogSource, n = 1) {
    const seen: SliceReport[] = []
    const { topics } = this
    let look = (): void => {}
    const slice = new Slice(
      {
        jobId: jobId('splits'),
        attempt: { generation: generation(1), attempt: attempt(n) },
        subtask: subtask(0),
        plan: planJob(job),
        freeze: true,
      },
      {
        clock: this.clock,
        exchange: new MemoryExchange(),
        createSource: () => source,
        createSink: (node, context, asides) =>
          this.sinkOf(node, context, asides) ?? new MemorySink(this.topic(node.uid)),
        createContinuousSink: (_source, _sinks, context) =>
          new MemoryContinuousSink(this.broker, context, systemClock, 20),
        openState: (stage) => this.openState(stage),
        ...(this.traces && { traces: this.traces }),
        createClaims: ({ windowMs }) => new MemoryClaims(windowMs, this.claims),
        report: (report) => {
          seen.push(report)
          look()
        },
        turn: () => new Promise((resolve) => setImmediate(resolve)),
      },
    )
    running.push(slice)
    const until = <T extends SliceReport['type']>(
      type: T,
      is: (report: Extract<SliceReport, { type: T }>) => boolean = () => true,
    ): Promise<Extract<SliceReport, { type: T }>> =>
      new Promise((resolve, reject) => {
        look = () => {
          const failed = seen.find((r) => r.type === 'failed')
          if (failed) return reject(failed.error)
          const found = seen.find((r) => r.type === type && is(r as never))
          if (found) resolve(found as Extract<SliceReport, { type: T }>)
        }
        look()
      })
    return {
      slice,
      until,
      async run(snapshot: Parameters<Slice['recover']>[0] = null): Promise<void> {
        await slice.recover(snapshot)
        await slice.run([{ subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }])
      },
      async checkpoint(e: number, last = false) {
        const id: CheckpointId = { generation: generation(1), attempt: attempt(n), epoch: epoch(e) }
        slice.trigger(id, last)
        const { snapshot } = await until('ack', (r) => r.checkpoint.epoch === e)
        return snapshot
      },
      async commit(e: number) {
        const sinks = Object.fromEntries([...topics.keys()].map((uid) => [uid, Number.MAX_SAFE_INTEGER]))
        slice.commit(epoch(e), sinks, `of-epoch-${e}`)
        await until('committed', (r) => r.epoch === e)
      },
    }
  }
}

export const records = (...rows: [string, number][]): MemoryRecord[] => rows.map(([value, ts]) => ({ value, ts }))
