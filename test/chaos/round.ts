/** One round: a bounded job of its own, one fault inside one phase, and the judgement when the job has ended. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { systemClock } from '@weir/runtime/system'
import type { Verdict } from '../checkers/index.ts'
import type { JobAnswer } from '../e2e/fleet.ts'
import { judge } from '../e2e/judge.ts'
import { expectation, orderAt } from '../e2e/orders.ts'
import { INJECT } from './faults.ts'
import type { Round } from './plan.ts'
import { pointOf } from './points.ts'
import type { World } from './world.ts'

const ORDERS = 20_000
const RATE = 2_000
const PARTITIONS = 4
export const jobFile = new URL('chaos.job.ts', import.meta.url).pathname
/** The phase must come by itself within this. */
const HOLD_TIMEOUT_MS = 15_000
/** What was kept back arrives this long after the fault. */
const LATE_MS = 300
const END_TIMEOUT_MS = 60_000

export interface Outcome {
  readonly verdicts: readonly Verdict[]
  /** What the round or scenario demanded beyond the checkers, and did not get. */
  readonly unmet: readonly string[]
  readonly told: string
}

export interface Running {
  readonly jobId: string
  readonly topics: { readonly orders: string; readonly sums: string; readonly counts: string }
  readonly orders: number
}

const run = promisify(execFile)

/** Topics, input and the job. Nothing in here may block: the proxies live in this process. */
export async function runJob(
  world: World,
  name: string,
  parameters: Readonly<Record<string, unknown>> = {},
  input = { orders: ORDERS, rate: RATE },
): Promise<Running> {
  const { fleet } = world
  const jobId = `${name}-${fleet.run}`
  const made = await fleet.topics([`orders-${name}`, `sums-${name}`, `counts-${name}`], PARTITIONS)
  const [orders, sums, counts] = Object.values(made) as [string, string, string]
  await Promise.all(
    Array.from({ length: PARTITIONS }, async (_, p) => {
      const lines: string[] = []
      for (let id = p; id < input.orders; id += PARTITIONS) lines.push(JSON.stringify(orderAt(id)))
      const kcat = run('kcat', ['-b', world.kafka.endpoint, '-P', '-t', orders, '-p', String(p), '-z', 'lz4'])
      kcat.child.stdin!.end(lines.join('\n'))
      await kcat
    }),
  )
  const set = Object.entries({ orders, sums, counts, rate: input.rate, ...parameters }).flatMap(([k, v]) => [
    '--set',
    `${k}=${v}`,
  ])
  const submitted = await fleet.cli('submit', jobFile, '--id', jobId, ...set)
  if (submitted.status !== 0) throw new Error(`not submitted: ${submitted.stderr}`)
  return { jobId, topics: { orders, sums, counts }, orders: input.orders }
}

export async function judgeJob(world: World, { topics, orders, jobId }: Running, unmet: string[]): Promise<Outcome> {
  let end: JobAnswer | null
  try {
    end = await world.fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED', END_TIMEOUT_MS)
  } catch (error) {
    unmet.push((error as Error).message)
    end = await world.fleet.look(jobId)
  }
  const judged = await judge(world.fleet, topics, expectation(orders))
  return {
    verdicts: Object.values(judged).map((checker) => checker.verdict()),
    unmet,
    told:
      end === null
        ? 'no job-manager tells of the job'
        : `${end.finalEpoch} epochs, ${end.restarts} restarts, ${end.healedTransactions} healed`,
  }
}

export async function playRound(world: World, round: Round): Promise<Outcome> {
  const { fleet } = world
  const unmet: string[] = []
  const job = await runJob(world, `round-${round.number}`)
  const { jobId } = job
  const point = pointOf(round.phase, round.pick)
  await fleet.until(jobId, `epoch ${round.epochs}`, (j) => j.finalEpoch >= round.epochs, 30_000)
  const timeout = new AbortController()
  const held = await Promise.race([
    point.hold(world, jobId, round.pick).then(() => true),
    systemClock.sleep(HOLD_TIMEOUT_MS, timeout.signal).then(
      () => false,
      () => false,
    ),
  ])
  timeout.abort()
  if (!held) unmet.push(`${round.phase} (${point.name}) was not reached`)
  const { victim, parted } = await INJECT[round.fault](world, round.pick)
  const at = performance.now()
  const since = (ms: number): Promise<void> => systemClock.sleep(Math.max(0, at + ms - performance.now()))
  await since(LATE_MS)
  for (const toxic of world.toxics) if (!parted.includes(toxic)) toxic.release()
  const again = async (): Promise<void> => {
    const second = world.taskManagers[0]
    if (second) await world.kill(second.process)
  }
  const { awayMs, againAfterMs } = round
  if (againAfterMs !== null && againAfterMs < awayMs) {
    await since(againAfterMs)
    await again()
  }
  await since(awayMs)
  await world.heal()
  if (againAfterMs !== null && againAfterMs >= awayMs) {
    await since(againAfterMs)
    await again()
    await world.heal()
  }
  const outcome = await judgeJob(world, job, unmet)
  return { ...outcome, told: `${point.name}; ${victim} away ${awayMs} ms; ${outcome.told}` }
}
