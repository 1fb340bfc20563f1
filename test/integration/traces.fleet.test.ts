/** A fleet that is asked for traces sends them by OTLP: a start, each checkpoint and each sampled record is one, over all processes. */
import { LogClient } from '@weir/connectors'
import { JobsClient } from '@weir/wire'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleJob } from '../../apps/cli/src/bundle.ts'
import { startProcess, stopProcess, type FleetProcess } from '../../apps/cli/src/fleet.ts'
import { submit } from '../../apps/cli/src/submit.ts'
import { startReceiver, type Receiver, type SpanSeen } from '../otlp/receiver.ts'

const JOB = new URL('../../apps/examples/src/02-payments.ts', import.meta.url).pathname
const LOOK_MS = 100
/** Two processes of one machine; durations of slices are whole milliseconds. */
const CLOCK_MS = 5

let receiver: Receiver
let folder: string
const processes: FleetProcess[] = []
/** Of the job-manager. */
const logged: string[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-traces-'))
  receiver = await startReceiver()
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, WEIR_LOG_LEVEL: 'debug' }
  const manager = await startProcess('job-manager', {
    ...env,
    WEIR_MODE: 'embedded',
    WEIR_DATA_DIR: join(folder, 'jm'),
  })
  manager.child.stderr!.on('data', (data: Buffer) => logged.push(data.toString()))
  processes.push(manager)
  for (const n of [0, 1])
    processes.push(
      await startProcess('task-manager', {
        ...env,
        WEIR_JOB_MANAGERS: manager.ready.grpc!,
        WEIR_LOG: manager.ready.log!,
        WEIR_OBJECTS_DIR: join(folder, 'jm', 'objects'),
        WEIR_DATA_DIR: join(folder, `tm-${n}`),
        WEIR_SLOTS: '2',
        WEIR_TRACE_SAMPLE_RATE: '0.05',
      }),
    )
  const log = new LogClient(manager.ready.log!)
  for (const topic of ['payment-sums', 'payment-counts']) await log.createTopic(topic, 4)
  log.close()
  const client = new JobsClient([manager.ready.grpc!], { token: null })
  await submit(client, await bundleJob(JOB, { rate: '1000', splits: '4', users: '100' }), { id: 'traced', wait: true })
  client.close()
}, 120_000)
afterAll(async () => {
  for (const process of processes.reverse()) await stopProcess(process)
  await receiver?.close()
  await rm(folder, { recursive: true, force: true })
}, 60_000)

/** A trace that has its root, by name of span. */
function traces(root: string): ReadonlyMap<string, readonly SpanSeen[]>[] {
  const spans = receiver.spans()
  return spans
    .filter((span) => span.name === root && span.parentSpanId === '')
    .map(({ traceId }) =>
      Map.groupBy(
        spans.filter((span) => span.traceId === traceId),
        ({ name }) => name,
      ),
    )
}
const traceWith = (root: string, is: (trace: ReadonlyMap<string, readonly SpanSeen[]>) => boolean) =>
  until(() => traces(root).find(is))

async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

test('a checkpoint is one trace: its stages in the job-manager, what each slice does for them in the task-managers', async () => {
  const trace = await traceWith(
    'weir.checkpoint',
    (of) => of.get('slice.upload')?.length === 4 && of.get('slice.commit')?.length === 4,
  )
  const [root] = trace.get('weir.checkpoint')!
  expect(root).toMatchObject({ service: 'weir-job-manager', failure: null, facts: { job: 'traced' } })
  const stages = ['snapshots', 'manifest', 'publish', 'commit'].map((name) => trace.get(name)![0]!)
  for (const [i, stage] of stages.entries()) {
    expect(stage).toMatchObject({ parentSpanId: root!.spanId, service: 'weir-job-manager', failure: null })
    if (i > 0) expect(stage.startMs).toBeGreaterThanOrEqual(stages[i - 1]!.endMs - CLOCK_MS)
  }
  const [snapshots, , , commit] = stages
  for (const subtask of [0, 1, 2, 3]) {
    const of = (name: string): SpanSeen => trace.get(name)!.find(({ facts }) => facts['subtask'] === subtask)!
    const [align, snapshot, upload] = [of('slice.align'), of('slice.snapshot'), of('slice.upload')]
    for (const span of [align, snapshot, upload]) {
      expect(span).toMatchObject({ parentSpanId: snapshots!.spanId, service: 'weir-task-manager', failure: null })
      expect(span.startMs).toBeGreaterThanOrEqual(snapshots!.startMs - CLOCK_MS)
      expect(span.endMs).toBeLessThanOrEqual(snapshots!.endMs + CLOCK_MS)
    }
    expect([align.endMs, snapshot.endMs]).toEqual([snapshot.startMs, upload.startMs])
    expect(of('slice.commit')).toMatchObject({ parentSpanId: commit!.spanId, service: 'weir-task-manager' })
  }
})

