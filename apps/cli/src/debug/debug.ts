/**
 * `weir debug`: one record of a job again, here, with the state of a checkpoint, and a debugger where one is asked for. Everything is read
 * from where the fleet has it (object store, log); nothing is written anywhere, and the running job is not asked.
 */
import type { Manifest, ObjectStore } from '@weir/checkpoint'
import { HttpSchemaRegistry } from '@weir/connectors'
import { planJob, type JobDefinition, type RegistrySettings, type SourceBatch, type SourceNode } from '@weir/dataflow'
import { openObjectStore } from '@weir/metadata'
import { WeirError, isJobId, jobId as jobIdOf, type JobId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Replay, keyGroupsOf, type ReplayOptions, type ReplayedRecord } from '@weir/sdk/testing'
import type { JobsClient } from '@weir/wire'
import { usage } from '../usage.ts'
import { waitForDebugger, type OpenInspector } from './inspector.ts'
import { jobOfBundle, jobOfFile, mustBeOf, type JobUnderDebug } from './job-under-debug.ts'
import { checkpointAt, keptCheckpoints, type KeptCheckpoint } from './kept-checkpoints.ts'
import { positionIn, recordsOf, sourceOf, type RecordDeps, type RecordPlace } from './log-record.ts'
import { plainOf, report } from './report.ts'

export interface DebugCommand {
  readonly jobId: string
  /** An epoch; undefined: the newest kept one that has not read the record. */
  readonly checkpoint: string | undefined
  readonly partition: number
  readonly offset: number
  readonly source: string | undefined
  readonly topic: string | undefined
  /** Its file; undefined: the bundle that was submitted. */
  readonly file: string | undefined
  readonly params: Readonly<Record<string, string>>
  /** The records of the partition between the checkpoint and this one go first. */
  readonly fromCheckpoint: boolean
  readonly allowCalls: boolean
  /** `break`: stops in front of the first function of the job. */
  readonly inspect: 'no' | 'attach' | 'break'
  readonly inspectPort: number
  readonly kafka: string | undefined
  readonly env: NodeJS.ProcessEnv
}

export interface DebugDeps {
  /** Asked only where there is no file. */
  client(): JobsClient
  note(text: string): void
  print(value: unknown, text: string): void
}

/** What was replayed, of which checkpoint. */
export interface Debugged extends ReplayedRecord {
  readonly jobId: string
  readonly checkpoint: number
  readonly bundleDigest: string
  readonly source: string
  readonly partition: number
  readonly offset: number
  /** Records of the partition that the checkpoint had not read, before this one. */
  readonly between: number
  /** Of them, those that were replayed before it. */
  readonly replayedBefore: number
}

/** Longest time a record may take while nobody debugs it, ms. */
const SETTLE_MS = 60_000

/** 0: the record goes through; 1: it fails, or becomes a dead letter. */
export async function debug(command: DebugCommand, deps: DebugDeps): Promise<number> {
  if (!isJobId(command.jobId)) throw usage(`"${command.jobId}" is no id of a job`)
  const objects = openObjectStore(command.env)
  let job: JobUnderDebug | undefined
  try {
    const id = jobIdOf(command.jobId)
    const kept = await keptCheckpoints(objects, id)
    job = await jobOf(command, objects, deps)
    const debugged = await new Debugging(command, { objects, job, deps }).run(id, kept)
    deps.print(plainOf(debugged), report(debugged))
    return debugged.failure === null && debugged.deadLetters.length === 0 ? 0 : 1
  } finally {
    await job?.close()
    await objects.close()
  }
}

async function jobOf(
  { file, params, jobId, env }: DebugCommand,
  objects: ObjectStore,
  { client }: DebugDeps,
): Promise<JobUnderDebug> {
  if (file !== undefined) return jobOfFile(file, params)
  const { bundleDigest } = await client().graph(jobId)
  if (bundleDigest !== undefined) return jobOfBundle(objects, bundleDigest, env)
  throw usage(`this job-manager does not say which bundle "${jobId}" has: give its file with --job JOB.ts`)
}

class Debugging {
  readonly #command: DebugCommand
  readonly #objects: ObjectStore
  readonly #job: JobUnderDebug
  readonly #deps: DebugDeps

  constructor(
    command: DebugCommand,
    of: { readonly objects: ObjectStore; readonly job: JobUnderDebug; readonly deps: DebugDeps },
  ) {
    this.#command = command
    this.#objects = of.objects
    this.#job = of.job
    this.#deps = of.deps
  }

