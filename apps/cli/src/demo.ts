/**
 * `npm run demo`: a fleet without any server. A job-manager with the transactional log and the metadata in its process,
 * two task-managers, generated payments; one task-manager is killed on the way, and an outside recount says what it cost.
 */
import { LogClient, type PaymentsOptions } from '@weir/connectors'
import { WeirError, asWeirError } from '@weir/model'
import { JobsClient } from '@weir/wire'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bundleJob } from './bundle.ts'
import { Recounter } from './demo-recount.ts'
import { startProcess, stopProcess, type FleetProcess } from './fleet.ts'
import { failed, submit } from './submit.ts'

const JOB = fileURLToPath(new URL('../../examples/src/02-payments.ts', import.meta.url))
const TOPICS = { sums: 'payment-sums', counts: 'payment-counts' }
const JOB_ID = 'payments'
const STATUS_MS = 500
const KILL_AFTER_MS = 15_000
const USERS = 1_000

interface View {
  readonly state: string
  readonly recordsIn: number
  readonly finalEpoch: number
  readonly restarts: number
  readonly lastRecoveryMs: number | null
  readonly error: { readonly code: string; readonly message: string } | null
}

const USAGE = `npm run demo [-- OPTIONS]: a live job on a fleet of its own, which kills one of its own processes and counts what that cost; Ctrl-C ends it

  --rate N       generated payments per second; default 20000
  --records N    as many in all; default: until Ctrl-C
  --exit         ends when all records are counted, instead of leaving its dashboard up`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      records: { type: 'string' },
      rate: { type: 'string', default: '20000' },
      exit: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const records = values.records === undefined ? null : whole('--records', values.records)
  const rate = whole('--rate', values.rate)
  // Every split has the same number, so the number of splits divides the records.
  const splits = records === null ? 4 : [4, 3, 2, 1].find((n) => records % n === 0)!
  const dir = await mkdtemp(join(tmpdir(), 'weir-demo-'))
  const running: FleetProcess[] = []
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  process.once('SIGTERM', () => stop.abort())
  try {
    const manager = await startProcess('job-manager', { WEIR_MODE: 'embedded', WEIR_DATA_DIR: join(dir, 'jm') })
    running.push(manager)
    let serial = 0
    const worker = async (): Promise<FleetProcess> => {
      const started = await startProcess('task-manager', {
        WEIR_JOB_MANAGERS: manager.ready.grpc!,
        WEIR_LOG: manager.ready.log!,
        WEIR_OBJECTS_DIR: join(dir, 'jm', 'objects'),
        WEIR_DATA_DIR: join(dir, `tm-${serial++}`),
        WEIR_SLOTS: '4',
      })
      running.push(started)
      return started
    }
    const workers = [await worker(), await worker()]
    const log = new LogClient(manager.ready.log!)
    for (const topic of Object.values(TOPICS)) await log.createTopic(topic, 4)

    const settings: Record<string, string> = { rate: String(rate), splits: String(splits), users: String(USERS) }
    if (records !== null) settings['recordsPerSplit'] = String(records / splits)
    const client = new JobsClient([manager.ready.grpc!], { token: null })
    await submit(client, await bundleJob(JOB, settings), { id: JOB_ID, wait: true })
    client.close()
    console.log(`job ${JOB_ID} runs on two task-managers; look at http://${manager.ready.http}/#/jobs/${JOB_ID}`)
    console.log(
      'results: sums and counts that readers see; lost, duplicates: those an outside recount misses, or finds twice\n',
    )

    const recounter = new Recounter(log, TOPICS)
    const view = await watch({
      url: `http://${manager.ready.http}/api/v1/jobs/${JOB_ID}`,
      recounter,
      stop: stop.signal,
      killAt: (v, ms) => (records === null ? ms >= KILL_AFTER_MS : v.recordsIn >= records / 2),
      async kill() {
        const victim = workers[0]!
        console.log(`\nkill -9 of a task-manager (pid ${victim.child.pid})`)
        victim.child.kill('SIGKILL')
        workers[0] = await worker()
      },
    })
    if (!stop.signal.aborted) await recounter.readOn()
    const options: PaymentsOptions = {
      splits,
      recordsPerSplit: records === null ? null : records / splits,
      users: USERS,
      paidPercent: 80,
      startTs: Date.UTC(2026, 0, 1),
      stepMs: 10,
      seed: 1,
    }
    // Without an end the input cannot be counted against: then gaps and repetitions are told.
    const recount =
      records === null || view.state !== 'FINISHED'
        ? { results: recounter.results, lost: recounter.gaps, duplicates: recounter.duplicates }
        : recounter.against(options)
    log.close()
    const { recordsIn, finalEpoch, restarts, lastRecoveryMs } = view
    const recoveryMs = lastRecoveryMs === null ? null : Math.round(lastRecoveryMs)
    console.log()
    if (!values.exit && !stop.signal.aborted) await keep(stop.signal)
    console.log(
      JSON.stringify({ records: recordsIn, ...recount, checkpoints: finalEpoch, recoveries: restarts, recoveryMs }),
    )
    const complete = records === null || (view.state === 'FINISHED' && recordsIn === records)
    return complete && recount.lost === 0 && recount.duplicates === 0 ? 0 : 1
  } finally {
    for (const p of running.reverse()) await stopProcess(p)
    await rm(dir, { recursive: true, force: true })
  }
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
  const seen = async (): Promise<View> => {
    const view = (await (await fetch(url)).json()) as View
    await recounter.readOn()
    return view
  }
  const startedAt = performance.now()
  let before = { at: startedAt, records: 0 }
  let killed: Promise<void> | null = null
  let last: View | null = null
  let checkpoint = 0
  try {
    for (;;) {
      const view = await seen().catch((thrown: unknown) => {
        if (last !== null && stop.aborted) return last // Ctrl-C ends the fleet's processes too, and they may be quicker
        throw thrown
      })
      last = view
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