test('the start of a job is one trace, too', async () => {
  const trace = await traceWith('weir.start', (of) => of.get('slice.recover')?.length === 4)
  const [root] = trace.get('weir.start')!
  expect(root).toMatchObject({ facts: { job: 'traced' }, failure: null })
  for (const [stage, inSlice] of [
    ['deploy', 'slice.deploy'],
    ['recover', 'slice.recover'],
  ] as const) {
    const [parent] = trace.get(stage)!
    expect(parent).toMatchObject({ parentSpanId: root!.spanId })
    const slices = trace.get(inSlice)!
    expect(slices.map(({ facts }) => facts['subtask']).sort()).toEqual([0, 1, 2, 3])
    for (const span of slices) expect(span).toMatchObject({ parentSpanId: parent!.spanId, failure: null })
  }
  expect([...trace.keys()]).toEqual(expect.arrayContaining(['place', 'deploy', 'recover', 'run']))
})

test('a sampled record is one trace over the slices it passes, and its commit names the trace of its checkpoint', async () => {
  const WAY = ['record.commit', 'record.write', 'record.chain', 'record.chain', 'record.read']
  /** From a span to its root; undefined: some of it has not come yet. */
  const wayOf = (spans: readonly SpanSeen[], span: SpanSeen): SpanSeen[] | undefined => {
    if (span.parentSpanId === '') return [span]
    const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
    const rest = parent && wayOf(spans, parent)
    return rest && [span, ...rest]
  }
  const found = (): SpanSeen[] | undefined => {
    const spans = receiver.spans()
    return spans
      .filter(({ name, links }) => name === 'record.commit' && links.length > 0)
      .map((span) => wayOf(spans, span))
      .find((way) => way !== undefined && new Set(way.map(({ facts }) => facts['subtask'])).size === 2)
  }
  const way = await until(found)
  expect(way.map(({ name }) => name)).toEqual(WAY)
  const [commit, , behind, before, read] = way
  for (const span of way)
    expect(span).toMatchObject({ traceId: commit!.traceId, service: 'weir-task-manager', failure: null })
  expect(read!.facts).toMatchObject({ job: 'traced', source: 'payments', offset: expect.any(Number) as number })
  expect([before!.facts['subtask'], behind!.facts['subtask']]).toEqual([
    read!.facts['subtask'],
    commit!.facts['subtask'],
  ])
  const checkpoint = await until(() =>
    traces('weir.checkpoint').find((of) => of.get('weir.checkpoint')![0]!.traceId === commit!.links[0]),
  )
  expect(checkpoint.get('weir.checkpoint')![0]!.facts['epoch']).toBe(commit!.facts['epoch'])
})

test('what is logged about a checkpoint names its trace', async () => {
  const trace = await traceWith('weir.checkpoint', (of) => of.has('commit'))
  const [root] = trace.get('weir.checkpoint')!
  // By a way of its own: the line may come later than its trace, and in pieces.
  const line = await until(() => {
    const lines = logged.join('').split('\n').slice(0, -1)
    const published = lines.filter((line) => line.includes('"weir:checkpoint:published"'))
    const of = published.map((line) => JSON.parse(line) as { epoch: number; trace_id: string; span_id: string })
    return of.find(({ epoch }) => epoch === root!.facts['epoch'])
  })
  expect(line).toMatchObject({ trace_id: root!.traceId, span_id: expect.stringMatching(/^[0-9a-f]{16}$/) as string })
})
