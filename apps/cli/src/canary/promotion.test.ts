/**
 * A promotion with every one of its calls failing in turn: not sent, or done and not answered. Whatever fails, one version runs in the end,
 * and never two: what a job-manager does for these calls is told here in a few lines (apps/job-manager/src/term.ts does it).
 */
import { WeirError } from '@weir/model'
import type { jobs } from '@weir/proto'
import { describe, expect, test } from 'vitest'
import type { Bundle } from '../bundle.ts'
import { TRIES, promoted, type PromotionClient } from './promotion.ts'

const away = (): WeirError =>
  new WeirError({ code: 'JOB_MANAGER_UNREACHABLE', kind: 'retry' }, 'no job-manager answers')
const invalid = (code: string): WeirError => new WeirError({ code, kind: 'invalid' }, code)

/** `before`: nothing has happened; `behind`: it is done, and nobody heard. */
type Fault = { readonly at: number; readonly is: 'before' | 'behind'; readonly times?: number }

class Cluster {
  state = 'RUNNING'
  version = 'old'
  savepoint: string | null = null
  /** Versions that were started, with what each began from. */
  readonly started: string[] = []
  readonly calls: string[] = []
  /** What the job-manager says to the new version, and what becomes of it. */
  refuses: string | null = null
  failsAs: string | null = null
  /** The job stops, and its savepoint cannot be made. */
  savepointFails = false
  readonly #fault: Fault | null

  constructor(fault: Fault | null = null) {
    this.#fault = fault
  }

  async #call<T>(name: string, answer: () => T): Promise<T> {
    const n = this.calls.push(name) - 1
    const { at = -1, is = 'before', times = 1 } = this.#fault ?? {}
    const fails = n >= at && n < at + times
    if (at >= 0 && fails && is === 'before') throw away()
    await Promise.resolve()
    const value = answer()
    if (at >= 0 && fails) throw away()
    return value
  }

  get #view(): jobs.JobView {
    const error = this.savepointFails && this.state === 'STOPPED' ? JSON.stringify(invalid('SAVEPOINT_FAILED')) : ''
    return { jobId: 'j', state: this.state, error } as jobs.JobView
  }
  get #taken(): jobs.SavepointView {
    return { jobId: 'j', name: this.savepoint, state: 'COMPLETE', takenAt: 0, error: '' } as jobs.SavepointView
  }

  readonly client = {
    get: () => this.#call('get', () => this.#view),
    graph: () => this.#call('graph', () => ({ bundleDigest: this.version })),
    takeSavepoint: (_job: string, name: string) =>
      this.#call('stop', () => {
        if (this.savepoint !== null && this.savepoint !== name) throw invalid('JOB_ENDING')
        if (this.savepoint === null && this.state !== 'RUNNING') throw invalid('JOB_NOT_RUNNING')
        if (!this.savepointFails) this.savepoint = name
        this.state = 'STOPPED'
        return { jobId: 'j', name, state: 'IN_PROGRESS' }
      }),
    listSavepoints: () => this.#call('savepoints', () => (this.savepoint === null ? [] : [this.#taken])),
    uploadBundle: () => this.#call('upload', () => undefined),
    submit: ({ bundleDigest, from = '' }: jobs.SubmitRequest) =>
      this.#call('submit', () => this.#start(bundleDigest, from, this.refuses, this.failsAs)),
    restart: ({ from }: jobs.RestartRequest) =>
      this.#call('restart', () => this.#start(this.version, from || 'its last epoch', null, null)),
  } as unknown as PromotionClient

  #start(version: string, from: string, refused: string | null, failsAs: string | null) {
    if (this.state !== 'STOPPED') throw invalid('JOB_EXISTS')
    if (refused !== null) throw invalid(refused)
    this.version = version
    this.state = failsAs ?? 'RUNNING'
    this.started.push(`${version} from ${from}`)
    return { jobId: 'j', notes: [] }
  }
}

const bundle = {
  digest: 'new',
  bytes: new Uint8Array(1),
  plan: { job: { name: 'j' }, summary: {} },
} as unknown as Bundle
const promote = (cluster: Cluster) =>
  promoted(cluster.client, {
    ...{ jobId: 'j', bundle, signature: '', savepoint: 'promote-1', droppedState: [], note: () => {}, pauseMs: 0 },
  })

test('the job stops with a savepoint, and the new version goes on from it', async () => {
  const cluster = new Cluster()
  expect(await promote(cluster)).toMatchObject({ state: 'RUNNING' })
  expect(cluster.calls).toEqual(['stop', 'get', 'savepoints', 'upload', 'submit', 'get'])
  expect(cluster.started).toEqual(['new from promote-1'])
})

const single = ['stop', 'get', 'savepoints', 'upload', 'submit', 'get again'].flatMap((call, at) =>
  (['before', 'behind'] as const).map((is) => ({ call, at, is })),
)
test.each(single)('a leader dies $is "$call": the new version runs, started once', async ({ at, is }) => {
  const cluster = new Cluster({ at, is })
  expect(await promote(cluster)).toMatchObject({ state: 'RUNNING' })
  expect([cluster.version, cluster.started]).toEqual(['new', ['new from promote-1']])
})

test.each(single)('nobody answers for long, from $is "$call" on: what is said then is true', async ({ at, is }) => {
  const cluster = new Cluster({ at, is, times: 1_000 })
  const error = await promote(cluster).then(
    () => null,
    (thrown: unknown) => thrown as WeirError,
  )
  expect(error).toMatchObject({ code: 'CANARY_NOT_PROMOTED', facts: { state: null, savepoint: 'promote-1' } })
  expect(error!.message).toContain('nobody answers')
  expect(error!.message).toContain('weir submit NEW.ts --id j --from promote-1')
  expect(cluster.started.length).toBeLessThanOrEqual(1)
  expect(cluster.calls.length).toBeLessThanOrEqual(6 + 3 * TRIES)
})

describe('what is refused', () => {
  test('the stop: the job runs as it did', async () => {
    const cluster = new Cluster()
    cluster.savepoint = 'somebody else'
    await expect(promote(cluster)).rejects.toThrow(/JOB_ENDING; it is RUNNING, and was not stopped/)
    expect(cluster.started).toEqual([])
  })

  test('the savepoint: the version before goes on from its last epoch', async () => {
    const cluster = new Cluster()
    cluster.savepointFails = true
    await expect(promote(cluster)).rejects.toThrow(/SAVEPOINT_FAILED; the version before goes on from its last epoch/)
    expect([cluster.state, cluster.started]).toEqual(['RUNNING', ['old from its last epoch']])
  })

  test('the new version: the one before goes on from the savepoint, also when that has to be asked for twice', async () => {
    for (const fault of [null, { at: 7, is: 'before' } as const]) {
      const cluster = new Cluster(fault)
      cluster.refuses = 'START_REFUSED'
      await expect(promote(cluster)).rejects.toThrow(
        /START_REFUSED; the version before goes on from savepoint promote-1/,
      )
      expect([cluster.state, cluster.started]).toEqual(['RUNNING', ['old from promote-1']])
    }
  })

  test('the new version fails at once: it is the job’s, and how to go back is said', async () => {
    const cluster = new Cluster()
    cluster.failsAs = 'FAILED'
    await expect(promote(cluster)).rejects.toThrow(/it has the new version and is FAILED.*--from promote-1`$/)
    expect(cluster.started).toEqual(['new from promote-1'])
  })
})
