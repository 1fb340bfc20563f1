/**
 * Jobs that are started from a savepoint or a kept epoch: what `--from` means, whether it may be, and the first epoch of the
 * new run (libs/job/src/start-from.ts has the rules). Everything that is needed to make that epoch stands in the job's record,
 * so that the next leader can make it too; the run owns copies of all it was started from.
 */
import type {
  PublishedEpoch,
  JobRecord,
  LeaderStores,
  Manifest,
  ManifestRef,
  ObjectStore,
  StoredSegment,
} from '@weir/checkpoint'
import { segmentsOf } from '@weir/checkpoint'
import type { PlanSummary } from '@weir/dataflow'
import {
  judgeStart,
  startingSubtasks,
  type Accepted,
  type Beginning,
  type JobMaster,
  type OutputStanding,
  type SinkOutcome,
  type StartPoint,
  type StartProblem,
  type StartTarget,
} from '@weir/job'
import { copyObject, eachOf, importedKey, readSavepoint, type Patience } from '@weir/metadata'
import { WeirError, jobId, type CheckpointId, type Clock, type Digest, type Epoch, type JobId } from '@weir/model'

export interface StartWish extends Accepted {
  /** `EPOCH` of the same id, `JOB@EPOCH`, `NAME` of a savepoint of the same id, `JOB/NAME`, or the URL of a savepoint's folder. */
  readonly from: string
}

/** Where it lies. JSON, in the job's record. */
type StartSource =
  /** `url` null: in the cluster's own store. */
  | { readonly kind: 'savepoint'; readonly folder: string; readonly url: string | null; readonly label: string }
  | {
      readonly kind: 'epoch'
      readonly jobId: JobId
      readonly ref: ManifestRef
      readonly plan: PlanSummary
      readonly graphHash: string
      readonly bundleDigest: Digest
      readonly label: string
    }

/** What a build would be told. */
export interface StartCheck {
  /** What was looked at. */
  readonly label: string
  /** Empty: it can go on. */
  readonly problems: readonly StartProblem[]
  readonly notes: readonly string[]
}

/** `JobRecord.from`. JSON. */
export interface JobStart {
  readonly source: StartSource
  readonly dropped: readonly string[]
  readonly notes: readonly string[]
  /** What was published under the id before this run. */
  readonly after: Epoch
}

export interface StartsDeps {
  readonly stores: LeaderStores
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Null: the job has ended, or there is none. */
  running(jobId: JobId): JobMaster | null
  /** Null: the job has not ended, or there is none. */
  ended(jobId: JobId): JobRecord | null
  /** Of a job that runs or has ended; `at` empty: the last one. Throws `STATE_NONE`, `STATE_EPOCH_UNKNOWN` (invalid). */
  finalEpoch(jobId: JobId, at: string): Promise<ManifestRef>
}

/** `EPOCH`, `JOB@EPOCH` */
const EPOCH_OF = /^(?:([a-z0-9][a-z0-9-]{0,62})@)?(\d{1,15})$/
/** `NAME`, `JOB/NAME` */
const SAVEPOINT_OF = /^(?:([a-z0-9][a-z0-9-]{0,62})\/)?([a-z][a-z0-9._-]{0,62})$/
/** All that a start may be from: the two above, or where the folder of a savepoint is. */
export const START_FROM = new RegExp(
  `${EPOCH_OF.source}|${SAVEPOINT_OF.source}|^(?:s3://[a-z0-9.-]{3,63}|file://)/\\S+$`,
)

/** An outage of an object store that a start waits out, ms. */
const OUTAGE_MS_MAX = 60_000
const COPIES_AT_ONCE = 4

export class Starts {
  readonly #deps: StartsDeps

  constructor(deps: StartsDeps) {
    this.#deps = deps
  }

