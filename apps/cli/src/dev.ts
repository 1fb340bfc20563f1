/** `weir dev`: a whole fleet for one job on this machine, in a folder of its own, gone with Ctrl-C. */
import { LogClient } from '@weir/connectors'
import { JobsClient } from '@weir/wire'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bundle } from './bundle.ts'
import { startProcess, stopProcess, type FleetProcess } from './fleet.ts'
import { failed, submit } from './submit.ts'

const STATUS_MS = 1_000
const LOG_PARTITIONS = 4

/** @returns the exit code: 0 when the job finished or was stopped. */
export async function dev(bundle: Bundle, id: string | undefined): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-dev-'))
  const processes: FleetProcess[] = []
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  process.once('SIGTERM', () => stop.abort())
  try {
    const manager = await startProcess('job-manager', { WEIR_MODE: 'embedded', WEIR_DATA_DIR: join(dir, 'jm') })
    processes.push(manager)
    const grpc = manager.ready.grpc!
    processes.push(
      await startProcess('task-manager', {
        WEIR_JOB_MANAGERS: grpc,
        WEIR_LOG: manager.ready.log!,
        WEIR_OBJECTS_DIR: join(dir, 'jm', 'objects'),
        WEIR_DATA_DIR: join(dir, 'tm'),
        WEIR_SLOTS: String(bundle.plan.job.settings.parallelism),
        WEIR_FREEZE: '1',
      }),
    )
    await createTopics(manager.ready.log!, bundle)
    const client = new JobsClient([grpc], { token: null })
    try {
      const { jobId } = await submit(client, bundle, { id, wait: true })
      console.error(`${jobId} runs; REST at http://${manager.ready.http}/api/v1/jobs/${jobId}; Ctrl-C ends it`)
      for (let before = 0; !stop.signal.aborted;) {
        const view = await client.get(jobId)
        console.error(`${view.state}  ${view.recordsIn - before} records/s  epoch ${view.finalEpoch}`)
        if (view.state === 'FINISHED') return 0
        if (view.state === 'FAILED') throw failed(view)
        before = view.recordsIn
        await new Promise((resolve) => setTimeout(resolve, STATUS_MS))
      }
      return 0
    } finally {
      client.close()
    }
  } finally {
    for (const p of processes.reverse()) await stopProcess(p)
    await rm(dir, { recursive: true, force: true })
  }
}

/** Topics of the embedded log that the job names: there is nobody else to make them. */
async function createTopics(address: string, { plan }: Bundle): Promise<void> {
  const log = new LogClient(address)
  for (const node of plan.job.graph.nodes) {
    if (!('descriptor' in node) || node.descriptor.connector !== 'log') continue
    await log.createTopic(String(node.descriptor['topic']), LOG_PARTITIONS)
  }
  log.close()
}
