/**
 * State of the jobs of one term, as their last final epoch has it (or another kept one): what `weir state` and REST show.
 * Read from the object store by ranges; nothing of a running slice is looked at, and no segment is read as a whole.
 */
import { hash } from 'node:crypto'
import {
  withKeys,
  type JobRecord,
  type LeaderStores,
  type Manifest,
  type ManifestRef,
  type Savepoint,
} from '@weir/checkpoint'
import { shownValue, type PlanSummary, type StoredSchema } from '@weir/dataflow'
import { WeirError, type JobId, type Key } from '@weir/model'
import {
  PAGE_ENTRIES_MAX,
  StateReader,
  diffStates,
  type ChainSummary,
  type StateDifference,
  type StatePosition,
  type StateSummary,
  type StoredEntry,
} from '@weir/state/reading'

/** Which epoch an answer is from. */
export interface FromEpoch {
  readonly jobId: JobId
  readonly epoch: number
  /** Its name, where it is read from a savepoint. */
  readonly savepoint: string | null
  /** Wall clock of its barrier, ms since 1970. */
  readonly triggeredAt: number
}

export interface StateOverview extends FromEpoch {
  readonly parallelism: number
  readonly maxParallelism: number
  readonly sources: readonly string[]
  readonly states: readonly StateSummary[]
  readonly chains: readonly ChainSummary[]
}

/** `value` as JSON (`shownValue`): what JSON does not have is tagged, `{"$bigint":"1"}` `{"$map":[[k,v]…]}` `{"$date":ms}`. */
export interface StateValues extends FromEpoch {
  readonly operatorUid: string
  readonly name: string
  readonly entries: readonly StoredEntry[]
}
export interface StateListing extends StateValues {
  /** `cursor` of the next page, of the same epoch; null: this is the last. */
  readonly next: string | null
}
export interface EpochDifference {
  readonly jobId: JobId
  readonly before: number
  readonly after: number
  readonly states: readonly StateDifference[]
}

const PAGE_ENTRIES = 100
/** base64url */
export const STATE_CURSOR = /^[\w-]+$/
/** Changes shown per state. */
export const DIFF_CHANGES_MAX = 1_000
/** Of one term at once; whole chains are read by one at a time. */
const READS_MAX = 16

export interface StoredStatesDeps {
  readonly stores: LeaderStores
  /** The highest final epoch of a running job; null: it has ended. Throws `JOB_UNKNOWN`. */
  readonly running: (jobId: JobId) => { readonly finalEpoch: number } | null
  /** Of a job that has ended. */
  readonly ended: (jobId: JobId) => JobRecord
  readonly planOf: (jobId: JobId) => PlanSummary
}

/**
 * `at`: an epoch or the name of a savepoint; empty: the last final epoch. Every call throws `JOB_UNKNOWN`, `STATE_NONE`,
 * `STATE_EPOCH_UNKNOWN`, `SAVEPOINT_UNKNOWN` (invalid),
 * `STATE_BUSY`, `STATE_EPOCH_GONE` (retry), and what is damaged: `MANIFEST_…`, `SEGMENT_…` (invalid).
 */
export class StoredStates {
  readonly #deps: StoredStatesDeps
  #reads = 0
  #scans = 0

  constructor(deps: StoredStatesDeps) {
    this.#deps = deps
  }