  /**
   * Throws `START_REFUSED`, `START_INVALID`, `JOB_EXISTS`, `JOB_UNKNOWN`, `EPOCH_NOT_KEPT`, `SAVEPOINT_…`, `MANIFEST_…` (invalid);
   * `JOB_UNSETTLED` (retry).
   * @returns the record of the new run.
   */
  async judged(record: JobRecord, wish: StartWish): Promise<JobRecord> {
    const before = this.#deps.ended(record.jobId)
    const source = await this.#sourceOf(wish.from, record.jobId)
    const { point } = await this.#load(source)
    if (before !== null && point.jobId !== record.jobId) throw otherJobs(record.jobId, point.label)
    const output = await this.#standing(point.jobId)
    // The old run must be over before the new one fences its ids: what it has published is proven by then (PROTOCOL A23).
    if (before !== null && before.ended!.ledger === 'unsettled' && output?.subtasks) throw unsettled(record.jobId)
    const plan = record.plan as PlanSummary
    const { notes, dropped } = judgeStart(point, { ...record, plan }, wish, output)
    const elsewhere = point.jobId === record.jobId && before === null
    const warning = `job id ${record.jobId} was used elsewhere: it must not run there any more, both would fence each other`
    const after = before === null ? (0 as Epoch) : (output?.published ?? (0 as Epoch))
    const from: JobStart = { source, dropped, notes: [...notes, ...(elsewhere ? [warning] : [])], after }
    if (point.jobId !== record.jobId) return { ...record, from }
    return { ...record, from, highestParallelism: Math.max(record.highestParallelism ?? 0, widest(point)) }
  }

  /**
   * What `judged` would say of the state, output aside; starts nothing. `from` may also be a JOB, and JOB@EPOCH of one that
   * runs: its final epochs are looked at. Throws as `judged`, but for `START_REFUSED`.
   */
  async checked(
    from: string,
    target: Omit<StartTarget, 'jobId'>,
    droppedState: readonly string[],
  ): Promise<StartCheck> {
    const [, of, epoch = ''] = /^([a-z0-9][a-z0-9-]{0,62})(?:@(\d{1,15}))?$/.exec(from) ?? []
    const point =
      of === undefined
        ? (await this.#load(await this.#sourceOf(from, '' as JobId))).point
        : await this.#final(jobId(of), epoch)
    const { label, jobId: owner } = point
    try {
      const { notes } = judgeStart(point, { ...target, jobId: owner }, { droppedState, repeatedOutput: true }, null)
      return { label, problems: [], notes }
    } catch (error) {
      if (!(error instanceof WeirError) || error.code !== 'START_REFUSED') throw error
      return { label, problems: error.facts['problems'] as StartProblem[], notes: [] }
    }
  }

  /** A job's final epoch, whether it runs or not. */
  async #final(of: JobId, at: string): Promise<StartPoint> {
    const about = this.#deps.running(of)?.spec ?? this.#deps.ended(of)
    if (about === null) throw notEnded(of, false)
    const plan = about.plan as PlanSummary
    const ref = await this.#deps.finalEpoch(of, at)
    const manifest = await this.#deps.stores.checkpoints(of, plan.settings.arbiter).readManifest(ref)
    const { graphHash, bundleDigest } = about
    return { ...manifest, label: `epoch ${ref.epoch} of job ${of}`, stopped: false, plan, graphHash, bundleDigest }
  }

