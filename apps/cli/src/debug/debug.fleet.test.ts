/** `weir debug` on a fleet of its own, down to a debugger that stops in the job's TypeScript. Needs `npm run build`. */
import { LogClient, type TransactionalLog } from '@weir/connectors'
import { JobsClient } from '@weir/wire'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { bundleJob } from '../bundle.ts'
import { EmbeddedFleet } from '../embedded-fleet.ts'
import { takeSavepoint } from '../savepoint.ts'
import { submit } from '../submit.ts'
import { debug, type DebugCommand } from './debug.ts'
import { InspectorClient, MappedScript, type Paused, type Script } from './inspector-client.fixture.ts'

const main = new URL('../../dist/main.js', import.meta.url).pathname
const JOB = `import { job, json, log } from '@weir/sdk'

interface Payment {
  user: string
  amountMinor: number
}
export default job('sums', { parallelism: 2, checkpoint: { intervalMs: 300, minPauseMs: 0 } }, (flow) =>
  flow
    .from(log.topic('payments', { value: json<Payment>() }), 'payments')
    .keyBy((payment) => payment.user, 'by-user')
    .reduce('sum', 0, (sum, payment) => {
      const next = sum + payment.amountMinor
      return next
    })
    .to(log.sink('sums'), 'sums'),
)
`
const LINE = JOB.split('\n').findIndex((line) => line.includes('return next'))
const JOB_ID = 'sums'
const FED = 12

let dir: string
let file: string
let fleet: EmbeddedFleet
let client: JobsClient
let log: LogClient

async function append(to: TransactionalLog, values: readonly object[], commit = true): Promise<void> {
  const id = 'feed-payments'
  const producer = { transactionalId: id, ...(await to.initProducer(id, 60_000)) }
  const records = values.map((value, i) => ({ key: null, value: Buffer.from(JSON.stringify(value)), timestamp: i }))
  await to.append({ ...producer, topic: 'payments', partition: 1, baseSequence: 0, records })
  await to.end(producer, commit)
}

beforeAll(async () => {
  // Inside of the checkout: a job file finds its packages from where it lies.
  dir = await mkdtemp(join(import.meta.dirname, '.debug-test-'))
  file = join(dir, 'job.ts')
  await writeFile(file, JOB)
  fleet = await EmbeddedFleet.start({ taskManagers: 1, slots: 2 })
  client = new JobsClient([fleet.manager.ready.grpc!], { token: null })
  log = new LogClient(fleet.manager.ready.log!)
  for (const topic of ['payments', 'sums']) await log.createTopic(topic, 2)
  const fed = Array.from({ length: FED }, (_, i) => ({ user: i % 2 === 0 ? 'ada' : 'bob', amountMinor: 10 }))
  await append(log, fed)
  await submit(client, await bundleJob(file, {}), { id: JOB_ID, wait: true })
  await vi.waitUntil(async () => (await client.get(JOB_ID)).recordsIn === FED, { timeout: 60_000, interval: 100 })
  await takeSavepoint(client, { jobId: JOB_ID, name: 'end', stop: true, wait: true }, () => {})
  // What nobody has read: at offset 13, behind the marker of the transaction before.
  await append(log, [{ user: 'ada', amountMinor: 5 }])
  await append(log, [{ user: 'ada', amountMinor: 7 }])
  await append(log, [{ user: 'nobody', amountMinor: 1 }], false)
}, 240_000)
afterAll(async () => {
  log.close()
  client.close()
  await fleet.stop()
  await rm(dir, { recursive: true })
})

interface Answer {
  readonly checkpoint: number
  readonly outputs: readonly object[]
  readonly state: readonly object[]
  readonly between: number
}

async function debugged(
  over: Partial<DebugCommand>,
): Promise<{ answer: Answer; text: string; notes: string[]; code: number }> {
  const notes: string[] = []
  const said: [unknown, string][] = []
  const env = { WEIR_OBJECTS_DIR: fleet.objectsDir, WEIR_LOG: fleet.manager.ready.log! }
  const code = await debug(
    {
      ...{
        jobId: JOB_ID,
        checkpoint: undefined,
        partition: 1,
        offset: await first(),
        source: undefined,
        topic: undefined,
      },
      ...{ file, params: {}, fromCheckpoint: false, allowCalls: false, inspect: 'no', inspectPort: 0 },
      ...{ kafka: undefined, env },
      ...over,
    },
    { client: () => client, note: (text) => notes.push(text), print: (...of) => said.push(of) },
  )
  return { answer: said[0]![0] as Answer, text: said[0]![1], notes, code }
}

/** Offsets of the records that no checkpoint has read. */
async function unread(): Promise<readonly number[]> {
  const request = { topic: 'payments', partition: 1, offset: 0, maxRecords: 100, readCommitted: true, maxWaitMs: 0 }
  return (await log.read(request)).records.map(({ offset }) => offset).slice(FED)
}
const first = async (): Promise<number> => (await unread())[0]!

/** Everything that a write would change. */
async function world(): Promise<unknown> {
  const topics = await Promise.all(['payments', 'sums'].map((topic) => log.describe(topic)))
  const objects = (await readdir(fleet.objectsDir, { recursive: true })).sort()
  return { topics, objects, transactions: await log.transactions('') }
}