  /** @param count keys too: reads everything */
  overview(jobId: JobId, at: string, count: boolean): Promise<StateOverview> {
    return this.#read(jobId, at, count, async (reader, stored, from) => {
      const { parallelism, maxParallelism, subtasks } = stored
      const states = count ? await reader.counted() : await reader.states()
      const sources = [...new Set(subtasks.flatMap((subtask) => Object.keys(subtask.sources)))].sort()
      return { ...from, parallelism, maxParallelism, sources, states, chains: reader.chains() }
    })
  }

  /** @param split of state that is kept by split; null: every one */
  get(jobId: JobId, at: string, of: StatePlace, key: string, split: number | null): Promise<StateValues> {
    return this.#read(jobId, at, false, async (reader, _, from) => {
      const state = await known(reader, of)
      const shown = await shownBy(reader, state)
      return { ...from, ...state, entries: (await reader.get(state, key, split)).map(shown) }
    })
  }

  /** By key group, then by key. Throws `PAGE_INVALID`, `PAGE_UNKNOWN` (invalid). */
  page(
    jobId: JobId,
    at: string,
    of: StatePlace,
    page: { readonly cursor?: string | undefined; readonly limit?: number | undefined },
  ): Promise<StateListing> {
    const { limit = PAGE_ENTRIES } = page
    if (limit > PAGE_ENTRIES_MAX) throw pageInvalid(`limit is ${limit}; at most ${PAGE_ENTRIES_MAX}`)
    const cursor = page.cursor === undefined ? null : cursorIn(page.cursor)
    return this.#read(jobId, cursor === null ? at : cursor.at, false, async (reader, _, from) => {
      await known(reader, of)
      const { entries, next } = await reader.page(of, cursor, limit)
      const shown = await shownBy(reader, of)
      return {
        ...from,
        ...of,
        entries: entries.map(shown),
        next: next && cursorOf(from.savepoint ?? String(from.epoch), next),
      }
    })
  }

  diff(jobId: JobId, before: string, after: string, limit: number): Promise<EpochDifference> {
    if (limit > DIFF_CHANGES_MAX) throw pageInvalid(`limit is ${limit}; at most ${DIFF_CHANGES_MAX}`)
    return this.#read(jobId, before, true, (a, _a, { epoch }) =>
      this.#read(jobId, after, false, async (b, _b, to) => {
        const [schemaBefore, schemaAfter] = await Promise.all([schemasOf(a), schemasOf(b)])
        const states = (await diffStates(a, b, limit)).map((state) => ({
          ...state,
          changes: state.changes.map((change) => ({
            ...change,
            ...('before' in change && { before: shownValue(schemaBefore(state), change.before, sha256) }),
            ...('after' in change && { after: shownValue(schemaAfter(state), change.after, sha256) }),
          })),
        }))
        return { jobId, before: epoch, after: to.epoch, states }
      }),
    )
  }

  async #read<T>(
    jobId: JobId,
    at: string,
    scan: boolean,
    call: (reader: StateReader, stored: Stored, from: FromEpoch) => Promise<T>,
  ): Promise<T> {
    if (this.#reads >= READS_MAX || (scan && this.#scans > 0)) {
      throw new WeirError(
        { code: 'STATE_BUSY', kind: 'retry', jobId },
        scan ? 'another state is being read as a whole; ask again later' : `${READS_MAX} reads run already; ask again`,
      )
    }
    this.#reads++
    if (scan) this.#scans++
    try {
      const { objects } = this.#deps.stores
      if (isName(at)) {
        const stored = await this.#savepoint(jobId, at)
        const from = { jobId, epoch: stored.epoch, savepoint: at, triggeredAt: stored.takenAt }
        return await call(new StateReader(stored, objects), stored, from)
      }
      const ref = await this.finalEpoch(jobId, at)
      try {
        const manifest = await this.#manifest(jobId, ref)
        const { epoch, triggeredAt } = manifest
        return await call(new StateReader(manifest, objects), manifest, { jobId, epoch, savepoint: null, triggeredAt })
      } catch (error) {
        // Deleted while it was read, after newer epochs had taken its place?
        const missing =
          error instanceof WeirError && (error.code === 'SEGMENT_MISSING' || error.code === 'MANIFEST_MISSING')
        if (!missing || (await this.#kept(jobId)).some(({ epoch }) => epoch === ref.epoch)) throw error
        throw new WeirError(
          { code: 'STATE_EPOCH_GONE', kind: 'retry', jobId, epoch: ref.epoch },
          `epoch ${ref.epoch} of job "${jobId}" is not kept any more; begin again with a newer one`,
        )
      }
    } finally {
      this.#reads--
      if (scan) this.#scans--
    }
  }

  /** Final ones only: what is published and not final may have output that nobody sees yet. */
  async finalEpoch(jobId: JobId, at: string): Promise<ManifestRef> {
    const final = await this.#finalOnes(jobId)
    const [newest] = final
    if (newest === undefined) {
      throw new WeirError(
        { code: 'STATE_NONE', kind: 'invalid', jobId },
        `job "${jobId}" has no final epoch yet, so there is no state to be read: the first checkpoint of a run makes one`,
      )
    }
    if (at === '') return newest
    const ref = final.find(({ epoch }) => String(epoch) === at)
    if (ref !== undefined) return ref
    const epochs = final.map(({ epoch }) => epoch)
    throw new WeirError(
      { code: 'STATE_EPOCH_UNKNOWN', kind: 'invalid', jobId, at, epochs },
      `job "${jobId}" has no final epoch "${at}"; kept are ${epochs.join(', ')}`,
    )
  }

  async #savepoint(jobId: JobId, name: string): Promise<Savepoint> {
    this.#deps.planOf(jobId)
    const found = (await this.#deps.stores.savepoints(jobId).list()).findLast(
      ({ savepoint }) => savepoint.name === name,
    )
    if (found === undefined) {
      throw new WeirError(
        { code: 'SAVEPOINT_UNKNOWN', kind: 'invalid', jobId, name },
        `job "${jobId}" has no savepoint "${name}"; \`weir savepoints ${jobId}\` lists those it has`,
      )
    }
    const { savepoint, folder } = found
    return { ...savepoint, subtasks: savepoint.subtasks.map((subtask) => withKeys(subtask, (key) => folder + key)) }
  }

  async #finalOnes(jobId: JobId): Promise<readonly ManifestRef[]> {
    const running = this.#deps.running(jobId)
    const kept = await this.#kept(jobId)
    const head = kept[0]
    if (head === undefined) return []
    // The epoch before the newest is final: none is published before its parent is.
    const isFinal =
      running === null ? this.#deps.ended(jobId).ended?.ledger !== 'unsettled' : head.epoch <= running.finalEpoch
    return isFinal ? kept : kept.slice(1)
  }

  /** Newest first. */
  async #kept(jobId: JobId): Promise<readonly ManifestRef[]> {
    const head = await this.#deps.stores.epochs(jobId).head()
    if (head === null || head.manifest === null) return []
    const { retention } = await this.#manifest(jobId, head.manifest)
    return [head.manifest, ...(retention?.epochs ?? [])]
  }

  #manifest(jobId: JobId, ref: ManifestRef): Promise<Manifest> {
    const { arbiter } = this.#deps.planOf(jobId).settings
    return this.#deps.stores.checkpoints(jobId, arbiter).readManifest(ref)
  }
}

