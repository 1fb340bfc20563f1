/**
 * Checkpoints that are cut at an event time, on a real fleet: two partitions whose event time runs at different speeds. At every
 * epoch the state holds what happened before its T and nothing else, also when a process is killed; an outside reader sees
 * every output once. And a source that is too slow: the epoch times out, says for whom it had waited, and the circuit opens.
 */
import { systemClock } from '@weir/runtime/system'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from './fleet.ts'
import type { Tick } from './watermark.job.ts'

const jobFile = new URL('./watermark.job.ts', import.meta.url).pathname
const START = 1_700_000_000_000
const PARTITIONS = 2
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

const lineOf = (tick: Tick): string => JSON.stringify(tick)
function produce(topic: string, ticks: readonly Tick[]): void {
  fleet.produce(topic, ticks.map(lineOf), PARTITIONS, (line) => Number((JSON.parse(line) as Tick).partition.slice(1)))
}
/** As REST shows a state, or why it does not. */
interface Stored {
  readonly code?: string
  readonly entries?: readonly { readonly key: string; readonly value: { readonly count: number } }[]
}
const submit = async (jobId: string, values: Record<string, unknown>): Promise<void> => {
  const set = Object.entries(values).flatMap(([name, value]) => ['--set', `${name}=${String(value)}`])
  expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')
}

/** ms of event time between two records of a partition. */
const STEPS = [10, 25]
const PER_PARTITION = 20_000
const RATE = 2_000
/** The newest ones. */
const EPOCHS_READ = 12

test('every epoch holds exactly what happened before its T; exactly once under kill -9', async () => {
  const jobId = `watermark-${fleet.run}`
  const { ticks, seen } = (await fleet.topics(['ticks', 'seen'], PARTITIONS)) as { ticks: string; seen: string }
  const timesOf = (p: number): number[] => Array.from({ length: PER_PARTITION }, (_, i) => START + i * STEPS[p]!)
  produce(
    ticks,
    STEPS.flatMap((_, p) => timesOf(p).map((ts) => ({ partition: `p${p}`, ts }))),
  )
  await submit(jobId, { ticks, seen, rate: RATE, cutBoundMs: 120_000 })
  await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
  await fleet.kill(fleet.workers[0]!)
  await fleet.addWorker()
  const all = await fleet.until(jobId, 'all to be read', (j) => j.recordsIn === STEPS.length * PER_PARTITION)
  await fleet.until(jobId, 'two epochs behind it', (j) => j.finalEpoch >= all.publishedEpoch + 2)

  const isRead = (p: number, { idle, passed }: { idle: readonly string[]; passed: readonly string[] }): boolean =>
    ![...idle, ...passed].includes(`ticks/${p}`)
  const cuts = (await fleet.checkpoints(jobId))
    .filter((c) => c.status === 'final' && c.cut.mode === 'watermark' && STEPS.some((_, p) => isRead(p, c.cut)))
    .slice(0, EPOCHS_READ)
  expect(cuts.length, JSON.stringify(cuts)).toBeGreaterThanOrEqual(3)
  const state = `http://${(await fleet.leader()).ready.http}/api/v1/jobs/${jobId}/state/count/accumulator`
  let exact = 0
  for (const { epoch, cut } of cuts) {
    const answer = (await (await fetch(`${state}?at=${epoch}`)).json()) as Stored
    // The job goes on, and has let it go since it was listed.
    if (/^STATE_EPOCH_(UNKNOWN|GONE)$/.test(answer.code ?? '')) continue
    for (const [p] of STEPS.entries()) {
      if (cut.mode !== 'watermark' || !isRead(p, cut)) continue
      const count = answer.entries?.find(({ key }) => key === `p${p}`)?.value.count
      const before = timesOf(p).filter((ts) => ts < cut.time).length
      const told = JSON.stringify([answer, ...cuts.map((c) => [c.epoch, c.cut])])
      expect([epoch, p, count], told).toEqual([epoch, p, before])
      exact++
    }
  }
  expect(exact).toBeGreaterThanOrEqual(4)

  expect((await fleet.cli('cancel', jobId)).stderr).toBe('')
  await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  const counts = fleet.read(seen).map(([key, value]) => `${key} ${(value as { count: number }).count}`)
  const expected = STEPS.flatMap((_, p) => timesOf(p).map((_ts, i) => `p${p} ${i + 1}`))
  expect(counts.toSorted()).toEqual(expected.toSorted())
  expect(await fleet.openTransactions(jobId)).toEqual([])
})

test('B2: a source that does not come to T makes the epoch time out; it is named, the circuit opens, and closes when it comes', async () => {
  const jobId = `slow-${fleet.run}`
  const { slow, out } = (await fleet.topics(['slow', 'out'], PARTITIONS)) as { slow: string; out: string }
  const AHEAD_MS = 1_000_000
  let late = 0
  let isOver = false
  /** Both have records all the time, or they would be idle; the event time of the second hardly moves. */
  const trickle = async (): Promise<void> => {
    for (let n = 1; !isOver; n++) {
      const messages = [AHEAD_MS, late].map((more, partition) => {
        return { partition, value: lineOf({ partition: `p${partition}`, ts: START + more + n }) }
      })
      await producer.send({ topic: slow, messages })
      await systemClock.sleep(100)
    }
  }
  // Stays connected: a process for every record is slower than that on a busy machine.
  const producer = new Kafka({ brokers: [fleet.servers.kafka], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  const trickling = trickle()
  try {
    const bounds = { alignTimeoutMs: 1_500, toleratedAborts: 1, cutBoundMs: 2 * AHEAD_MS }
    await submit(jobId, { ticks: slow, seen: out, rate: RATE, ...bounds })
    const job = await fleet.until(jobId, 'an open circuit', ({ circuit }) => circuit.state === 'open')
    expect(job.degraded).toBe(true)
    expect(job.alerts.map((a) => a.code)).toContain('CHECKPOINTS_FAILING')
    const givenUp = (await fleet.checkpoints(jobId)).filter((c) => c.status === 'given-up' && c.late.length > 0)
    const inputs = givenUp.flatMap((c) => c.late.flatMap((of) => of.inputs))
    expect(inputs).toContainEqual({ cause: 'barrier', stage: 'by-partition', from: 'ticks', fromSubtask: 1 })
    expect(inputs).toContainEqual({ cause: 'cut', stage: 'ticks' })

    // Its trial waits for no event time: output goes on. From now on the sources meet.
    late = AHEAD_MS
    const [newest] = await fleet.checkpoints(jobId)
    const cutAt = async (): Promise<number> =>
      (await fleet.checkpoints(jobId)).find((c) => c.status === 'final' && c.cut.mode === 'watermark')?.epoch ?? 0
    await expect.poll(cutAt).toBeGreaterThan(newest!.epoch)
    const closed = await fleet.until(jobId, 'a closed circuit', ({ circuit }) => circuit.state === 'closed')
    expect(closed.alerts.map((a) => a.code)).not.toContain('CHECKPOINTS_FAILING')
    expect((await fleet.cli('cancel', jobId)).stderr).toBe('')
  } finally {
    isOver = true
    await trickling
    await producer.disconnect()
  }
  await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  expect(await fleet.openTransactions(jobId)).toEqual([])
})
