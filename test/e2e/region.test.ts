/**
 * Four subtasks without a shuffle on two task-managers that have two slots each. One is killed, and nobody has a slot for its
 * subtasks until another one joins: meanwhile the other two read on and write on. An outside reader recounts everything.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { broken } from '../checkers/index.ts'
import { Fleet, type JobAnswer } from './fleet.ts'
import { judge } from './judge.ts'
import { expectation, orderAt } from './orders.ts'

const ORDERS = 60_000
const RATE = 1_000
const PARTITIONS = 4
const SLOTS = { WEIR_SLOTS: '2' }
const jobFile = new URL('./by-source.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(async () => {
  await fleet.start({ managers: 1, workers: 0 })
  await fleet.addWorker(SLOTS)
  await fleet.addWorker(SLOTS)
})
afterAll(() => fleet.stop())

/** What a slice of the job is at. */
const sliceOf = (job: JobAnswer, subtask: number) => job.slices.find((slice) => slice.subtask === subtask)!

test.each(['epoch', 'continuous'])(
  'scope %s: a kill -9 restarts the subtasks it hit, the others go on',
  async (scope) => {
    const jobId = `regions-${scope}-${fleet.run}`
    const [orders, sums, counts] = Object.values(
      await fleet.topics(['orders', 'sums', 'counts'].map((topic) => `${scope}-${topic}`)),
    ) as [string, string, string]
    const lines = Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id)))
    fleet.produce(orders, lines, PARTITIONS, (line) => Number(/user-(\d+)/.exec(line)![1]) % PARTITIONS)
    // What the killed one has open holds back every reader of committed output until it is fenced.
    const output = fleet.follow(sums, 'read_uncommitted')
    const set = Object.entries({ orders, sums, counts, rate: RATE, scope }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
    expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')

    const before = await fleet.until(jobId, 'the second epoch', (j) => j.finalEpoch >= 2)
    const victim = fleet.workers[0]!
    const killed = (await fleet.health<{ joined: { id: string } }>(victim))!.joined.id
    const hit = before.slices.filter((s) => s.taskManagerId === killed).map((s) => s.subtask)
    const others = before.slices.map((s) => s.subtask).filter((subtask) => !hit.includes(subtask))
    expect([hit.length, others.length]).toEqual([2, 2])
    await fleet.kill(victim)

    const away = await fleet.until(jobId, 'to wait for slots', (j) => j.error?.code === 'WAITING_FOR_SLOTS')
    expect(away).toMatchObject({ state: 'RUNNING', recovering: hit, restarts: 0, regionRestarts: 0 })
    const awayAt = performance.now()
    const wentOn = (j: JobAnswer): boolean =>
      others.every((s) => sliceOf(j, s).recordsIn > sliceOf(away, s).recordsIn + RATE / PARTITIONS)
    const meanwhile = await fleet.until(jobId, 'the others to read another second long', wentOn)
    await output.next(awayAt)
    expect(meanwhile).toMatchObject({ state: 'RUNNING', recovering: hit })

    await fleet.addWorker(SLOTS)
    const back = await fleet.until(jobId, 'all to be there', (j) => j.recovering.length === 0)
    expect(back).toMatchObject({ state: 'RUNNING', restarts: 0, regionRestarts: 1 })
    for (const s of others) {
      expect(sliceOf(back, s)).toMatchObject({ attempt: 1, taskManagerId: sliceOf(before, s).taskManagerId })
      expect(sliceOf(back, s).recordsIn).toBeGreaterThanOrEqual(sliceOf(meanwhile, s).recordsIn)
    }
    for (const s of hit) expect(sliceOf(back, s).attempt).toBe(2)
    await fleet.until(jobId, 'an epoch of all', (j) => j.finalEpoch > back.finalEpoch)

    await fleet.unlimited(jobId)
    const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
    expect(end).toMatchObject({ restarts: 0, regionRestarts: 1 })
    const judged = await judge(fleet, { sums, counts }, expectation(ORDERS))
    expect(broken(...Object.values(judged))).toEqual([])
    expect(judged.fencing.acts).toBeGreaterThan(10)
    expect(await fleet.openTransactions(jobId)).toEqual([])
  },
)
