/**
 * One seed of a job that ends before its input does: cancelled at some moment, under the same faults, or failed because a
 * lost transaction is not to be healed. Judged is what it leaves behind.
 */
import type { Head, Manifest } from '@weir/checkpoint'
import { defaultSettings, poolGroup, type SinkState } from '@weir/dataflow'
import type { SinkOutcome } from '@weir/job'
import { InOrder, NoDuplicate, StuckReader, broken } from '../checkers/index.ts'
import { climateOf } from './climate.ts'
import { Faults } from './faults.ts'
import { Fleet, JOB } from './fleet.ts'
import { IN, OUT, PARALLELISM, jobOf, recordAt, type Sum } from './job.ts'
import { Chance, World } from './world.ts'

const RECORDS = 400
const DEADLINE_MS = 900_000
const CANCEL_AGAIN_MS = 500
const POLL_MS = 0.25
const POLLS_MAX = 6_000

export interface Ending {
  readonly violations: readonly string[]
  readonly state: string
  readonly outcomes: readonly string[]
  /** Transactions that were ended by the reaper. */
  readonly reaped: number
  /** Sink subtasks that were settled after the end. */
  readonly settled: number
  readonly trace: readonly string[]
}

export async function simulateEnding(seed: number, options: { trace?: boolean } = {}): Promise<Ending> {
  const world = new World(seed, options.trace ?? false)
  const chance = new Chance(seed, 4)
  const alignTimeoutMs = chance.pick([800, 2_000])
  const toleratedAborts = chance.pick([1, 2])
  const intervalMs = chance.pick([300, 600])
  const needed = (toleratedAborts + 1) * (intervalMs + alignTimeoutMs) + 3_000
  const settings = {
    ...defaultSettings,
    parallelism: PARALLELISM,
    maxParallelism: 16,
    checkpoint: {
      ...defaultSettings.checkpoint,
      intervalMs,
      everyRecords: null,
      minPauseMs: 0,
      alignTimeoutMs,
      toleratedAborts,
    },
    transactionTimeoutMs: chance.pick([needed, 25_000]),
    recoveryBudgetMs: 3_000,
    restart: { attempts: 1_000, delayMs: 100 },
  }
  const { plan, graphHash } = jobOf(settings, 10, chance.is(0.4) ? 'fail' : 'heal')
  const fleet = new Fleet(world, plan, graphHash, { managers: 2, workers: 3 })
  const untilMs = chance.between(4_000, 15_000)
  const climate = climateOf(seed * 4)
  const weights = { ...climate.weights, restore: 0 }
  const faults = new Faults(fleet, { ...climate, weights, untilMs, everyMs: chance.pick([300, 600, 1_000]) })
  feed(fleet)
  cancelOnce(fleet, chance, untilMs)
  const late = chance.is(0.3) ? chance.between(0, settings.transactionTimeoutMs) : null
  const died = (error: unknown): void => world.found('Unhandled', (error as Error).stack ?? String(error))
  process.on('unhandledRejection', died)
  try {
    let endedAt: number | null = null
    await world.run(DEADLINE_MS, () => {
      const { ended } = fleet.jobRecord()
      if (ended !== null && endedAt === null) {
        endedAt = world.now
        if (late !== null) world.after(late, () => openLate(fleet, chance, settings.transactionTimeoutMs))
      }
      // The broker has ended by itself what was open at the end; what was opened since is what is looked for.
      const expired = endedAt !== null && world.now >= endedAt + settings.transactionTimeoutMs
      return faults.over && expired && ended?.ledger === 'closed'
    })
  } finally {
    process.off('unhandledRejection', died)
  }
  judge(fleet)
  const { ended } = fleet.jobRecord()
  const outcomes = (ended?.outcomes ?? []) as readonly SinkOutcome[]
  const traced = (pattern: RegExp): number => world.traceLines.filter((line) => pattern.test(line)).length
  return {
    violations: world.findings,
    state: ended?.state ?? 'not ended',
    outcomes: outcomes.map((o) => o.state),
    reaped: traced(/weir:ledger:ended .*"done","by":"reaper"/),
    settled: traced(/janitor settle/),
    trace: world.traceLines,
  }
}

function feed({ kafka }: Fleet): void {
  kafka.createTopic(IN, PARALLELISM)
  kafka.createTopic(OUT, 3)
  for (let id = 0; id < RECORDS; id++) {
    const { key } = recordAt(id)
    const value = Buffer.from(JSON.stringify(recordAt(id)))
    kafka.feed(IN, id % PARALLELISM, [{ key: Buffer.from(key), value, timestamp: 1_750_000_000_000 + id }])
  }
}

/** A user who asks until somebody has heard it: half of them at any moment, half of them between a publish and its commits. */
function cancelOnce(fleet: Fleet, chance: Chance, untilMs: number): void {
  const { world } = fleet
  const cancel = (): void => {
    const { desired, ended } = fleet.jobRecord()
    if (desired === 'cancelled' || ended !== null) return
    for (const manager of fleet.jobManagers) manager?.cancel(JOB)
    world.after(CANCEL_AGAIN_MS, cancel)
  }
  world.at(chance.between(1_500, untilMs), () => {
    const heads = publishes(fleet)
    const wait = chance.is(0.5) ? POLLS_MAX : 0
    const strike = (polls: number): void => {
      if (polls < wait && publishes(fleet) === heads) return world.after(POLL_MS, () => strike(polls + 1))
      surprise(fleet, chance)
      cancel()
    }
    strike(0)
  })
}