  async run(id: JobId, kept: readonly KeptCheckpoint[]): Promise<Debugged> {
    const { partition, offset, fromCheckpoint } = this.#command
    const definition = await this.#job.load()
    const { source, manifest, position } = await this.#placed(definition, id, kept)
    mustBeOf(manifest, definition)
    this.#warn(definition, offset - position)
    const record = await only(this.#records(source, offset, offset + 1))
    const common = { manifest, objects: this.#objects, source: source.uid, partition, registry }
    const options: Omit<ReplayOptions, 'job'> = {
      ...common,
      allowCalls: this.#command.allowCalls,
      settleMs: this.#settleMs,
    }
    // What comes before may meet other keys.
    const groups = fromCheckpoint ? () => null : await keyGroupsOf({ ...options, job: definition }, record)
    await using replay = await Replay.open({ ...options, groups, job: await this.#job.load() })
    const replayedBefore = fromCheckpoint ? await this.#before(replay, source, position) : 0
    const inspector = this.#inspector()
    try {
      const replayed = await replay.record(record, { stops: this.#command.inspect === 'break' })
      return {
        ...{ jobId: id, checkpoint: manifest.epoch, bundleDigest: this.#job.digest },
        ...{ source: source.uid, partition, offset, between: offset - position, replayedBefore },
        ...replayed,
      }
    } finally {
      inspector?.close()
    }
  }

  /** Source, checkpoint and where that stands. */
  async #placed(
    definition: JobDefinition,
    id: JobId,
    kept: readonly KeptCheckpoint[],
  ): Promise<{ readonly source: SourceNode; readonly manifest: Manifest; readonly position: number }> {
    const { source: uid, topic, checkpoint, partition, offset } = this.#command
    const sources = definition.graph.nodes.filter((node) => node.kind === 'source')
    const source = sourceOf(sources, { uid, topic })
    const asked = checkpoint === undefined ? kept : [checkpointAt(kept, checkpoint, id)]
    const positions: string[] = []
    for (const one of asked) {
      const manifest = await one.read()
      const position = positionIn(manifest, source.uid, partition)
      // A partition it has not seen is read from its beginning, or from the record's.
      if (position === null || position <= offset) return { source, manifest, position: position ?? offset }
      positions.push(`${one.epoch} at ${position}`)
    }
    throw new WeirError(
      { code: 'DEBUG_BEFORE_CHECKPOINT', kind: 'invalid', source: source.uid, partition, offset, positions },
      `the record at offset ${offset} of partition ${partition} is in the state already: checkpoint ${positions.join(', checkpoint ')}. A ` +
        `record is replayed with a state from before it: ${checkpoint === undefined ? 'none is kept' : `kept are ${kept.map(({ epoch }) => epoch).join(', ')}`}; ` +
        'more stay with the setting `checkpoint: { retained }`.',
    )
  }

  async #before(replay: Replay, source: SourceNode, position: number): Promise<number> {
    const { offset } = this.#command
    let records = 0
    if (position === offset) return records
    for await (const batch of this.#records(source, position, offset, 'some')) {
      await replay.pass(batch)
      records += batch.kind === 'raw' ? batch.raw.count : batch.values.length
    }
    return records
  }

  #records(
    source: SourceNode,
    from: number,
    to: number,
    wanted: RecordPlace['wanted'] = 'last',
  ): AsyncGenerator<SourceBatch> {
    const { partition, kafka, env } = this.#command
    const deps: RecordDeps = { kafka, log: env['WEIR_LOG'], env }
    return recordsOf({ source, partition, from, to, wanted }, deps)
  }

  #warn(job: JobDefinition, between: number): void {
    const { nodes } = job.graph
    const { note } = this.#deps
    const { allowCalls, fromCheckpoint } = this.#command
    const claims = nodes.filter(({ kind }) => kind === 'idempotent').map(({ uid }) => uid)
    const calls = nodes.filter(({ kind }) => kind === 'asyncMap').map(({ uid }) => uid)
    if (claims.length > 0)
      note(
        `claims of ${claims.join(', ')} are kept outside: they are neither read nor made, and the record is the first`,
      )
    if (calls.length > 0 && !allowCalls)
      note(`calls of ${calls.join(', ')} are not made: a record ends there; --allow-calls makes them`)
    if (between > 0 && !fromCheckpoint)
      note(
        `${between} offsets of the partition lie between the checkpoint and the record: it meets the state of the checkpoint; --from-checkpoint replays them first`,
      )
    if (fromCheckpoint && planJob(job).stages.length > 1)
      note(
        'records of other partitions with the same keys are not replayed: in which order they met is nowhere recorded',
      )
  }

  get #settleMs(): number | null {
    return this.#command.inspect === 'no' ? SETTLE_MS : null
  }

  #inspector(): OpenInspector | undefined {
    const { inspect, inspectPort } = this.#command
    if (inspect === 'no') return undefined
    const stops =
      inspect === 'break' ? 'it stops in front of the first function of the job' : 'it stops at your breakpoints'
    return waitForDebugger(inspectPort, (url) =>
      this.#deps.note(`waiting for a debugger (chrome://inspect, or "attach" of an editor) at ${url}; ${stops}`),
    )
  }
}

const registry = (settings: RegistrySettings, signal: AbortSignal): HttpSchemaRegistry =>
  new HttpSchemaRegistry(settings, { clock: systemClock, signal, env: process.env })

async function only(batches: AsyncGenerator<SourceBatch>): Promise<SourceBatch> {
  let last: SourceBatch | undefined
  for await (const batch of batches) last = batch
  return last!
}
