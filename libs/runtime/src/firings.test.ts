/** A window with very many keys ends: what is on the way stays bounded, and a barrier is before or behind all of it. */
import { FIRING_PART_MAX, defaultSettings, planJob, type GraphNode } from '@weir/dataflow'
import { attempt, epoch, generation, jobId, operatorUid, subtask, type CheckpointId } from '@weir/model'
import { systemClock } from './system/index.ts'
import { afterEach, expect, test } from 'vitest'
import { CHANNEL_CREDITS } from './channel.ts'
import { chainOf, node } from './fixture.ts'
import { FRAME_BYTES_MAX } from './frame-size.ts'
import { FRAME_RECORDS_MAX } from './partitioner.ts'
import { Slice } from './slice.ts'
import type { SliceOptions } from './slice-ports.ts'
import type { SliceReport } from './slice-report.ts'
import { StandingSink } from './standing.fixture.ts'
import {
  MemoryExchange,
  MemoryInFlightStore,
  MemoryLogSource,
  MemoryStateStore,
  MemoryTopic,
  type MemoryRecord,
} from './testing/index.ts'

const SLICES = 2
const KEYS = 60_000
const WINDOW_MS = 10_000

const running: Slice[] = []
const sinks: StandingSink[] = []
afterEach(async () => {
  for (const sink of sinks.splice(0)) sink.open()
  await Promise.all(running.splice(0).map((slice) => slice.stop('leave')))
})

/** Per split half of the keys, once each, and then what ends their window. */
const inputOf = (split: number): MemoryRecord[] => {
  const keys = Array.from({ length: KEYS / SLICES }, (_, i): MemoryRecord => {
    return { value: i * SLICES + split, ts: i % 100 }
  })
  return [...keys, { value: -1 - split, ts: WINDOW_MS }]
}

/** The newest value of a key. */
const newest = { initial: 0, add: (_: unknown, value: unknown) => value }
const window = { ...node.count('newest', WINDOW_MS), aggregate: newest } as GraphNode
const byValue = node.keyBy(String)
const bySource: GraphNode = { kind: 'keyedBySource', uid: operatorUid('by-source'), key: String }
const again: GraphNode[] = [
  { kind: 'keyBy', uid: operatorUid('again'), key: (result) => (result as { value: number }).value % 1_000 },
  { kind: 'reduce', uid: operatorUid('passed'), initial: 0, reduce: (_, value) => value },
]

interface StartOptions extends Pick<SliceOptions, 'inFlightBytesMax'> {
  readonly unaligned: boolean
}

async function start(keyed: GraphNode, behind: readonly GraphNode[], { unaligned, ...options }: StartOptions) {
  /** Results that have left the window. */
  let fired = 0
  const counted: GraphNode = {
    ...{ kind: 'map', uid: operatorUid('counted') },
    map: (value) => {
      fired++
      return value
    },
  }
  const nodes = [node.source(0), keyed, window, counted, ...behind, node.sink('out')]
  const checkpoint = { ...defaultSettings.checkpoint, unaligned }
  const plan = planJob(chainOf(nodes, { parallelism: SLICES, checkpoint }))
  const exchange = new MemoryExchange()
  const reports: SliceReport[] = []
  const topics = Array.from({ length: SLICES }, () => new MemoryTopic())
  const run = { generation: generation(1), attempt: attempt(1) }
  const slices = topics.map((topic, i) => {
    const slice = new Slice(
      { jobId: jobId('fires'), attempt: run, subtask: subtask(i), plan, freeze: false, ...options },
      {
        clock: systemClock,
        exchange,
        createSource: () => new MemoryLogSource([inputOf(i)], 2_000),
        createSink: () => (sinks[i] = new StandingSink(topic)),
        createContinuousSink: () => expect.unreachable(),
        openState: (stage) => Promise.resolve(new MemoryStateStore(new Map(), `slice-${i}-stage-${stage}`)),
        inFlight: new MemoryInFlightStore(new Map(), String(i)),
        report: (report) => void reports.push(report),
        turn: () => new Promise((resolve) => setImmediate(resolve)),
      },
    )
    running.push(slice)
    return slice
  })
  for (const slice of slices) await slice.recover(null)
  const peers = slices.map((_, i) => ({ subtask: subtask(i), taskManagerId: 'tm', exchangeAddress: '' }))
  await Promise.all(slices.map((slice) => slice.run(peers)))
  const acks = (): number => reports.filter(({ type }) => type === 'ack').length
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) {
      expect(reports.filter(({ type }) => type === 'failed')).toEqual([])
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const id: CheckpointId = { ...run, epoch: epoch(1) }
  const prepared = (): unknown[] =>
    topics.flatMap((topic) => [...topic.prepared.values()].flatMap(({ batches }) => batches.flatMap((b) => b.values)))
  /** For many turns nothing has left the window. */
  const standsStill = async (): Promise<number> => {
    for (let before = -1, turns = 0; turns < 200; turns++) {
      if (fired === 0 || fired !== before) turns = 0
      before = fired
      let turned = false
      setImmediate(() => (turned = true))
      await until(() => turned)
    }
    return fired
  }
  return { acks, prepared, standsStill, until, trigger: () => slices.forEach((slice) => slice.trigger(id)) }
}

/** Results that have left windows and that no sink has taken. */
const parts = SLICES * FIRING_PART_MAX
const exchanged = SLICES * SLICES * (CHANNEL_CREDITS + 1) * FRAME_RECORDS_MAX

test.each([
  ['sink, behind an exchange,', byValue, [], parts],
  ['sink, in the chain of a split,', bySource, [], parts],
  ['stage, whose sink does not take anything,', byValue, again, exchanged + 2 * parts],
])(
  'in front of a %s a window that ends puts out as much as there is room for, and the barrier waits for all of it',
  async (_, keyed, others, onTheWayMax) => {
    const { acks, prepared, standsStill, until, trigger } = await start(keyed, others, { unaligned: false })
    const filled = await standsStill()
    expect(filled).toBeGreaterThanOrEqual(onTheWayMax / 4)
    expect(filled).toBeLessThanOrEqual(onTheWayMax)
    trigger()
    expect(await standsStill()).toBe(filled)
    expect(acks()).toBe(0)
    for (const sink of sinks) sink.open()
    await until(() => acks() === SLICES)
    const values = prepared().map((result) => (result as { value: number }).value)
    // What has ended the window is of the next one, which may end behind the barrier.
    expect(values.filter((value) => value >= 0).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: KEYS }, (_, i) => i),
    )
  },
  60_000,
)

test.each([
  [32 * 1024 * 1024, 'all that may be stored with it is put out', KEYS],
  [4 * FRAME_BYTES_MAX, 'no more is put out than may be stored with it', exchanged + 4 * parts],
])(
  'in front of a barrier that overtakes and may store %i bytes, %s',
  async (inFlightBytesMax, _, most) => {
    const { standsStill, trigger } = await start(byValue, again, { unaligned: true, inFlightBytesMax })
    const filled = await standsStill()
    trigger()
    const ahead = await standsStill()
    expect(ahead).toBeGreaterThan(filled)
    expect(ahead).toBeLessThanOrEqual(most)
    if (most === KEYS) expect(ahead).toBe(KEYS)
  },
  60_000,
)
