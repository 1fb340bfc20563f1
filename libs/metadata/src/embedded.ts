/**
 * Metadata of the embedded mode: one folder, one process. The same arbiter runs over it; the register is a LevelDB whose
 * lock (taken by the operating system, freed with the process) also keeps a second job-manager out.
 */
import type {
  Election,
  JobRecord,
  JobStore,
  LeaderRecord,
  LeaderStores,
  Leadership,
  ManifestRef,
} from '@weir/checkpoint'
import { WeirError, generation, type JobId, type Random } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { ClassicLevel } from 'classic-level'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { EmbeddedAnswerStore, type AnswerStore } from './answer-store.ts'
import type { RegisterView } from './arbiter.ts'
import { ArbitratedCheckpointStore, type HeadRegister } from './checkpoint-store.ts'
import { jobObjects } from './epoch-objects.ts'
import { FolderObjectStore, makeFolder, syncFolder } from './folder-objects.ts'
import { openElsewhere } from './settings.ts'

const SYNC = { sync: true } as const
type Db = ClassicLevel<string, string>

export interface EmbeddedMetadata {
  readonly objects: FolderObjectStore
  readonly election: Election
  readonly answers: AnswerStore
  stores(leadership: Leadership): LeaderStores
  close(): Promise<void>
}

/**
 * Throws `DATA_DIR_IN_USE` (invalid) when another process has the folder.
 * @param sync what is durable is known by it
 */
export async function openEmbeddedMetadata(
  folder: string,
  random: Random,
  sync = syncFolder,
): Promise<EmbeddedMetadata> {
  const [register, root] = [join(folder, 'register'), join(folder, 'objects')]
  await makeFolder(folder, sync)
  for (const path of [register, root]) await mkdir(path, { recursive: true })
  await sync(folder)
  const db: Db = new ClassicLevel(register)
  try {
    await db.open()
  } catch (error) {
    throw new WeirError(
      { code: 'DATA_DIR_IN_USE', kind: 'invalid', folder },
      `the data folder ${folder} cannot be opened (${((error as Error).cause as Error | undefined)?.message ?? (error as Error).message}): ` +
        'another process uses it. Stop that one, or choose another folder.',
      { cause: error },
    )
  }
  const objects = new FolderObjectStore(root, sync)
  const jobs = new EmbeddedJobStore(db)
  return {
    objects,
    election: new EmbeddedElection(db),
    answers: new EmbeddedAnswerStore(db, () => systemClock.now()),
    stores: (leadership) => ({
      jobs,
      objects,
      elsewhere: (url) => openElsewhere(url, process.env),
      ...jobObjects({ objects, clock: systemClock, signal: leadership.signal }),
      checkpoints: (jobId, arbiter) =>
        new ArbitratedCheckpointStore(jobId, leadership.generation, arbiter, {
          objects,
          register: new EmbeddedRegister(db),
          random,
        }),
    }),
    close: () => db.close(),
  }
}

/** Who has the folder leads. */
class EmbeddedElection implements Election {
  readonly #db: Db
  #leader: LeaderRecord | null = null

  constructor(db: Db) {
    this.#db = db
  }

  async campaign(self: Omit<LeaderRecord, 'generation'>, signal: AbortSignal): Promise<Leadership> {
    const own = generation(Number((await this.#db.get('generation')) ?? 0) + 1)
    await this.#db.put('generation', String(own), SYNC)
    this.#leader = { generation: own, ...self }
    return { generation: own, live: true, signal, resign: () => Promise.resolve() }
  }

  leader(): Promise<LeaderRecord | null> {
    return Promise.resolve(this.#leader)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

interface StoredHead {
  readonly revision: number
  readonly ref: ManifestRef
}

class EmbeddedRegister implements HeadRegister {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async read(jobId: JobId): Promise<RegisterView> {
    const text = await this.#db.get(`head/${jobId}`)
    if (text === undefined) return { leading: true, manifest: null, revision: '0' }
    const { revision, ref } = JSON.parse(text) as StoredHead
    return { leading: true, manifest: ref, revision: String(revision) }
  }

  async swap(jobId: JobId, ref: ManifestRef, expected: string): Promise<{ won: boolean; view: RegisterView }> {
    const there = await this.read(jobId)
    if (there.revision !== expected) return { won: false, view: there }
    const revision = Number(expected) + 1
    await this.#db.put(`head/${jobId}`, JSON.stringify({ revision, ref } satisfies StoredHead), SYNC)
    return { won: true, view: { leading: true, manifest: ref, revision: String(revision) } }
  }
}

class EmbeddedJobStore implements JobStore {
  readonly #db: Db
  /** Read-change-write must not interleave with another. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(db: Db) {
    this.#db = db
  }

  create(record: JobRecord): Promise<boolean> {
    return this.#inTurn(async () => {
      if ((await this.get(record.jobId)) !== null) return false
      await this.#put(record)
      return true
    })
  }

  async get(jobId: JobId): Promise<JobRecord | null> {
    const text = await this.#db.get(`job/${jobId}`)
    return text === undefined ? null : (JSON.parse(text) as JobRecord)
  }

  async list(): Promise<readonly JobRecord[]> {
    const all = await this.#db.values({ gte: 'job/', lt: 'job0' }).all()
    return all.map((text) => JSON.parse(text) as JobRecord)
  }

  update(jobId: JobId, change: (record: JobRecord) => JobRecord): Promise<JobRecord> {
    return this.#inTurn(async () => {
      const record = await this.get(jobId)
      if (record === null) throw new WeirError({ code: 'JOB_UNKNOWN', kind: 'invalid', jobId }, `no job "${jobId}"`)
      const next = change(record)
      await this.#put(next)
      return next
    })
  }

  #put(record: JobRecord): Promise<void> {
    return this.#db.put(`job/${record.jobId}`, JSON.stringify(record), SYNC)
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(call)
    this.#turn = next.catch(() => undefined)
    return next
  }
}
