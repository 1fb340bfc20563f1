/**
 * What Alertmanager posts changes a running job, is in the audit log, and is taken back when the alert is over. With
 * `WEIR_ALERTMANAGER=PROGRAM` (`npm run check:deploy`) a real one posts the alert of the second test.
 */
import { LogClient } from '@weir/connectors'
import { JobsClient } from '@weir/wire'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleJob } from '../../apps/cli/src/bundle.ts'
import { startProcess, stopProcess, type FleetProcess } from '../../apps/cli/src/fleet.ts'
import { submit } from '../../apps/cli/src/submit.ts'
import { codeIn } from '../../tools/deploy/runbooks.ts'
import { Alertmanager } from '../deploy/alertmanager.ts'

const JOB = new URL('./remediation.job.ts', import.meta.url).pathname
const CLI = new URL('../../apps/cli/dist/main.js', import.meta.url).pathname
const run = promisify(execFile)
const LOOK_MS = 50
const config = {
  actionsPerHour: { job: 10, fleet: 10 },
  policies: [
    {
      alert: 'WeirLatency',
      cooldownSeconds: 600,
      actions: [
        { do: 'degrade', sources: ['payments'], recordsPerSecond: 100 },
        { do: 'rescale', factor: 1.2, max: 5 },
      ],
    },
    { alert: 'WeirJobStandsStill', cooldownSeconds: 600, actions: [{ do: 'restart-region' }] },
  ],
}

let folder: string
let url: string
const processes: FleetProcess[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-remediation-'))
  const file = join(folder, 'remediation.json')
  await writeFile(file, JSON.stringify(config))
  const jm = { WEIR_MODE: 'embedded', WEIR_DATA_DIR: join(folder, 'jm'), WEIR_REMEDIATION: file }
  const manager = await startProcess('job-manager', jm)
  processes.push(manager)
  url = `http://${manager.ready.http}/api/v1`
  const objects = { WEIR_LOG: manager.ready.log!, WEIR_OBJECTS_DIR: join(folder, 'jm', 'objects') }
  const tm = { WEIR_JOB_MANAGERS: manager.ready.grpc!, ...objects, WEIR_DATA_DIR: join(folder, 'tm'), WEIR_SLOTS: '6' }
  processes.push(await startProcess('task-manager', tm))
  const log = new LogClient(manager.ready.log!)
  for (const topic of ['payment-sums', 'payment-counts']) await log.createTopic(topic, 4)
  log.close()
  const client = new JobsClient([manager.ready.grpc!], { token: null })
  await submit(client, await bundleJob(JOB, { rate: '1000', splits: '4', users: '100' }), { id: 'pay', wait: true })
  client.close()
}, 120_000)
afterAll(async () => {
  for (const process of processes.reverse()) await stopProcess(process)
  await rm(folder, { recursive: true, force: true })
}, 60_000)

