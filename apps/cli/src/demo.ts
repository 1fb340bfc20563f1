/**
 * `npm run demo`: a fleet without any server. A job-manager with the transactional log and the metadata in its process,
 * two task-managers, generated payments; one task-manager is killed on the way, and an outside recount says what it cost.
 */
import { LogClient } from '@weir/connectors'
import type { JobView } from '@weir/job'
import { WeirError, asWeirError } from '@weir/model'
import { JobsClient } from '@weir/wire'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bundleJob } from './bundle.ts'
import { Recounter } from './demo-recount.ts'
import { EmbeddedFleet } from './embedded-fleet.ts'
import { failed, submit } from './submit.ts'

const JOB = fileURLToPath(new URL('../../examples/src/02-payments.ts', import.meta.url))
const TOPICS = { sums: 'payment-sums', counts: 'payment-counts' }
const JOB_ID = 'payments'
const STATUS_MS = 500
const KILL_AFTER_MS = 15_000
const USERS = 1_000
/** As the job generates them. */
const PAYMENTS = { users: USERS, paidPercent: 80, startTs: Date.UTC(2026, 0, 1), stepMs: 10, seed: 1 }

type View = Pick<JobView, 'state' | 'recordsIn' | 'finalEpoch' | 'restarts' | 'lastRecoveryMs' | 'error'>

const USAGE = `npm run demo [-- OPTIONS]: a live job on a fleet of its own, which kills one of its own processes and counts what that cost; Ctrl-C ends it

  --rate N       generated payments per second; default 20000
  --records N    as many in all; default: until Ctrl-C
  --exit         ends when all records are counted, instead of leaving its dashboard up`

/** What was asked for; `records` null: until Ctrl-C. */
interface Demo {
  readonly records: number | null
  readonly rate: number
  /** Every one has the same number of records. */
  readonly splits: number
  readonly exit: boolean
}

/** Null: how it is used was asked for. */
function demoIn(): Demo | null {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      records: { type: 'string' },
      rate: { type: 'string', default: '20000' },
      exit: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const records = values.records === undefined ? null : whole('--records', values.records)
  const rate = whole('--rate', values.rate)
  const splits = records === null ? 4 : [4, 3, 2, 1].find((n) => records % n === 0)!
  return { records, rate, splits, exit: values.exit }
}

async function main(): Promise<number> {
  const demo = demoIn()
  if (demo === null) {
    console.log(USAGE)
    return 0
  }
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  process.once('SIGTERM', () => stop.abort())
  const fleet = await EmbeddedFleet.start({ taskManagers: 2, slots: 4, freeze: false })
  try {
    return await show(demo, fleet, stop.signal)
  } finally {
    await fleet.stop()
  }
}

/** @returns the exit code: 0 where nothing is missing and nothing there twice. */
async function show({ records, rate, splits, exit }: Demo, fleet: EmbeddedFleet, stop: AbortSignal): Promise<number> {
  const { grpc, http, log: logAddress } = fleet.manager.ready
  const log = new LogClient(logAddress!)
  for (const topic of Object.values(TOPICS)) await log.createTopic(topic, 4)

  const recordsPerSplit = records === null ? null : records / splits
  const settings: Record<string, string> = { rate: String(rate), splits: String(splits), users: String(USERS) }
  if (recordsPerSplit !== null) settings['recordsPerSplit'] = String(recordsPerSplit)
  const client = new JobsClient([grpc!], { token: null })
  await submit(client, await bundleJob(JOB, settings), { id: JOB_ID, wait: true })
  client.close()
  console.log(`job ${JOB_ID} runs on two task-managers; look at http://${http}/#/jobs/${JOB_ID}`)
  console.log(
    'results: sums and counts that readers see; lost, duplicates: those an outside recount misses, or finds twice\n',
  )

  const recounter = new Recounter(log, TOPICS)
  const view = await watch({
    ...{ url: `http://${http}/api/v1/jobs/${JOB_ID}`, recounter, stop },
    killAt: (v, ms) => (records === null ? ms >= KILL_AFTER_MS : v.recordsIn >= records / 2),
    async kill() {
      console.log(`\nkill -9 of a task-manager (pid ${fleet.taskManagers[0]!.child.pid})`)
      await fleet.replace()
    },
  })
  if (!stop.aborted) await recounter.readOn()
  // Without an end the input cannot be counted against: then gaps and repetitions are told.
  const recount =
    records === null || view.state !== 'FINISHED'
      ? { results: recounter.results, lost: recounter.gaps, duplicates: recounter.duplicates }
      : recounter.against({ ...PAYMENTS, splits, recordsPerSplit })
  log.close()
  const { recordsIn, finalEpoch, restarts, lastRecoveryMs } = view
  const recoveryMs = lastRecoveryMs === null ? null : Math.round(lastRecoveryMs)
  console.log()
  if (!exit && !stop.aborted) await keep(stop)
  console.log(
    JSON.stringify({ records: recordsIn, ...recount, checkpoints: finalEpoch, recoveries: restarts, recoveryMs }),
  )
  const complete = records === null || (view.state === 'FINISHED' && recordsIn === records)
  return complete && recount.lost === 0 && recount.duplicates === 0 ? 0 : 1
}

interface Watch {
  readonly url: string
  readonly recounter: Recounter
  readonly stop: AbortSignal
  killAt(view: View, runningMs: number): boolean
  kill(): Promise<void>
}

/** The moving status line, until the job ends or is stopped. @returns the last view. */
async function watch({ url, recounter, stop, killAt, kill }: Watch): Promise<View> {
  const startedAt = performance.now()
  let before = { at: startedAt, records: 0 }
  let killed: Promise<void> | null = null
  let checkpoint = 0
  try {
    for (;;) {
      const view = (await (await fetch(url)).json()) as View
      await recounter.readOn()
      const now = performance.now()
      const rate = Math.round(((view.recordsIn - before.records) / (now - before.at)) * 1_000)
      before = { at: now, records: view.recordsIn }
      checkpoint = Math.max(checkpoint, view.finalEpoch) // a new attempt knows of none before it has claimed
      const line = `${view.state.padEnd(10)} ${view.recordsIn} records  ${Math.max(0, rate)}/s  checkpoint ${checkpoint}  results ${recounter.results}  lost ${recounter.gaps}  duplicates ${recounter.duplicates}`
      process.stdout.write(process.stdout.isTTY ? `\r${line.padEnd(100)}` : `${line}\n`)
      if (view.state === 'FAILED' || view.state === 'CANCELLED') {
        throw failed({ jobId: JOB_ID, state: view.state, error: JSON.stringify(view.error) } as Parameters<
          typeof failed
        >[0])
      }
      if (view.state === 'FINISHED' || stop.aborted) {
        await killed
        return view
      }
      if (killed === null && killAt(view, now - startedAt)) killed = kill()
      await new Promise((resolve) => setTimeout(resolve, killed === null ? STATUS_MS / 4 : STATUS_MS))
    }
  } finally {
    // A successor that is on its way is stopped with the others only when it is there.
    await Promise.allSettled([killed])
  }
}

const keep = (signal: AbortSignal): Promise<void> => {
  console.log('finished; Ctrl-C ends the fleet')
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function whole(option: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new WeirError(
    { code: 'USAGE', kind: 'invalid', option, got: text },
    `${option} ${text}: give a whole number > 0`,
  )
}

try {
  process.exitCode = await main()
} catch (thrown) {
  const error = asWeirError(thrown, 'DEMO_FAILED')
  console.error(`demo: ${error.code}: ${error.message}`)
  process.exitCode = 2
}