test('the record meets the state of the checkpoint, its output is shown, and nothing anywhere has changed', async () => {
  const before = await world()
  const { answer, text, code } = await debugged({})
  expect(code).toBe(0)
  expect(answer).toMatchObject({
    outputs: [{ sink: 'sums', topic: 'sums', key: 'ada', value: 65 }],
    state: [{ operatorUid: 'sum', key: 'ada', change: 'changed', before: 60, after: 65 }],
    ...{ sides: [], deadLetters: [], timers: [], failure: null, partition: 1 },
  })
  expect(text).toContain('sum accumulator\t"ada"\tchanged\t60 → 65')
  expect(await world()).toEqual(before)
})

test('records between the checkpoint and this one are left out, and said so, or go first', async () => {
  const offset = (await unread())[1]!
  const alone = await debugged({ offset })
  expect(alone.answer).toMatchObject({ outputs: [{ value: 67 }] })
  expect(alone.notes.join()).toContain('--from-checkpoint')
  const behind = await debugged({ offset, fromCheckpoint: true })
  expect(behind.answer).toMatchObject({ outputs: [{ value: 72 }], replayedBefore: 1 })
})

test('the submitted bundle is taken where no file is given', async () => {
  const { answer } = await debugged({ file: undefined, topic: 'payments' })
  expect(answer).toMatchObject({ outputs: [{ value: 65 }] })
})

test('what cannot be replayed is refused, with what there is instead', async () => {
  const refused = (over: Partial<DebugCommand>): Promise<unknown> =>
    debugged(over).then(
      () => null,
      (error: unknown) => error,
    )
  const other = join(dir, 'other.ts')
  await writeFile(other, JOB.replace("'sum'", "'total'"))
  const { answer } = await debugged({})
  expect(await refused({ checkpoint: '999' })).toMatchObject({
    code: 'DEBUG_CHECKPOINT_GONE',
    facts: { kept: expect.arrayContaining([answer.checkpoint]) as number[] },
  })
  expect(await refused({ offset: 0 })).toMatchObject({ code: 'DEBUG_BEFORE_CHECKPOINT' })
  expect(await refused({ offset: 99_999 })).toMatchObject({ code: 'DEBUG_OFFSET_GONE', facts: { offset: 99_999 } })
  // The end of the transaction before it.
  expect(await refused({ offset: (await first()) + 1 })).toMatchObject({ code: 'DEBUG_NO_RECORD' })
  expect(await refused({ partition: 7 })).toMatchObject({ code: 'DEBUG_PARTITION_UNKNOWN' })
  expect(await refused({ file: other })).toMatchObject({ code: 'DEBUG_OTHER_GRAPH' })
  expect(await refused({ source: 'orders' })).toMatchObject({ code: 'DEBUG_SOURCE_UNKNOWN' })
  expect(await refused({ jobId: 'nobody' })).toMatchObject({ code: 'DEBUG_JOB_UNKNOWN' })
}, 120_000)

test('a debugger stops in front of the first function of the job, and at a breakpoint in its TypeScript', async () => {
  const args = ['debug', JOB_ID, '--partition', '1', '--offset', String(await first()), '--job', file, '--json']
  const child = spawn(process.execPath, [main, ...args, '--inspect-brk', '--inspect-port', '0'], {
    env: { ...process.env, WEIR_OBJECTS_DIR: fleet.objectsDir, WEIR_LOG: fleet.manager.ready.log! },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  const url = await new Promise<string>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const [found] = /ws:\/\/\S+/.exec(line) ?? []
      if (found !== undefined && line.startsWith('note: ')) resolve(found.replace(/;$/, ''))
    })
  })
  const ended = once(child, 'exit')

  const debugger_ = await InspectorClient.attach(url)
  await debugger_.send('Runtime.enable')
  await debugger_.send('Debugger.enable')
  // The second load is the one that is replayed.
  const script = await debugger_.event<Script>('Debugger.scriptParsed', (one) => one.url.endsWith('/job-2.mjs'))
  const { scriptSource } = await debugger_.send('Debugger.getScriptSource', { scriptId: script.scriptId })
  const mapped = new MappedScript(script, String(scriptSource))
  const lineNumber = mapped.lineOf('/job.ts', LINE)
  await debugger_.send('Debugger.setBreakpointByUrl', { url: script.url, lineNumber })
  await debugger_.send('Runtime.runIfWaitingForDebugger')

  const entered = await debugger_.event<Paused>('Debugger.paused')
  expect(entered.callFrames[0]!.functionName).toBe('entered')
  await debugger_.send('Debugger.resume')
  const paused = await debugger_.event<Paused>('Debugger.paused')
  const [frame] = paused.callFrames
  expect(mapped.originOf(frame!.location.lineNumber, frame!.location.columnNumber ?? 0)).toMatchObject({ line: LINE })
  const { callFrameId } = frame!
  const { result } = await debugger_.send('Debugger.evaluateOnCallFrame', {
    callFrameId,
    expression: 'JSON.stringify({ sum, payment, next })',
  })
  expect(JSON.parse((result as { value: string }).value)).toEqual({
    sum: 60,
    payment: { user: 'ada', amountMinor: 5 },
    next: 65,
  })
  // While it has stopped: Node dies of a debugger that closes while the process ends.
  await debugger_.close()
  expect(await ended).toEqual([0, null])
  expect(JSON.parse(out)).toMatchObject({ outputs: [{ value: 65 }] })
}, 120_000)
