/** A checkpoint of a job (with its degrade switch turned, where it has one), as an object store has it: taken by a run in memory, at any parallelism. */
import type { Manifest } from '@weir/checkpoint'
import { defaultSettings, planJob, type JobDefinition, type SourceBatch } from '@weir/dataflow'
import { attempt, digest, epoch, generation } from '@weir/model'
import { Attempt, TEST_JOB_ID } from '../attempt.ts'
import { StandingClock } from '../clock.ts'
import { FedTopic, entryOf } from '../fed-topic.ts'
import { MemoryObjects } from '../objects.ts'
import { MemoryRegistry } from '../memory-registry.ts'
import { sourceNamed } from '../names.ts'
import { OpenCalls } from '../open-calls.ts'
import { WrittenTopics } from '../written-topics.ts'

export interface Fed {
  readonly partition: number
  readonly value: unknown
  readonly timestamp: number
}

/** Counts what is written to it. */
class CountedObjects extends MemoryObjects {
  writes = 0
  readonly readKeys: string[] = []

  override put(...of: Parameters<MemoryObjects['put']>): ReturnType<MemoryObjects['put']> {
    this.writes++
    return super.put(...of)
  }

  override delete(key: string): Promise<void> {
    this.writes++
    return super.delete(key)
  }

  override readRange(key: string, from: number, to: number): Promise<Uint8Array | null> {
    this.readKeys.push(`${key} ${from}-${to}`)
    return super.readRange(key, from, to)
  }
}

export async function checkpointOf(
  job: JobDefinition,
  topic: string,
  fed: readonly Fed[],
  { parallelism = 1, partitions = 1 }: { readonly parallelism?: number; readonly partitions?: number } = {},
): Promise<{ readonly manifest: Manifest; readonly objects: CountedObjects }> {
  const calls = new OpenCalls()
  const objects = new CountedObjects()
  const { maxParallelism, deadLetters, degradable } = job.settings
  const settings = { ...defaultSettings, maxParallelism, deadLetters, ...(degradable && { degradable }), parallelism }
  const plan = planJob(calls.counted({ ...job, settings }))
  const clock = new StandingClock(Date.UTC(2026, 0, 1))
  const log = new FedTopic(partitions)
  for (const { partition, value, timestamp } of fed) {
    const at = { options: { timestamp: () => timestamp }, index: 0, nowMs: 0 }
    log.append(entryOf(sourceNamed(job, topic), value, at), partition)
  }
  log.portion()
  const run = new Attempt(
    { plan, number: 1, settleMs: 30_000 },
    {
      ...{ clock, fed: new Map([[topic, log]]), written: new WrittenTopics(), objects, calls, claims: new Map() },
      registry: new MemoryRegistry(),
    },
  )
  await run.start(Array.from({ length: parallelism }, () => null))
  const subtasks = await run.checkpoint(epoch(1), degradable === true)
  await run.kill()
  const manifest: Manifest = {
    ...{ formatVersion: 1, jobId: TEST_JOB_ID, epoch: epoch(1), generation: generation(1), attempt: attempt(1) },
    ...{ parentEpoch: epoch(0), parentDigest: null, graphHash: digest(''), lastCommittedAt: null },
    ...{ parallelism, maxParallelism, triggeredAt: clock.now(), subtasks },
  }
  return { manifest, objects }
}

/** One record as it lies in a topic: its value as JSON. */
export function recordOf(of: Fed & { readonly offset: number }): SourceBatch {
  const value = of.value instanceof Uint8Array ? of.value : Buffer.from(JSON.stringify(of.value))
  return {
    kind: 'raw',
    split: of.partition,
    raw: {
      ...{ count: 1, buffer: Buffer.from(value) },
      ...{ keyStart: Int32Array.of(-1), keyEnd: Int32Array.of(-1) },
      ...{ valueStart: Int32Array.of(0), valueEnd: Int32Array.of(value.length) },
      ...{ timestamps: Float64Array.of(of.timestamp), offsets: Float64Array.of(of.offset) },
    },
  }
}
