/**
 * Where a checkpoint can be held open from outside: a proxy keeps the one request back that the phase consists of, so a
 * fault injected then is inside the phase for certain.
 */
import { systemClock } from '@weir/runtime/system'
import type { Toxic, Match } from '../e2e/toxic.ts'
import type { Phase } from './plan.ts'
import type { World } from './world.ts'

/** Kafka request headers begin with API key and version. */
export const request = (apiKey: number, version: number, contains: string): Match => {
  const header = Buffer.from([apiKey >> 8, apiKey & 0xff, version >> 8, version & 0xff])
  return (bytes) => bytes.includes(header) && bytes.includes(contains)
}
const put = (path: RegExp): Match => {
  const line = new RegExp(`PUT /\\S*${path.source}`)
  return (bytes) => line.test(bytes.toString('latin1'))
}

export interface Point {
  readonly phase: Phase
  readonly name: string
  /** Resolves when the phase is held open. */
  hold(world: World, jobId: string, pick: number): Promise<void>
}

const POINTS: readonly Point[] = [
  {
    phase: 'align',
    name: 'one task-manager has not heard of the barrier, the other one aligns',
    async hold(world, jobId, pick) {
      const { taskManagers, fleet } = world
      const id = await world.idOf(taskManagers[Math.floor(pick * taskManagers.length)]!)
      for (;;) {
        const since = systemClock.now()
        for (const toxic of world.control) toxic.part(id, ['to-client'])
        // Longer than this, and the connection would be taken for dead.
        const deadline = performance.now() + 1_500
        while (performance.now() < deadline) {
          const newest = (await fleet.checkpoints(jobId))[0]
          if (newest && newest.triggeredAt > since && newest.status === 'in-progress') return
          await systemClock.sleep(10)
        }
        for (const toxic of world.control) toxic.release()
        await systemClock.sleep(50)
      }
    },
  },
  // The sink's part of the snapshot: flushed, its marker on the way.
  point(
    'snapshot',
    'TxnOffsetCommit',
    (w) => [w.toKafka],
    (jobId) => request(28, 5, `weir.${jobId}`),
  ),
  point('upload', 'state segment', tasksToS3, (jobId) => put(new RegExp(`jobs/${jobId}/epochs/\\S+/state-`))),
  point('upload', 'staged output', tasksToS3, (jobId) => put(new RegExp(`jobs/${jobId}/staged/`))),
  point('upload', 'manifest', jobsToS3, (jobId) => put(new RegExp(`jobs/${jobId}/epochs/\\S+/manifest`))),
  point(
    'publish',
    'etcd',
    (w) => w.jobManagers.map((m) => m.etcd),
    (jobId) => `heads/${jobId}`,
  ),
  point('publish', 'head.json', jobsToS3, (jobId) => put(new RegExp(`jobs/${jobId}/head\\.json`))),
  point(
    'commit',
    'EndTxn',
    (w) => [w.toKafka],
    (jobId) => request(26, 5, `weir.${jobId}`),
  ),
]

function tasksToS3(world: World): readonly Toxic[] {
  return world.taskManagers.map((t) => t.s3)
}
function jobsToS3(world: World): readonly Toxic[] {
  return world.jobManagers.map((m) => m.s3)
}

function point(
  phase: Phase,
  name: string,
  toxics: (world: World) => readonly Toxic[],
  match: (jobId: string) => Match,
): Point {
  return {
    phase,
    name,
    async hold(world, jobId) {
      const all = toxics(world)
      await Promise.race(all.map((toxic) => toxic.holdFrom(match(jobId))))
      for (const toxic of all) toxic.ignore()
    },
  }
}

/** One of the phase: by name, or chosen by a number in [0, 1). */
export function pointOf(phase: Phase, which: string | number): Point {
  const of = POINTS.filter((p) => p.phase === phase)
  const found = typeof which === 'string' ? of.find((p) => p.name === which) : of[Math.floor(which * of.length)]
  if (found === undefined) throw new Error(`internal: no point "${which}" in ${phase}`)
  return found
}
