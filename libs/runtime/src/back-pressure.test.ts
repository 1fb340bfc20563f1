/** Source loop → channel → stage → sink, two slices: what is on the way is bounded while a sink stands still. */
import { planJob, type GraphNode, type SourcePoll, type SourceReader } from '@weir/dataflow'
import { attempt, generation, jobId, subtask } from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import { CHANNEL_CREDITS } from './channel.ts'
import { chainOf, node } from './fixture.ts'
import { FRAME_RECORDS_MAX } from './partitioner.ts'
import { Slice } from './slice.ts'
import { POLL_RECORDS_MAX } from './poll-size.ts'
import { StandingSink } from './standing.fixture.ts'
import { MemoryExchange, MemoryStateStore, MemoryTopic } from './testing/index.ts'

const SLICES = 2
/** Of one edge between so many slices. What leaves a stage is asked to wait only between two batches. */
const ON_THE_WAY_MAX =
  SLICES * SLICES * CHANNEL_CREDITS * FRAME_RECORDS_MAX + // sent, and not taken
  SLICES * SLICES * FRAME_RECORDS_MAX + // in half-filled frames
  SLICES * POLL_RECORDS_MAX + // of the last poll: waits for credit
  SLICES * FRAME_RECORDS_MAX // taken by a stage, and not by its sink

const running: Slice[] = []
const sinks: StandingSink[] = []
afterEach(async () => {
  for (const sink of sinks.splice(0)) sink.open()
  await Promise.all(running.splice(0).map((slice) => slice.stop('leave')))
})

/** Always has what it is asked for. */
class Endless implements SourceReader {
  given = 0
  readonly #split: number
  readonly #polled: () => void

  constructor(split: number, polled: () => void) {
    this.#split = split
    this.#polled = polled
  }

  open = (): Promise<readonly number[]> => Promise.resolve([this.#split])
  snapshot = () => ({})
  close = (): Promise<void> => Promise.resolve()

  poll(maxRecords: number): Promise<SourcePoll> {
    const offsets = Array.from({ length: maxRecords }, (_, i) => this.given + i)
    this.given += maxRecords
    this.#polled()
    return Promise.resolve({
      ...{ kind: 'values', split: this.#split, offsets },
      values: offsets.map((offset) => `${offset % 997}`),
      timestamps: offsets.map((offset) => offset),
    })
  }
}

const behind: GraphNode[] = [node.keyBy(String), { ...node.concat('last'), reduce: (_, v) => v } as GraphNode]

test('endless input, and a sink that stands still, goes on and stands still again: the exchange never holds more than its bound', async () => {
  const plan = planJob(chainOf([node.source(0), ...behind, node.sink('out')], { parallelism: SLICES }))
  const exchange = new MemoryExchange()
  /** How many records a poll asks for hangs on the time it takes: here always the same. */
  let nowMs = 0
  const clock = { ...systemClock, monotonic: (): number => (nowMs += 0.1) }
  const sources: Endless[] = []
  const failures: unknown[] = []
  let most = 0
  const given = (): number => sources.reduce((sum, source) => sum + source.given, 0)
  const taken = (): number => sinks.reduce((sum, sink) => sum + sink.taken, 0)
  const polled = (): void => {
    most = Math.max(most, given() - taken())
    // Without the bound the loops would go on until memory ends.
    if (most > ON_THE_WAY_MAX) throw new Error(`${most} records are on the way`)
  }
  const slices = Array.from({ length: SLICES }, (_, i) => {
    const slice = new Slice(
      {
        jobId: jobId('endless'),
        attempt: { generation: generation(1), attempt: attempt(1) },
        subtask: subtask(i),
        plan,
        freeze: true,
      },
      {
        clock,
        exchange,
        createSource: () => (sources[i] = new Endless(i, polled)),
        createSink: () => (sinks[i] = new StandingSink(new MemoryTopic())),
        createContinuousSink: () => expect.unreachable(),
        openState: (stage) => Promise.resolve(new MemoryStateStore(new Map(), `slice-${i}-stage-${stage}`)),
        report: (report) => void (report.type === 'failed' && failures.push(report.error)),
        turn: () => new Promise((resolve) => setImmediate(resolve)),
      },
    )
    running.push(slice)
    return slice
  })
  const turns = async (n: number): Promise<void> => {
    for (let i = 0; i < n && failures.length === 0; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  /** Nothing has been read for many turns of the event loop: every loop waits. */
  const standsStill = async (): Promise<void> => {
    for (let before = -1; before !== given() && failures.length === 0; await turns(50)) before = given()
    expect(failures).toEqual([])
  }
  for (const slice of slices) await slice.recover(null)
  const peers = slices.map((_, i) => ({ subtask: subtask(i), taskManagerId: 'tm', exchangeAddress: '' }))
  await Promise.all(slices.map((slice) => slice.run(peers)))

  await standsStill()
  expect(taken()).toBe(0)
  const filled = given()
  for (const sink of sinks) sink.open()
  while (taken() < 2 * filled && failures.length === 0) await turns(1)
  for (const sink of sinks) sink.isOpen = false
  await standsStill()
  expect(given()).toBeGreaterThan(2 * filled)
  expect(most).toBeLessThanOrEqual(ON_THE_WAY_MAX)
  // The bound is one: it is nearly reached where a sink stands still, and polls are no longer small.
  expect(given() - taken()).toBeGreaterThan(ON_THE_WAY_MAX / 4)
}, 60_000)
