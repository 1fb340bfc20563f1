/** Submission and administration as a tool sees it (jobs.proto): finds the leader among the job-managers. */
import { Metadata, type ServiceError } from '@grpc/grpc-js'
import type { CanaryView, GraphView } from '@weir/job'
import { WeirError } from '@weir/model'
import { jobs } from '@weir/proto'
import { fromServiceError } from './errors.ts'
import { channelCredentials } from './tls/credentials.ts'
import type { TlsSettings } from './tls/settings.ts'

const CHUNK_BYTES = 256 << 10
export const CALL_TIMEOUT_MS = 15_000
const UPLOAD_TIMEOUT_MS = 60_000
const REDIRECTS_MAX = 3
/** While no leader is elected, calls are repeated this long. */
const ELECTION_WAIT_MS = 10_000
const ELECTION_POLL_MS = 250

/** What a job is started from may be left out: nothing. */
type Start = 'from' | 'allowDroppedState' | 'acceptRepeatedOutput'
export type Submission = Omit<jobs.SubmitRequest, Start> & Partial<Pick<jobs.SubmitRequest, Start>>

type Reply<T> = (error: ServiceError | null, value: T) => void

export interface JobsClientOptions {
  /** Of the fleet. */
  readonly token: string | null
  /** Of an issuer, where there is no token of the fleet. */
  readonly bearer?: string | null
  /** Absent or null: not encrypted. */
  readonly tls?: TlsSettings | null
}

export class JobsClient {
  readonly #addresses: readonly string[]
  readonly #metadata = new Metadata()
  readonly #clients = new Map<string, jobs.JobsClient>()
  readonly #tls: TlsSettings | null
  #leader: string | null = null

  /** `addresses`: host:port of job-managers, any of them. */
  constructor(addresses: readonly string[], options: JobsClientOptions) {
    this.#addresses = addresses
    this.#tls = options.tls ?? null
    if (options.token !== null) this.#metadata.set('weir-token', options.token)
    else if (options.bearer) this.#metadata.set('authorization', `Bearer ${options.bearer}`)
  }