  /** For the JobMaster; null: the job was not started from anything. */
  beginningOf(record: JobRecord): Beginning | null {
    const from = record.from as JobStart | undefined
    if (from === undefined) return null
    return { after: from.after, make: (checkpoint, published) => this.#firstEpoch(record, from, checkpoint, published) }
  }

  async #firstEpoch(
    record: JobRecord,
    { source, dropped }: JobStart,
    checkpoint: CheckpointId,
    published: PublishedEpoch | null,
  ): Promise<Manifest> {
    const { point, objects, folder } = await this.#load(source)
    const plan = record.plan as PlanSummary
    const target = { ...record, plan }
    const output: OutputStanding | null = published && {
      ...{ running: false, published: published.ref.epoch, lost: [] },
      subtasks: published.manifest?.subtasks ?? null,
    }
    const keys = new Map<string, string>()
    // What lies under the job's own epochs is the job's already.
    if (source.kind === 'savepoint' || source.jobId !== record.jobId) {
      const segments = new Map<string, StoredSegment>()
      const needed = startingSubtasks(point, target, { dropped }, output, (key) => key)
      for (const segment of needed.flatMap(segmentsOf)) segments.set(segment.key, segment)
      for (const key of segments.keys()) {
        const file = `${String(keys.size + 1).padStart(6, '0')}.seg`
        keys.set(key, importedKey(record.jobId, checkpoint, file))
      }
      const own = this.#deps.stores.objects
      await eachOf([...segments.values()], COPIES_AT_ONCE, (segment) =>
        copyObject(
          objects,
          { ...segment, key: folder + segment.key },
          { objects: own, key: keys.get(segment.key)! },
          this.#patience,
        ),
      )
    }
    return {
      ...{ formatVersion: 1, jobId: record.jobId, ...checkpoint },
      ...{ parentEpoch: 0 as Epoch, parentDigest: null, graphHash: record.graphHash },
      ...{ parallelism: point.parallelism, maxParallelism: point.maxParallelism },
      ...{ triggeredAt: record.submittedAt, lastCommittedAt: null },
      subtasks: startingSubtasks(point, target, { dropped }, output, (key) => keys.get(key) ?? key),
    }
  }

  // ---- what `--from` means ------------------------------------------------------------------------------------------

  async #sourceOf(from: string, target: JobId): Promise<StartSource> {
    if (from.includes('://')) {
      const url = from.endsWith('/') ? from : `${from}/`
      return { kind: 'savepoint', folder: '', url, label: `the savepoint at ${from}` }
    }
    const [, of, epoch] = EPOCH_OF.exec(from) ?? []
    if (epoch !== undefined) return this.#epoch(of === undefined ? target : jobId(of), Number(epoch))
    const [, owner, name] = SAVEPOINT_OF.exec(from) ?? []
    if (name !== undefined) return this.#savepoint(owner === undefined ? target : jobId(owner), name)
    throw new WeirError(
      { code: 'START_INVALID', kind: 'invalid', from },
      `--from ${from}: give an EPOCH or the NAME of a savepoint of the same job, JOB@EPOCH, JOB/NAME, or the URL of a savepoint's folder`,
    )
  }

  async #savepoint(of: JobId, name: string): Promise<StartSource> {
    const stored = await this.#deps.stores.savepoints(of).list()
    const found = stored.findLast(({ savepoint }) => savepoint.name === name)
    const label = `savepoint "${name}" of job ${of}`
    if (found !== undefined) return { kind: 'savepoint', folder: found.folder, url: null, label }
    throw new WeirError(
      { code: 'SAVEPOINT_UNKNOWN', kind: 'invalid', jobId: of, name },
      `there is no ${label}; \`weir savepoints ${of}\` lists those there are, and JOB/NAME names one of another job`,
    )
  }

  #epoch(of: JobId, epoch: number): StartSource {
    const record = this.#deps.ended(of)
    if (record === null) throw notEnded(of, this.#deps.running(of) !== null)
    const { kept = [] } = record.ended!
    const ref = kept.find((one) => one.epoch === epoch)
    if (ref === undefined) {
      throw new WeirError(
        { code: 'EPOCH_NOT_KEPT', kind: 'invalid', jobId: of, epoch, kept: kept.map((one) => one.epoch) },
        `epoch ${epoch} of job ${of} is not kept; kept ${kept.length === 0 ? 'is none' : `are ${kept.map((one) => one.epoch).join(', ')}`}`,
      )
    }
    const { graphHash, bundleDigest } = record
    const plan = record.plan as PlanSummary
    return { kind: 'epoch', jobId: of, ref, plan, graphHash, bundleDigest, label: `epoch ${epoch} of job ${of}` }
  }

  async #load(source: StartSource): Promise<{ point: StartPoint; objects: ObjectStore; folder: string }> {
    const { objects } = this.#deps.stores
    const { label } = source
    if (source.kind === 'savepoint') {
      const store = source.url === null ? objects : this.#elsewhere(source.url)
      const savepoint = await readSavepoint(store, source.folder, this.#patience)
      const point: StartPoint = { ...savepoint, plan: savepoint.plan as PlanSummary, label }
      return { point, objects: store, folder: source.folder }
    }
    const { ref, plan, graphHash, bundleDigest } = source
    const store = this.#deps.stores.checkpoints(source.jobId, plan.settings.arbiter)
    const manifest = await store.readManifest(ref)
    const point: StartPoint = { ...manifest, label, stopped: false, plan, graphHash, bundleDigest }
    return { point, objects, folder: '' }
  }

  #elsewhere(url: string): ObjectStore {
    const { elsewhere } = this.#deps.stores
    if (elsewhere !== undefined) return elsewhere(url)
    throw new WeirError({ code: 'START_INVALID', kind: 'invalid', url }, `${url}: this cluster reads no other store`)
  }

  /** What a job has published: null when this cluster does not know it. */
  async #standing(of: JobId): Promise<OutputStanding | null> {
    const master = this.#deps.running(of)
    if (master !== null) {
      const published = master.published()
      const subtasks = published?.manifest?.subtasks ?? []
      return { running: true, published: (published?.ref.epoch ?? 0) as Epoch, subtasks, lost: [] }
    }
    const record = this.#deps.ended(of)
    if (record === null) return null
    const [newest] = record.ended!.kept ?? []
    if (newest === undefined) return { running: false, published: 0 as Epoch, subtasks: [], lost: [] }
    const store = this.#deps.stores.checkpoints(of, (record.plan as PlanSummary).settings.arbiter)
    const manifest = await store.readManifest(newest).catch((thrown: unknown) => {
      if (thrown instanceof WeirError && thrown.kind === 'invalid') return null
      throw thrown
    })
    const outcomes = (record.ended!.outcomes ?? []) as readonly SinkOutcome[]
    const lost = outcomes.filter(
      ({ epoch, state }) => epoch === newest.epoch && (state === 'LOST' || state === 'UNKNOWN'),
    )
    return {
      ...{ running: false, published: newest.epoch, subtasks: manifest?.subtasks ?? null },
      lost: [...new Set(lost.map(({ sink }) => sink))],
    }
  }

  get #patience(): Patience {
    const { clock, signal } = this.#deps
    return { clock, signal, budgetMs: OUTAGE_MS_MAX }
  }
}