type Stored = Pick<Manifest, 'parallelism' | 'maxParallelism' | 'subtasks'>

/** Savepoints begin with a letter, epochs are numbers. */
const isName = (at: string): boolean => /^[a-z]/.test(at)

export interface StatePlace {
  readonly operatorUid: string
  readonly name: string
}

/** A map or list is stored under its name and `[]`. */
async function known(reader: StateReader, { operatorUid, name }: StatePlace): Promise<StatePlace> {
  const states = await reader.states()
  const found = [name, `${name}[]`].find((one) =>
    states.some((state) => state.operatorUid === operatorUid && state.name === one),
  )
  if (found !== undefined) return { operatorUid, name: found }
  const there = states.map((state) => `${state.operatorUid} ${state.name}`)
  throw new WeirError(
    { code: 'STATE_UNKNOWN', kind: 'invalid', operatorUid, state: name, states: there },
    `there is no state "${name}" of an operator "${operatorUid}" in this epoch; there ${there.length === 0 ? 'is none' : `are: ${there.join(', ')}`}`,
  )
}

const sha256 = (text: string): string => hash('sha256', text)

async function schemasOf(reader: StateReader): Promise<(of: StatePlace) => StoredSchema | null> {
  const states = await reader.states()
  return ({ operatorUid, name }) =>
    states.find((state) => state.operatorUid === operatorUid && state.name === name)?.schema ?? null
}

async function shownBy(reader: StateReader, of: StatePlace): Promise<(entry: StoredEntry) => StoredEntry> {
  const schema = (await schemasOf(reader))(of)
  return (entry) => ({ ...entry, value: shownValue(schema, entry.value, sha256) })
}

// ---- cursors --------------------------------------------------------------------------------------------------------

const cursorOf = (at: string, { group, row, namespace }: StatePosition): string =>
  Buffer.from(JSON.stringify([at, group, row, namespace])).toString('base64url')

function cursorIn(text: string): StatePosition & { readonly at: string } {
  if (!STATE_CURSOR.test(text))
    throw pageInvalid(`cursor is "${text.slice(0, 80)}"; give the "next" of the page before`)
  try {
    const parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as unknown[]
    const [at, group, row, namespace] = parts as [string, number, Key | null, number]
    const places = typeof at === 'string' && Number.isSafeInteger(group) && Number.isSafeInteger(namespace)
    if (parts.length === 4 && places && (row === null || typeof row === 'string' || typeof row === 'number'))
      return { at, group, row, namespace }
  } catch {
    // said below
  }
  throw new WeirError(
    { code: 'PAGE_UNKNOWN', kind: 'invalid' },
    `"${text}" is no cursor; give the "next" of the page before`,
  )
}

const pageInvalid = (why: string): WeirError => new WeirError({ code: 'PAGE_INVALID', kind: 'invalid' }, why)
