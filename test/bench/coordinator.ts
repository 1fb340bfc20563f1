/**
 * `npm run bench -- coordinator`: one job of 1,000 to 10,000 subtasks. Job-manager, etcd, S3 and the control streams are
 * real, the tasks are simulated (coordinator.tasks.ts: 40 task-managers in four processes). From the trigger until the epoch is final:
 * acks, manifest, publish in both arbiters, commit, its answers.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { startProcess, stopProcess } from '../../apps/cli/src/fleet.ts'
import { stackEndpoints } from '../stack/endpoints.ts'
import { atMost, figure, median, say } from './lib/figures.ts'

const SUBTASKS = [1_000, 2_500, 5_000, 10_000]
const EPOCHS = Number(process.env['BENCH_EPOCHS'] ?? 10)
const PROCESSES = 4
const TASK_MANAGERS_PER_PROCESS = 10
const WAIT_MS = 120_000
const CHECKPOINT_MS_MAX = 1_000
const MEMORY_MIB_MAX = 512
/** Cost per subtask at the largest over the smallest. */
const GROWTH_MAX = 1.5

const here = (file: string): string => new URL(file, import.meta.url).pathname
const { s3, etcd } = stackEndpoints()
const run = systemRandom.nonce().slice(0, 8)

interface Checkpoint {
  readonly status: string
  readonly durationMs: number
}
interface Measured {
  readonly subtasks: number
  readonly medianMs: number
  readonly highestMs: number
  readonly cpuMsPerCheckpoint: number
  /** Of the job-manager, its highest. */
  readonly residentMiB: number
  readonly deployMs: number
}

async function measure(subtasks: number): Promise<Measured> {
  const cluster = `coordinator-${subtasks}-${run}`
  const manager = await startProcess('job-manager', {
    ...{ WEIR_S3_ENDPOINT: s3.url, WEIR_S3_BUCKET: s3.bucket, WEIR_S3_PREFIX: `${cluster}/` },
    ...{ WEIR_S3_ACCESS_KEY: s3.accessKey, WEIR_S3_SECRET_KEY: s3.secretKey },
    ...{ WEIR_ETCD: etcd, WEIR_CLUSTER: cluster, WEIR_PROFILE: 'development' },
  })
  const { pid } = manager.child
  const tasks: ChildProcess[] = []
  try {
    const slots = Math.ceil(subtasks / (PROCESSES * TASK_MANAGERS_PER_PROCESS))
    for (let i = 0; i < PROCESSES; i++) {
      const args = [manager.ready.grpc!, TASK_MANAGERS_PER_PROCESS, slots].map(String)
      const flags = ['--disable-warning=ExperimentalWarning']
      tasks.push(
        spawn(process.execPath, [...flags, here('coordinator.tasks.ts'), ...args], { stdio: ['ignore', 2, 2] }),
      )
    }
    const submitted = performance.now()
    await promisify(execFile)(process.execPath, [
      ...[here('../../apps/cli/dist/main.js'), 'submit', here('coordinator.job.ts'), '--id', cluster],
      ...['--job-manager', manager.ready.grpc!, '--set', `subtasks=${subtasks}`],
    ])
    const deployMs = performance.now() - submitted
    const final = await finals(manager.ready.http, cluster, 2) // the first ones warm up
    const cpu = cpuMs(pid!)
    const durations = await finals(manager.ready.http, cluster, final.length + EPOCHS)
    const cpuMsPerCheckpoint = (cpuMs(pid!) - cpu) / EPOCHS
    const last = durations.slice(0, EPOCHS)
    return {
      subtasks,
      medianMs: median(last),
      highestMs: Math.max(...last),
      cpuMsPerCheckpoint,
      residentMiB: Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024,
      deployMs,
    }
  } finally {
    for (const child of tasks) child.kill('SIGKILL')
    await stopProcess(manager)
  }
}

/** ms of the final epochs, newest first, when there are `count`. */
async function finals(http: string, jobId: string, count: number): Promise<number[]> {
  for (const deadline = performance.now() + WAIT_MS; ; await systemClock.sleep(100)) {
    const answer = await fetch(`http://${http}/api/v1/jobs/${jobId}/checkpoints`)
    const checkpoints = (await answer.json()) as Checkpoint[]
    const final = checkpoints.filter((c) => c.status === 'final')
    if (final.length >= count) return final.map((c) => c.durationMs)
    const given = checkpoints.filter((c) => c.status === 'given-up')
    if (given.length > 0) throw new Error(`given up: ${JSON.stringify(given)}`)
    if (performance.now() > deadline) throw new Error(`${final.length} of ${count} checkpoints within ${WAIT_MS} ms`)
  }
}

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10 // user and system, in ticks of 10 ms
}

const measured: Measured[] = []
for (const subtasks of process.env['BENCH_SUBTASKS']?.split(',').map(Number) ?? SUBTASKS) {
  const one = await measure(subtasks)
  measured.push(one)
  say(JSON.stringify(one))
}
const [first, last] = [measured[0]!, measured.at(-1)!]
const growth = last.cpuMsPerCheckpoint / last.subtasks / (first.cpuMsPerCheckpoint / first.subtasks)
console.log(
  JSON.stringify({
    bench: 'coordinator',
    figures: [
      ...measured.map((m) => {
        const name = `${m.subtasks} subtasks: checkpoint ms, trigger to final, median of ${EPOCHS}`
        return m === last ? atMost(name, m.medianMs, CHECKPOINT_MS_MAX) : figure(name, m.medianMs)
      }),
      ...measured.map((m) => figure(`${m.subtasks} subtasks: CPU-ms per checkpoint`, m.cpuMsPerCheckpoint)),
      atMost(`CPU per subtask, ${last.subtasks} over ${first.subtasks}`, growth, GROWTH_MAX),
      atMost(`${last.subtasks} subtasks: job-manager resident MiB, highest`, last.residentMiB, MEMORY_MIB_MAX),
      figure(`${last.subtasks} subtasks: submit to running ms`, last.deployMs),
    ],
  }),
)
