/** The named cases: long outages and zombies, each with what it demands beyond "nothing lost, nothing twice". */
import { Etcd3 } from 'etcd3'
import { systemClock } from '@weir/runtime/system'
import { pointOf } from './points.ts'
import { judgeJob, runJob, type Outcome, type Running } from './round.ts'
import type { World } from './world.ts'

const ETCD_AWAY_MS = 60_000
const S3_AWAY_MS = 30_000
const KAFKA_AWAY_MS = 60_000
const FROZEN_MS = 30_000
const PARTED_MS = 10_000
/** Four processes, each with a successor and two epochs behind it. */
const ROLLING_MS = 40_000
/** Records per second where an outage is long. */
const SLOW = 500
/** An outage of minutes inside one epoch. */
const PATIENT = { alignTimeoutMs: 90_000, transactionTimeoutMs: 600_000 }

type Scenario = (world: World) => Promise<Outcome>

/** Runs a job, breaks something when it has its third final epoch, brings all back and judges. */
const scenario =
  (
    name: string,
    input: { orders: number; rate: number },
    parameters: Readonly<Record<string, unknown>>,
    play: (world: World, job: Running, demand: (holds: boolean, otherwise: string) => void) => Promise<void>,
  ): Scenario =>
  async (world) => {
    const unmet: string[] = []
    const job = await runJob(world, name, parameters, input)
    await world.fleet.until(job.jobId, 'the third epoch', (j) => j.finalEpoch >= 3, 30_000)
    await play(world, job, (holds, otherwise) => void (holds || unmet.push(otherwise)))
    await world.heal()
    return judgeJob(world, job, unmet)
  }