  /** @param signature base64, see libs/metadata/src/bundle-signature.ts; empty: none */
  uploadBundle(digest: string, bytes: Uint8Array, signature = ''): Promise<jobs.BundleStored> {
    return this.#ask((client, reply: Reply<jobs.BundleStored>) => {
      const call = client.uploadBundle(this.#metadata, { deadline: Date.now() + UPLOAD_TIMEOUT_MS }, reply)
      void (async () => {
        for (let at = 0; at < bytes.byteLength || at === 0; at += CHUNK_BYTES) {
          const data = Buffer.from(bytes.subarray(at, at + CHUNK_BYTES))
          const room = call.write(at === 0 ? { digest, data, signature } : { digest: '', data, signature: '' })
          // An error ends the call and so the reply: nobody waits for a drain that cannot come.
          if (!room) await new Promise((resolve) => call.once('drain', resolve).once('error', resolve))
        }
        call.end()
      })()
    })
  }

  submit(submission: Submission): Promise<jobs.SubmitResponse> {
    const request = { from: '', allowDroppedState: [], acceptRepeatedOutput: false, ...submission }
    return this.#ask((c, reply: Reply<jobs.SubmitResponse>) => c.submit(request, this.#metadata, slow(), reply))
  }

  restart(request: jobs.RestartRequest): Promise<jobs.SubmitResponse> {
    return this.#ask((c, reply: Reply<jobs.SubmitResponse>) => c.restart(request, this.#metadata, slow(), reply))
  }

  get(jobId: string): Promise<jobs.JobView> {
    return this.#ask((c, reply: Reply<jobs.JobView>) => c.get({ jobId }, this.#metadata, deadline(), reply))
  }

  async list(): Promise<readonly jobs.JobView[]> {
    const answer = await this.#ask((c, reply: Reply<jobs.ListResponse>) =>
      c.list({}, this.#metadata, deadline(), reply),
    )
    return answer.jobs
  }

  cancel(jobId: string): Promise<jobs.JobView> {
    return this.#ask((c, reply: Reply<jobs.JobView>) => c.cancel({ jobId }, this.#metadata, deadline(), reply))
  }

  /** Resolves when the wish is recorded: `get` shows when it runs at it. */
  rescale(jobId: string, parallelism: number): Promise<jobs.JobView> {
    const request = { jobId, parallelism }
    return this.#ask((c, reply: Reply<jobs.JobView>) => c.rescale(request, this.#metadata, deadline(), reply))
  }

  /** Resolves when the wish is recorded and on its way. `source` empty: every source of the job. */
  async adjustRate(request: jobs.AdjustRateRequest): Promise<readonly jobs.RateView[]> {
    const answer = await this.#ask((c, reply: Reply<jobs.RatesResponse>) =>
      c.adjustRate(request, this.#metadata, deadline(), reply),
    )
    return answer.rates
  }

  /** Resolves when the wish is recorded: user code sees it from the next barrier on. */
  degrade(jobId: string, degraded: boolean): Promise<jobs.JobView> {
    const request = { jobId, degraded }
    return this.#ask((c, reply: Reply<jobs.JobView>) => c.degrade(request, this.#metadata, deadline(), reply))
  }

  /** @param jobId null: of every job */
  async listTransactions(jobId: string | null): Promise<readonly jobs.TransactionView[]> {
    const answer = await this.#ask((c, reply: Reply<jobs.ListTransactionsResponse>) =>
      c.listTransactions({ jobId: jobId ?? '' }, this.#metadata, slow(), reply),
    )
    return answer.transactions
  }

  /** `from`: `next` of the page before, empty at first. */
  listDeadLetters(
    jobId: string,
    page: { readonly from: string; readonly limit: number },
  ): Promise<jobs.DeadLettersResponse> {
    const request = { jobId, ...page }
    return this.#ask((c, reply: Reply<jobs.DeadLettersResponse>) =>
      c.listDeadLetters(request, this.#metadata, slow(), reply),
    )
  }

  /** @param origins null: all that can be */
  replayDeadLetters(jobId: string, origins: readonly string[] | null): Promise<jobs.ReplayResponse> {
    const request = { jobId, origins: [...(origins ?? [])], all: origins === null }
    return this.#ask((c, reply: Reply<jobs.ReplayResponse>) =>
      c.replayDeadLetters(request, this.#metadata, slow(), reply),
    )
  }

  /** The JSON that REST answers, see apps/job-manager/src/stored-states.ts. `at`: an epoch, a savepoint; empty: the last final epoch. */
  async readState(jobId: string, at: string, what: NonNullable<jobs.ReadStateRequest['what']>): Promise<unknown> {
    const answer = await this.#ask((c, reply: Reply<jobs.StateAnswer>) =>
      c.readState({ jobId, at, what }, this.#metadata, slow(), reply),
    )
    return JSON.parse(answer.body)
  }

  async graph(jobId: string): Promise<GraphView> {
    const answer = await this.#ask((c, reply: Reply<jobs.GraphAnswer>) =>
      c.getGraph({ jobId }, this.#metadata, deadline(), reply),
    )
    return JSON.parse(answer.body) as GraphView
  }

  /** `savepoint`: of the job, where its output is asked for; empty: none. */
  async canary(jobId: string, savepoint = ''): Promise<CanaryView> {
    const answer = await this.#ask((c, reply: Reply<jobs.CanaryAnswer>) =>
      c.getCanary({ jobId, savepoint }, this.#metadata, deadline(), reply),
    )
    return JSON.parse(answer.body) as CanaryView
  }

  /** Can a build go on from what is stored? Starts nothing. */
  checkStart(request: jobs.CheckStartRequest): Promise<jobs.CheckStartResponse> {
    return this.#ask((c, reply: Reply<jobs.CheckStartResponse>) => c.checkStart(request, this.#metadata, slow(), reply))
  }

  /** The JSON of an Examination (apps/job-manager/src/preflight.ts). Neither job nor plan: what holds for any job. */
  async examine(of: {
    readonly jobId?: string
    readonly plan?: Uint8Array
    readonly profile?: string
  }): Promise<unknown> {
    const { jobId = '', plan = new Uint8Array(), profile = '' } = of
    const request = { jobId, plan: Buffer.from(plan), profile }
    const answer = await this.#ask((c, reply: Reply<jobs.ExamineAnswer>) =>
      c.examine(request, this.#metadata, slow(), reply),
    )
    return JSON.parse(answer.body)
  }

  decideTransaction(transactionalId: string, decision: 'commit' | 'abort'): Promise<jobs.TransactionView> {
    const request = { transactionalId, commit: decision === 'commit' }
    return this.#ask((c, reply: Reply<jobs.TransactionView>) =>
      c.decideTransaction(request, this.#metadata, slow(), reply),
    )
  }

  /** Answers when it is asked for; `listSavepoints` tells when it is complete. `stop`: the job stops with it. */
  takeSavepoint(jobId: string, name: string, stop: boolean): Promise<jobs.SavepointView> {
    const request = { jobId, name, stop }
    return this.#ask((c, reply: Reply<jobs.SavepointView>) =>
      c.takeSavepoint(request, this.#metadata, deadline(), reply),
    )
  }

  async listSavepoints(jobId: string): Promise<readonly jobs.SavepointView[]> {
    const answer = await this.#ask((c, reply: Reply<jobs.ListSavepointsResponse>) =>
      c.listSavepoints({ jobId }, this.#metadata, deadline(), reply),
    )
    return answer.savepoints
  }

  async deleteSavepoint(jobId: string, name: string): Promise<void> {
    await this.#ask((c, reply: Reply<jobs.DeleteSavepointResponse>) =>
      c.deleteSavepoint({ jobId, name }, this.#metadata, deadline(), reply),
    )
  }

  close(): void {
    for (const client of this.#clients.values()) client.close()
  }

  /** Throws the job-manager's own error, or `JOB_MANAGER_UNREACHABLE` (retry). Waits for a leader, and until it knows its jobs. */
  async #ask<T>(call: (client: jobs.JobsClient, reply: Reply<T>) => unknown): Promise<T> {
    const until = Date.now() + ELECTION_WAIT_MS
    for (;;) {
      const tried: string[] = []
      let waiting = false
      let unread: WeirError | null = null
      for (const first of this.#leader === null ? this.#addresses : [this.#leader, ...this.#addresses]) {
        let address: string | null = first
        for (let hop = 0; address !== null && hop < REDIRECTS_MAX; hop++) {
          const at: string = address
          address = null
          try {
            const value = await new Promise<T>((resolve, reject) => {
              call(this.#client(at), (error, answer) => (error ? reject(error) : resolve(answer)))
            })
            this.#leader = at
            return value
          } catch (thrown) {
            this.#leader = null
            const error = fromServiceError(thrown, at)
            if (error.code === 'NOT_LEADER') {
              // Whoever is named may be dead, or the one just asked in a life before: then the next one is being elected.
              waiting = true
              const named = String(error.facts['leaderAddress'] ?? '')
              if (named !== '' && named !== at) address = named
            } else if (error.code === 'JOBS_UNREAD') {
              waiting = true
              unread = error
            } else if (error.code === 'UNREACHABLE') tried.push(error.message)
            else throw error
          }
        }
      }
      if (!waiting || Date.now() > until) {
        if (unread !== null) throw unread
        throw new WeirError(
          { code: 'JOB_MANAGER_UNREACHABLE', kind: 'retry', addresses: this.#addresses },
          waiting
            ? `no job-manager leads (asked ${this.#addresses.join(', ')}); is etcd reachable for them?`
            : `no job-manager answers: ${tried.join('; ')} Start one, or say where it is: --job-manager or WEIR_JOB_MANAGERS.`,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, ELECTION_POLL_MS))
    }
  }

  #client(address: string): jobs.JobsClient {
    let client = this.#clients.get(address)
    if (!client) {
      client = new jobs.JobsClient(address, channelCredentials(this.#tls), {
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 500,
      })
      this.#clients.set(address, client)
    }
    return client
  }
}

/** Asked on: the job-manager asks task-managers, and these the brokers. */
const LEDGER_TIMEOUT_MS = 60_000
const slow = (): { deadline: number } => ({ deadline: Date.now() + LEDGER_TIMEOUT_MS })
const deadline = (): { deadline: number } => ({ deadline: Date.now() + CALL_TIMEOUT_MS })