/** As Alertmanager writes it. */
const payload = (alertname: string, status: 'firing' | 'resolved') => ({
  receiver: 'weir',
  status,
  alerts: [
    {
      status,
      labels: { alertname, job: 'pay', severity: 'warning', slo: 'latency' },
      annotations: { summary: 'Job pay is slow' },
      startsAt: '2026-11-29T10:00:00.000Z',
      endsAt: status === 'firing' ? '0001-01-01T00:00:00Z' : '2026-11-29T10:09:00.000Z',
      generatorURL: 'http://prometheus:9090/graph?g0.expr=up',
      fingerprint: '0f7e5c1d2b3a4958',
    },
  ],
  groupLabels: { alertname, job: 'pay' },
  commonLabels: { alertname, job: 'pay' },
  commonAnnotations: {},
  externalURL: 'http://alertmanager:9093',
  version: '4',
  groupKey: `{}:{alertname="${alertname}", job="pay"}`,
  truncatedAlerts: 0,
})
async function posted(body: object): Promise<{ status: number; body: unknown }> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const answer = await fetch(`${url}/alerts`, init)
  return { status: answer.status, body: await answer.json() }
}
interface Job {
  readonly state: string
  readonly parallelism: number
  readonly restarts: number
  readonly rates: readonly { readonly source: string; readonly recordsPerSecond: number | null }[]
}
const seen = async (): Promise<Job> => (await fetch(`${url}/jobs/pay`)).json() as Promise<Job>
async function until(is: (job: Job) => boolean): Promise<Job> {
  for (;;) {
    const job = await seen()
    if (is(job)) return job
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

test('too slow: what may wait waits and the job is wider; the alert over, it is read as before and stays wide', async () => {
  const [before] = (await seen()).rates
  const of = { alert: 'WeirLatency', jobId: 'pay' }
  expect(await posted(payload('WeirLatency', 'firing'))).toEqual({
    status: 200,
    body: [
      { ...of, outcome: 'done', change: 'limit', why: 'what may wait waits' },
      { ...of, outcome: 'done', change: 'rescale', why: 'from 4 to 5 subtasks' },
    ],
  })
  const wide = await until(({ state, parallelism }) => state === 'RUNNING' && parallelism === 5)
  expect(wide.rates[0]).toMatchObject({ source: 'payments', recordsPerSecond: 100 })
  expect((await posted(payload('WeirLatency', 'firing'))).body).toEqual([
    { ...of, outcome: 'passed', change: null, why: expect.stringMatching(/it has done so lately/) as string },
  ])
  expect((await posted(payload('WeirLatency', 'resolved'))).body).toMatchObject([{ outcome: 'done', change: 'limit' }])
  const after = await seen()
  expect(after).toMatchObject({ parallelism: 5, rates: [{ recordsPerSecond: before!.recordsPerSecond }] })
})

test('a job that stands still begins again from its last epoch', async () => {
  const { restarts } = await until(({ state }) => state === 'RUNNING')
  const program = process.env['WEIR_ALERTMANAGER']
  const alertmanager = program ? await Alertmanager.start(program, `${url}/alerts`) : null
  if (alertmanager === null) {
    expect((await posted(payload('WeirJobStandsStill', 'firing'))).body).toMatchObject([
      { outcome: 'done', change: 'restart-region' },
    ])
  } else await alertmanager.fires({ alertname: 'WeirJobStandsStill', job: 'pay' })
  await until((job) => job.state === 'RUNNING' && job.restarts === restarts + 1)
  await alertmanager?.close()
})

test('every change is in the audit log with its alert, asked for before it was made', async () => {
  const entries = (await (await fetch(`${url}/audit`)).json()) as {
    what: string
    step: string
    target: string
    wish?: { alert?: string }
  }[]
  const of = entries.filter(({ what }) => what.startsWith('remediation.')).toReversed()
  expect(of.map(({ what, step, target }) => `${what} ${target} ${step}`)).toEqual([
    'remediation.limit pay asked',
    'remediation.limit pay done',
    'remediation.rescale pay asked',
    'remediation.rescale pay done',
    'remediation.limit pay asked',
    'remediation.limit pay done',
    'remediation.restart-region pay asked',
    'remediation.restart-region pay done',
  ])
  expect(of[0]!.wish).toMatchObject({ alert: 'WeirLatency' })
})

test('the commands of the runbooks do what the pages say, on this fleet', async () => {
  const pages = new URL('../../docs/runbooks/', import.meta.url)
  const commands = new Set(
    readdirSync(pages).flatMap((file) =>
      codeIn(readFileSync(new URL(file, pages), 'utf8')).filter((code) => /^(weir|curl) /.test(code)),
    ),
  )
  const [manager, worker] = processes as [FleetProcess, FleetProcess]
  const answered: string[] = []
  for (const command of commands) {
    // Of an ended job, and of a transaction that waits: neither is here. `cancel` ends the job, so it comes last.
    if (/JOB\.ts|TXN-ID|weir cancel/.test(command)) continue
    await until(({ state }) => state === 'RUNNING')
    const said = command
      .replace('JOB-MANAGER', manager.ready.http)
      .replace('TASK-MANAGER', worker.ready.http)
      .replaceAll('JOB-ID', 'pay')
      .replace(/ (N|PARALLELISM)$/, ' 6')
    const line = said.startsWith('weir ')
      ? `${process.execPath} ${CLI}${said.slice('weir'.length)} --job-manager ${manager.ready.grpc}`
      : said.replace('curl', 'curl --fail')
    const { stdout } = await run('sh', ['-c', line])
    expect(stdout.trim(), command).not.toBe('')
    answered.push(command)
  }
  expect(answered).toEqual(expect.arrayContaining(['weir get JOB-ID', 'weir txn list', 'weir rescale JOB-ID N']))
  expect(await until(({ state, parallelism }) => state === 'RUNNING' && parallelism === 6)).toMatchObject({
    degradeSwitch: 'on',
    rates: [{ recordsPerSecond: 6 }],
  })
  expect(commands).toContain('weir cancel JOB-ID')
  await run(process.execPath, [CLI, 'cancel', 'pay', '--job-manager', manager.ready.grpc!])
  await until(({ state }) => state === 'CANCELLED')
}, 240_000)

test('what is no payload of Alertmanager is refused, and says where', async () => {
  expect(await posted({ version: '3', alerts: [] })).toMatchObject({ status: 400, body: { code: 'ALERTS_INVALID' } })
})
