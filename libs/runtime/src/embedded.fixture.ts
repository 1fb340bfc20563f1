/** A job of two slices on the embedded log, in one process, and what kills it. */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import { EmbeddedLog, FileStorage, LogSink, LogSource, type ReadRecord } from '@weir/connectors'
import type { Plan, SourcePoll, SourceReader } from '@weir/dataflow'
import { attempt, epoch, generation, jobId, subtask, type RecordHeader } from '@weir/model'
import { systemClock } from './system/index.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { SliceDeps } from './slice-ports.ts'
import type { SliceReport } from './slice-report.ts'
import { Slice } from './slice.ts'
import { MemoryExchange, MemoryInFlightStore, MemoryStateStore } from './testing/index.ts'

const closers: (() => unknown)[] = []
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close()
}

/** A record of an input: 20 ms behind the one before it, unless it has an event time. */
export type Line =
  string | { readonly line: string; readonly timestamp: number; readonly headers?: readonly RecordHeader[] }

/** An embedded log with input in the topic `in`, and objects that outlive attempts. */
export class World {
  readonly objects = new Map<string, string>()
  readonly flights = new Map<string, Uint8Array>()
  readonly log: EmbeddedLog

  private constructor(log: EmbeddedLog) {
    this.log = log
  }

  /** @param input by partition */
  static async open(topics: readonly string[], input: readonly (readonly Line[])[]): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'weir-dead-'))
    const log = await EmbeddedLog.open(await FileStorage.open(folder), systemClock)
    closers.push(async () => {
      await log.close()
      await rm(folder, { recursive: true })
    })
    for (const topic of ['in', ...topics]) await log.createTopic(topic, 2)
    const producer = { transactionalId: 'test', ...(await log.initProducer('test', 60_000)) }
    for (const [partition, lines] of input.entries()) {
      const records = lines.map((line, i) => ({
        key: Buffer.from(`k${i}`),
        value: Buffer.from(typeof line === 'string' ? line : line.line),
        timestamp: typeof line === 'string' ? i * 20 : line.timestamp,
        headers: [
          ['trace', Buffer.from(`t${partition}-${i}`)] as const,
          ...(typeof line === 'string' ? [] : (line.headers ?? [])),
        ],
      }))
      await log.append({ ...producer, topic: 'in', partition, baseSequence: 0, records })
    }
    await log.end(producer, true)
    return new World(log)
  }

  async read(topic: string): Promise<(ReadRecord & { partition: number })[]> {
    const request = { topic, offset: 0, maxRecords: 10_000, readCommitted: true, maxWaitMs: 0 }
    const answers = await Promise.all([0, 1].map((partition) => this.log.read({ ...request, partition })))
    return answers.flatMap(({ records }, partition) => records.map((record) => ({ ...record, partition })))
  }
}

/** Hands out no more than so many records: tests choose where the barrier falls. */
const limited = (reader: SourceReader, limit: () => number): SourceReader => {
  let given = 0
  return Object.assign(Object.create(reader) as SourceReader, {
    open: (restored: Parameters<SourceReader['open']>[0]) => reader.open(restored),
    async poll(): Promise<SourcePoll> {
      if (given >= limit()) return new Promise((resolve) => setTimeout(() => resolve('idle'), 1))
      const polled = await reader.poll(Math.min(7, limit() - given))
      if (typeof polled === 'object' && polled.kind === 'raw') given += polled.raw.count
      return polled
    },
    snapshot: () => reader.snapshot(),
    originals: (split: number, offsets: readonly number[]) => reader.originals!(split, offsets),
    close: () => reader.close(),
  })
}

/** Two slices of one attempt. */
export class Fleet {
  readonly #slices: Slice[]
  readonly #reports: { from: number; report: SliceReport }[] = []
  readonly #attempt: number
  #look = (): void => {}
  limit = Number.POSITIVE_INFINITY