/** Enough input to be running all the time. */
const lasting = (ms: number): { orders: number; rate: number } => ({
  orders: ((ms + 15_000) / 1_000) * SLOW,
  rate: SLOW,
})

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'expired-transaction': scenario(
    'expired',
    { orders: 24_000, rate: 3_000 },
    { alignTimeoutMs: 2_500, toleratedAborts: 0, recoveryBudgetMs: 3_000, transactionTimeoutMs: 6_000 },
    async (world, { jobId }, demand) => {
      const { fleet } = world
      // etcd has the epoch, head.json gets it, nobody is left to commit.
      await pointOf('publish', 'head.json').hold(world, jobId, 0)
      await Promise.all([...world.jobManagers, ...world.taskManagers].map((p) => world.kill(p.process)))
      for (const toxic of world.toxics) toxic.release()
      demand((await fleet.openTransactions(jobId)).length > 0, 'no transaction was open when all were dead')
      while ((await fleet.openTransactions(jobId)).length > 0) await systemClock.sleep(200)
      await world.heal()
      const end = await fleet.until(jobId, 'healing', (j) => j.healedTransactions > 0 || j.state === 'FINISHED', 60_000)
      demand(end.healedTransactions > 0, 'nothing was healed')
    },
  ),

  'etcd-down': scenario('etcd-down', lasting(ETCD_AWAY_MS), {}, async (world, { jobId }, demand) => {
    const { fleet } = world
    const leader = await world.leader()
    const before = await fleet.job(jobId)
    await world.etcd.kill()
    const deadline = performance.now() + ETCD_AWAY_MS
    let leaders = 1
    while (performance.now() < deadline) {
      const leading = await Promise.all(
        world.jobManagers.map(async (m) => (await fleet.health<{ leading: boolean }>(m.process))?.leading === true),
      )
      leaders = Math.max(leaders, leading.filter(Boolean).length)
      await systemClock.sleep(500)
    }
    const away = await fleet.job(jobId)
    const epochs = away.finalEpoch - before.finalEpoch
    // One every 400 ms and a little; a third of that is demanded.
    demand(epochs >= ETCD_AWAY_MS / 1_200, `only ${epochs} epochs became final while etcd was away`)
    demand(away.restarts === before.restarts, `${away.restarts - before.restarts} restarts while etcd was away`)
    demand(leaders === 1, `${leaders} job-managers led at once`)
    demand((await world.leader()) === leader, 'another one leads')
    await world.etcd.start()
    const whole = await fleet.until(jobId, 'reconciliation', (j) => j.alerts.length === 0, 20_000)
    const etcd = new Etcd3({ hosts: `http://${world.etcd.endpoint}` })
    const head = JSON.parse((await etcd.get(`/weir/${fleet.cluster}/heads/${jobId}`).string()) ?? '{}') as {
      epoch: number
    }
    etcd.close()
    demand(head.epoch >= whole.finalEpoch, `etcd has epoch ${head.epoch}, final is ${whole.finalEpoch}`)
  }),

  's3-down': scenario('s3-down', lasting(S3_AWAY_MS), PATIENT, async (world, { jobId }, demand) => {
    const { fleet } = world
    await world.s3.kill()
    await systemClock.sleep(1_000)
    const before = await fleet.job(jobId)
    await systemClock.sleep(S3_AWAY_MS - 1_000)
    const away = await fleet.job(jobId)
    demand(away.state === 'RUNNING', `the job is ${away.state} while the object store is away`)
    demand(away.recordsIn > before.recordsIn, 'nothing was read while the object store was away')
    await world.s3.start()
    const after = await fleet.until(jobId, 'two epochs more', (j) => j.finalEpoch >= away.finalEpoch + 2, 30_000)
    demand(after.restarts === before.restarts, `${after.restarts - before.restarts} restarts`)
  }),

  'kafka-down': scenario('kafka-down', lasting(0), PATIENT, async (world, { jobId }, demand) => {
    const { fleet } = world
    await world.kafka.kill()
    await systemClock.sleep(KAFKA_AWAY_MS)
    const away = await fleet.job(jobId)
    demand(away.state !== 'FAILED', `the job failed while Kafka was away: ${away.error?.message}`)
    await world.kafka.start()
    await fleet.until(jobId, 'two epochs more', (j) => j.finalEpoch >= away.finalEpoch + 2, 60_000)
  }),

  'zombie-task-manager': scenario('zombie-tm', lasting(FROZEN_MS), {}, async (world, { jobId }, demand) => {
    const { fleet } = world
    const frozen = world.taskManagers[0]!
    const name = await world.idOf(frozen)
    await pointOf('commit', 'EndTxn').hold(world, jobId, 0)
    frozen.process.child.kill('SIGSTOP')
    for (const toxic of world.toxics) toxic.release()
    const before = await fleet.until(
      jobId,
      'recovery elsewhere',
      (j) => j.restarts > 0 && j.state === 'RUNNING',
      30_000,
    )
    await systemClock.sleep(FROZEN_MS)
    frozen.process.child.kill('SIGCONT')
    while ((await world.idOf(frozen)) === name) await systemClock.sleep(50)
    const after = await fleet.until(jobId, 'two epochs more', (j) => j.finalEpoch >= before.finalEpoch + 2, 30_000)
    demand(after.restarts === 1, `${after.restarts} restarts: the zombie broke the job again`)
  }),

  'zombie-job-manager': scenario('zombie-jm', lasting(PARTED_MS), {}, async (world, { jobId }, demand) => {
    const { fleet } = world
    const { generation } = await fleet.job(jobId)
    const old = await world.leader()
    await pointOf('publish', 'etcd').hold(world, jobId, 0)
    old.process.child.kill('SIGSTOP')
    const next = await fleet.until(
      jobId,
      'an epoch of the next leader',
      (j) => j.generation > generation && j.finalEpoch > 3,
      30_000,
    )
    for (const toxic of world.toxics) toxic.release() // the publish of the frozen one arrives
    old.process.child.kill('SIGCONT')
    while ((await fleet.health<{ leading: boolean }>(old.process))?.leading !== false) await systemClock.sleep(50)
    const after = await fleet.until(jobId, 'two epochs more', (j) => j.finalEpoch >= next.finalEpoch + 2, 30_000)
    demand(after.generation === next.generation, `generation ${after.generation} after ${next.generation}`)
  }),

  /** An upgrade as an orchestrator does it: SIGTERM and a successor, one process after the other. */
  'rolling-restart': scenario('rolling', lasting(ROLLING_MS), {}, async (world, { jobId }, demand) => {
    const { fleet } = world
    const old = [...world.taskManagers, ...world.jobManagers]
    for (const { process } of old) {
      const before = await fleet.until(jobId, 'the job', (j) => j.state === 'RUNNING', 30_000)
      const leads = (await fleet.health<{ leading?: boolean }>(process))?.leading === true
      const ended = await world.replace(process)
      demand(ended === 0, `a process that was asked to go ended with ${ended}`)
      const after = await fleet.until(jobId, 'two epochs more', (j) => j.finalEpoch >= before.finalEpoch + 2, 30_000)
      demand(leads || after.generation === before.generation, 'the generation rose though the leader stayed')
    }
    const { slices } = await fleet.job(jobId)
    const there = await Promise.all(world.taskManagers.map((t) => world.idOf(t)))
    demand(
      slices.every(({ taskManagerId }) => there.includes(taskManagerId)),
      'slices run on a process that is gone',
    )
  }),

  /** The leader cut off from etcd, a task-manager cut off from the leader; another one may win, and then all are back. */
  partition: scenario('partition', lasting(PARTED_MS), {}, async (world, { jobId }, demand) => {
    const { fleet } = world
    const leader = await world.leader()
    const parted = world.taskManagers[1]!
    const name = await world.idOf(parted)
    leader.etcd.part()
    for (const toxic of world.control) toxic.part(name)
    await systemClock.sleep(PARTED_MS)
    await world.heal()
    const back = await world.idOf(parted)
    demand(back !== name, `the task-manager still goes by ${name}`)
    await fleet.until(jobId, 'the job', (j) => j.state === 'RUNNING' || j.state === 'FINISHED', 30_000)
    const leading = await Promise.all(
      world.jobManagers.map(async (m) => (await fleet.health<{ leading: boolean }>(m.process))?.leading === true),
    )
    demand(leading.filter(Boolean).length === 1, `${leading.filter(Boolean).length} job-managers lead`)
  }),
}