const publishes = (fleet: Fleet): number => fleet.etcd.history.filter(({ key }) => key.includes('/heads/')).length

/** A recovery that was replaced long ago, comes now, and dies in it: its InitProducerId asks for no epoch. */
function openLate({ kafka, world }: Fleet, chance: Chance, timeoutMs: number): void {
  const id = `${poolGroup(JOB, 'out', chance.pick([0, 1]))}.${chance.pick([0, 1])}`
  const by = kafka.initProducerId(id, timeoutMs, null)
  const value = Buffer.from('{}')
  if (by.errorCode !== 0) return
  kafka.produce(id, by, { topic: OUT, partition: 0, sequence: 0 }, [{ key: null, value, timestamp: 0 }])
  world.trace(`LATE ${id} ${by.pid}/${by.epoch}`)
}

/** What makes an end hard: nobody is there to settle, or who was replaced wakes up behind it. */
function surprise(fleet: Fleet, chance: Chance): void {
  const { world, kafka, taskManagers } = fleet
  const kind = chance.pick(['none', 'gone', 'gone', 'expired', 'frozen', 'frozen'])
  const awayMs = chance.between(500, 20_000)
  world.trace(`SURPRISE ${kind}`)
  for (const [i, manager] of taskManagers.entries()) {
    if (manager === null || manager.process.standing !== 'up') continue
    switch (kind) {
      case 'gone':
      case 'expired':
        manager.process.kill()
        world.after(awayMs * chance.between(1, 1.2), () => fleet.startTaskManager(i))
        break
      case 'frozen':
        if (chance.is(0.5)) continue
        manager.process.freeze()
        world.after(awayMs, () => manager.process.thaw())
    }
  }
  if (kind === 'expired') world.trace(`expired ${kafka.expire(0)}`)
}

function judge(fleet: Fleet): void {
  const { world, kafka } = fleet
  const { ended } = fleet.jobRecord()
  if (ended?.ledger !== 'closed') return world.found('Liveness', `the ledger of the job is ${ended?.ledger ?? 'open'}`)
  const outcomes = ended.outcomes as readonly SinkOutcome[]

  // Nothing is open, nobody waits.
  for (const { transactionalId, pid, epoch } of kafka.openTransactions())
    world.found('Open', `${transactionalId} ${pid}/${epoch} is open behind a job that is ${ended.state}`)
  const [stuck, twice, order] = [new StuckReader(), new NoDuplicate(everyOutput()), new InOrder()]
  for (let p = 0; p < kafka.partitionCount(OUT); p++) {
    stuck.saw(`${OUT}-${p}`, BigInt(kafka.stableOffset(OUT, p)), BigInt(kafka.endOffset(OUT, p)))
    for (const batch of kafka.batches(OUT, p, 0, true)) {
      if (batch.records === null || kafka.isAborted(OUT, p, batch)) continue
      for (const { value } of batch.records) {
        const { key, count, id } = JSON.parse(value!.toString('utf8')) as Sum
        twice.saw(`record ${id}`)
        order.saw(key, count)
      }
    }
  }
  const lost = outcomes.some((o) => o.state !== 'CLEAN' && o.state !== 'HEALED')
  // Behind a transaction that is lost for good (and the job has failed for it) the order has a hole.
  for (const found of broken(stuck, twice, ...(lost ? [] : [order]))) world.findings.push(found)

  // Whatever is published is committed, or known to be lost.
  for (const { subtask, sinks } of published(fleet)?.subtasks ?? []) {
    for (const [sink, state] of Object.entries(sinks)) {
      const { sequence, handles } = state as SinkState
      const outcome = outcomes.find((o) => o.sink === sink && o.subtask === subtask)
      const marker = kafka.offsetFetch(poolGroup(JOB, sink, subtask), false).offset ?? 0
      const known = outcome !== undefined && outcome.state !== 'CLEAN' && outcome.state !== 'HEALED'
      if (marker < sequence && handles.length > 0 && !known)
        world.found('Published', `${sink} ${subtask}: transaction ${sequence} is published, ${marker} are committed`)
    }
  }
  if (outcomes.some((o) => o.state === 'UNSETTLED')) world.found('Outcome', 'closed, and a sink subtask is unsettled')
}

const everyOutput = (): Set<string> => new Set(Array.from({ length: RECORDS }, (_, id) => `record ${id}`))

/** The highest epoch any arbiter has taken. */
function published(fleet: Fleet): Manifest | null {
  const refs = fleet.s3.heads.flatMap(({ body }) => (JSON.parse(body) as Head).manifest ?? [])
  const ref = refs.sort((a, b) => a.epoch - b.epoch).at(-1)
  const object = ref && fleet.s3.get(ref.key)
  return object ? (JSON.parse(Buffer.from(object.bytes).toString('utf8')) as Manifest) : null
}
