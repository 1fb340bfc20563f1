/**
 * Task-managers whose slices do nothing but answer, over the real control stream: `node coordinator.tasks.ts
 * JOB-MANAGER TASK-MANAGERS SLOTS`. An ack is what a slice with one source, a chain of three segments and one prepared
 * transaction says.
 */
import { createHash } from 'node:crypto'
import type { SubtaskSnapshot } from '@weir/checkpoint'
import type { PreparedHandle, SegmentRef } from '@weir/dataflow'
import type { SliceCommand, SliceId } from '@weir/job'
import type { CheckpointId } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { FleetClient } from '@weir/wire'

const [jobManager, taskManagers, slots] = process.argv.slice(2)
const over = new AbortController()
process.once('SIGTERM', () => over.abort())

const PARALLELISM_MAX = 32_768
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

function snapshotOf({ subtask, jobId }: SliceId, { epoch }: CheckpointId): SubtaskSnapshot {
  const segments = [epoch - 2, epoch - 1, epoch].map((of): SegmentRef => {
    const key = `jobs/${jobId}/state/${subtask}/${of}.seg`
    const kind = of === epoch - 2 ? 'base' : 'delta'
    const index = { at: 65_000, sha256: digestOf(`${key} index`) }
    return {
      key,
      bytes: 65_536,
      entries: 512,
      sha256: digestOf(key),
      kind,
      keyGroups: { from: 0, to: PARALLELISM_MAX },
      index,
    }
  })
  const handle: PreparedHandle = {
    sequence: epoch,
    transactionalId: `weir.${jobId}.sums.${subtask}.${epoch % 4}`,
    producerId: `${100_000 + subtask}`,
    producerEpoch: epoch % 30_000,
    firstOffsets: { [`sums-${subtask}`]: `${epoch * 5_000}` },
    records: 5_000,
    staged: {
      parts: [{ key: `jobs/${jobId}/staged/${subtask}/${epoch}`, bytes: 262_144, sha256: digestOf(`${epoch}`) }],
    },
  }
  return {
    subtask,
    sources: { orders: { partitions: { [subtask]: { offset: `${epoch * 5_000}`, end: null } } } },
    segments: [{ stage: 0, chain: segments }],
    sinks: { sums: { sequence: epoch, handles: [handle] } },
    watermarks: { orders: 1_750_000_000_000 + epoch },
    recordsIn: epoch * 5_000,
  }
}

function taskManager(): Promise<void> {
  const slices = new Map<number, SliceId>()
  const answer = (command: SliceCommand): void => {
    const { slice } = command
    switch (command.type) {
      case 'deploy':
        slices.set(slice.subtask, slice)
        return void client.report({ type: 'deployed', slice, exchangeAddress: '127.0.0.1:1' })
      case 'recover':
        return void client.report({ type: 'recovered', slice, proofs: [] })
      case 'trigger': {
        const { checkpoint } = command
        const snapshot = snapshotOf(slice, checkpoint)
        return void client.report({ type: 'ack', slice, checkpoint, snapshot, alignMs: 1, syncMs: 1, asyncMs: 1 })
      }
      case 'commit':
        return void client.report({ type: 'committed', slice, epoch: command.epoch })
      case 'stop':
        slices.delete(slice.subtask)
        return void client.report({ type: 'stopped', slice })
      default:
        return
    }
  }
  const client: FleetClient = new FleetClient(
    { jobManagers: [jobManager!], slots: Number(slots), version: 'bench', httpAddress: '', pod: '', token: null },
    {
      clock: systemClock,
      random: systemRandom,
      handlers: {
        joined: () => undefined,
        command: answer,
        janitor: () => Promise.reject(new Error('simulated')),
        disconnected: (reason) => console.error(`a task-manager was sent away: ${reason}`),
        slices: () => [...slices.values()],
      },
    },
  )
  return client.run(over.signal)
}

await Promise.all(Array.from({ length: Number(taskManagers) }, taskManager))