/** Subtasks whose transactional ids have been used, as far as the state tells (PROTOCOL B4). */
const widest = ({ subtasks, parallelism }: StartPoint): number =>
  Math.max(parallelism, ...subtasks.flatMap(({ retired = {} }) => Object.keys(retired).map((k) => Number(k) + 1)))

const notEnded = (of: JobId, running: boolean): WeirError =>
  running
    ? new WeirError(
        { code: 'JOB_RUNNING', kind: 'invalid', jobId: of },
        `job ${of} is running, and its epochs come and go: take a savepoint (\`weir savepoint ${of} NAME\`, or \`weir stop ${of} NAME\`) and start from that`,
      )
    : new WeirError(
        { code: 'JOB_UNKNOWN', kind: 'invalid', jobId: of },
        `there is no job "${of}" to start from; \`weir jobs\` lists those there are`,
      )
const otherJobs = (id: JobId, label: string): WeirError =>
  new WeirError(
    { code: 'JOB_EXISTS', kind: 'invalid', jobId: id },
    `a job "${id}" exists already, and ${label} is another one's: its transactions carry the id, so submit with --id NEW-ID`,
  )
const unsettled = (id: JobId): WeirError =>
  new WeirError(
    { code: 'JOB_UNSETTLED', kind: 'retry', jobId: id },
    `published transactions of ${id} are not proven committed yet; \`weir txn list ${id}\` shows them. Try again when they are (a task-manager must be there)`,
  )