  /** @param traces undefined: nothing is traced */
  constructor(world: World, n: number, plan: Plan, traces?: SliceDeps['traces']) {
    this.#attempt = n
    const exchange = new MemoryExchange()
    const { log } = world
    this.#slices = [0, 1].map((i) => {
      const run = { generation: generation(1), attempt: attempt(n) }
      return new Slice(
        { jobId: jobId(plan.job.name), attempt: run, subtask: subtask(i), plan, freeze: true },
        {
          clock: systemClock,
          exchange,
          createSource: ({ descriptor }, context) => {
            const options = descriptor as unknown as ConstructorParameters<typeof LogSource>[0]
            return limited(new LogSource(options, { context, log, clock: systemClock }), () => this.limit)
          },
          createSink: ({ descriptor, encodeKey, encodeValue }, context, asides) => {
            const pool = { poolSize: 3, transactionTimeoutMs: 60_000 }
            const options = { topic: String(descriptor['topic']), encodeKey, encodeValue, asides, ...pool }
            return new LogSink(options, { context, log, clock: systemClock, staged: null })
          },
          createContinuousSink: () => expect.unreachable(),
          openState: (stage) => Promise.resolve(new MemoryStateStore(world.objects, `slice-${i}-stage-${stage}`)),
          ...(traces && { traces }),
          inFlight: new MemoryInFlightStore(world.flights, String(i)),
          report: (report) => {
            this.#reports.push({ from: i, report })
            this.#look()
          },
          turn: () => new Promise((resolve) => setImmediate(resolve)),
        },
      )
    })
    closers.push(() => this.kill())
  }

  async start(snapshots: readonly SubtaskSnapshot[] | null): Promise<void> {
    await Promise.all(this.#slices.map((slice, i) => slice.recover(snapshots?.[i] ?? null)))
    const peers = [0, 1].map((i) => ({ subtask: subtask(i), taskManagerId: 'tm', exchangeAddress: '' }))
    await Promise.all(this.#slices.map((slice) => slice.run(peers)))
  }

  /** @param n of the epoch, where the report names one */
  both<T extends SliceReport['type']>(type: T, n: number | null = null): Promise<Extract<SliceReport, { type: T }>[]> {
    const is = (report: SliceReport): boolean => {
      const at = report.type === 'ack' ? report.checkpoint.epoch : report.type === 'committed' ? report.epoch : null
      return report.type === type && at === n
    }
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const failure = this.#reports.find(({ report }) => report.type === 'failed')?.report
        if (failure?.type === 'failed') return reject(failure.error)
        const found = [0, 1].map((i) => this.#reports.findLast((r) => r.from === i && is(r.report))?.report)
        if (found.every((report) => report !== undefined)) resolve(found as Extract<SliceReport, { type: T }>[])
      }
      this.#look()
    })
  }

  /** Of both slices, oldest first. */
  until(is: (told: readonly SliceReport[]) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const told = this.#reports.map(({ report }) => report)
        const failure = told.find((report) => report.type === 'failed')
        if (failure !== undefined) reject(failure.error)
        else if (is(told)) resolve()
      }
      this.#look()
    })
  }

  async checkpoint(n: number): Promise<SubtaskSnapshot[]> {
    const id = { generation: generation(1), attempt: attempt(this.#attempt), epoch: epoch(n) }
    for (const slice of this.#slices) slice.trigger(id)
    return (await this.both('ack', n)).map(({ snapshot }) => JSON.parse(JSON.stringify(snapshot)) as SubtaskSnapshot)
  }

  async commit(n: number, snapshots: readonly SubtaskSnapshot[]): Promise<void> {
    this.#slices.forEach((slice, i) => {
      const sequences = Object.entries(snapshots[i]!.sinks).map(([uid, { sequence }]) => [uid, sequence])
      slice.commit(epoch(n), Object.fromEntries(sequences) as Record<string, number>)
    })
    await this.both('committed', n)
  }

  async kill(): Promise<void> {
    await Promise.all(this.#slices.map((slice) => slice.stop('leave')))
  }
}
