/** Campaigns, leads, campaigns again; answers for the leader or names it. */
import type { LeaderRecord } from '@weir/checkpoint'
import { plainSecrets, validateSettings, type PlanSummary } from '@weir/dataflow'
import { bundleKey, requireSignature, sha256, signatureKey, type TrustedKeys } from '@weir/metadata'
import { SECRET_FORM, WeirError, asWeirError, digest, isJobId, jobId, type Digest, type JobId } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { JobSample, Logger, Metrics, Tracing } from '@weir/telemetry'
import { FLEET_DEFAULTS, FleetServer, batchedCall, type JoinCall, type Standing } from '@weir/wire'
import type { Audit } from './audit/audit.ts'
import { jobFacts } from './audit/entry.ts'
import type { Access } from './auth/access.ts'
import { Authenticator, type Credentials } from './auth/authenticator.ts'
import { authorize, type Principal } from './auth/roles.ts'
import type { JobManagerConfig } from './config.ts'
import { LIVE_DEFAULTS, LiveStreams } from './live/streams.ts'
import { noArbiter, type Metadata } from './metadata.ts'
import { Remediation } from './remediation/remediation.ts'
import type { StartCheck } from './starts.ts'
import { Preflight } from './preflight.ts'
import { Term } from './term.ts'
import { Turns } from './turns.ts'

export const BUNDLE_BYTES_MAX = 32 << 20
const PLAN_BYTES_MAX = 1 << 20
const CAMPAIGN_PAUSE_MS = 300

export interface SubmitWish {
  readonly jobId: string
  readonly name: string
  readonly bundleDigest: string
  readonly graphHash: string
  readonly plan: Uint8Array
  /** Empty: from nothing. As `StartWish.from`. */
  readonly from: string
  readonly allowDroppedState: readonly string[]
  readonly acceptRepeatedOutput: boolean
}

/** One call of a user, however it came. */
export interface CallOf {
  readonly credentials: Credentials
  readonly name: string
  /** Address of the caller. */
  readonly from: string
  readonly target: string
  /** Absent: no job is changed. */
  readonly jobId?: string | undefined
  readonly wish?: unknown
}

export type CheckWish = Pick<SubmitWish, 'bundleDigest' | 'graphHash' | 'plan' | 'from' | 'allowDroppedState'>

export class JobManager {
  readonly #metadata: Metadata
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #tracing: Tracing | null
  readonly #self: Omit<LeaderRecord, 'generation'>
  readonly #authenticator: Authenticator
  readonly audit: Audit
  readonly #trusted: TrustedKeys | null
  readonly #preflight: Preflight
  readonly #config: Pick<JobManagerConfig, 'plainSecrets' | 'retainedMin'>
  readonly #end = new AbortController()
  readonly fleet: FleetServer
  readonly live: LiveStreams
  /** Changes of a job, by its id. */
  readonly turns = new Turns()
  /** Null: alerts change nothing. */
  readonly remediation: Remediation | null
  #term: Term | null = null
  #running: Promise<void> = Promise.resolve()

  constructor(
    config: JobManagerConfig,
    metadata: Metadata,
    self: Omit<LeaderRecord, 'generation'>,
    log: Logger,
    metrics: Metrics,
    audit: Audit,
    tracing: Tracing | null = null,
  ) {
    this.#authenticator = new Authenticator(config.listen.token, config.oidc)
    this.audit = audit
    this.#tracing = tracing
    this.#trusted = config.trustedKeys
    this.#preflight = new Preflight(config.profile, { metadata, clock: systemClock, log })
    this.#config = config
    this.#metadata = metadata
    this.#self = self
    this.#log = log
    this.#metrics = metrics
    this.fleet = new FleetServer(
      { ...FLEET_DEFAULTS, token: config.listen.token },
      {
        clock: systemClock,
        standing: () => this.#standing(),
        events: {
          joined: (info) => {
            log.info(info, 'task-manager joined')
            this.#term?.joined(info)
          },
          report: (from, report) => this.#term?.report(from, report),
          lost: (id, reason) => {
            log.warn({ id, reason }, 'task-manager lost')
            this.#term?.lost(id, reason)
          },
          draining: (id) => this.#term?.draining(id),
          alive: (id, slices) => this.#term?.alive(id, slices),
        },
      },
    )
    this.live = new LiveStreams(LIVE_DEFAULTS, { clock: systemClock, fleet: () => this.fleet.list() })
    const { turns } = this
    this.remediation =
      config.remediation && new Remediation(config.remediation, { audit, turns, clock: systemClock, log, metrics })
    metrics.watchJobs(() => this.#samples())
    metrics.gauge('weir_leader', '1 while this process leads', () => (this.#term ? 1 : 0))
    metrics.gauge('weir_event_streams', 'Streams of events that are open', () => this.live.size)
    metrics.gauge('weir_task_managers', 'Task-managers that have joined', () => this.fleet.list().length)
  }

  get arbiters(): Metadata['arbiters'] {
    return this.#metadata.arbiters
  }

  get answers(): Metadata['answers'] {
    return this.#metadata.answers
  }

  get leading(): boolean {
    return this.#term !== null
  }

  /** It leads, or knows who does. Rejects when that cannot be known. */
  async ready(): Promise<boolean> {
    return this.leading || (await this.leader()) !== null
  }

  /** Until `close`. Rejects only for what no retry can mend. */
  run(): Promise<void> {
    if (this.arbiters === 'etcd') this.#log.warn('the object store decides nothing: no checkpoint while etcd is away')
    this.#running = this.#lead()
    return this.#running
  }

  async #lead(): Promise<void> {
    const { signal } = this.#end
    while (!signal.aborted) {
      try {
        const leadership = await this.#metadata.election.campaign(this.#self, signal)
        this.#log.info({ generation: leadership.generation }, 'leading')
        const { fleet } = this
        const stores = this.#metadata.stores(leadership)
        const system = { clock: systemClock, random: systemRandom, log: this.#log, metrics: this.#metrics }
        const tracer = this.#tracing
        const { retainedMin } = this.#config
        this.#term = new Term({ leadership, stores, fleet, preflight: this.#preflight, ...system, tracer, retainedMin })
        await this.#term.run()
      } catch (thrown) {
        if (signal.aborted) return
        const error = asWeirError(thrown, 'CAMPAIGN_FAILED', 'retry')
        if (error.kind === 'invalid') throw error
        this.#log.warn({ error: error.toJSON() }, 'campaign failed')
      } finally {
        this.#term = null
        this.live.closeAll()
        this.fleet.closeAll('')
      }
      await systemClock.sleep(CAMPAIGN_PAUSE_MS, signal).catch(() => undefined) // another one first
    }
  }

  async close(): Promise<void> {
    this.#end.abort(new WeirError({ code: 'STOPPING', kind: 'fenced' }, 'the job-manager stops'))
    this.fleet.closeAll('')
    // The lease is given back by the term's end: the next leader need not wait for it.
    await this.#running.catch(() => undefined)
    await this.#metadata.election.close()
    await this.#metadata.close()
    await this.audit.close()
  }

  join(call: JoinCall): void {
    this.fleet.handle(batchedCall(call))
  }

  /** Throws as `Authenticator.authenticate`, and `ROLE_REFUSED` (invalid), which is recorded where it is of a change. */
  async enter(access: Access, call: CallOf): Promise<Principal> {
    const who = await this.#authenticator.authenticate(call.credentials)
    const what = access.change ?? call.name
    try {
      authorize(who, access.role, what)
    } catch (error) {
      if (access.change !== undefined) await this.audit.denied({ who, what, ...call }, error as WeirError)
      throw error
    }
    return who
  }

  /** Made and recorded; what is no change is just made. Throws as `make` and `Audit.change`. */
  async recorded<T>(access: Access, who: Principal, call: CallOf, make: () => Promise<T>): Promise<T> {
    if (access.change === undefined) return make()
    const { from, target, wish, jobId: id } = call
    const facts = (): object | null | undefined => {
      if (id === undefined) return undefined
      try {
        return jobFacts(this.#term!.get(jobId(id)))
      } catch {
        return null // there is no such job, or nobody leads any more
      }
    }
    return this.audit.change({ who, from, what: access.change, target, wish, facts }, make)
  }

  /** Throws as `led`, and `JOBS_UNREAD` (retry): it leads, and does not know every job yet. */
  async term(): Promise<Term> {
    const term = await this.led()
    if (term.hasRead) return term
    throw new WeirError(
      { code: 'JOBS_UNREAD', kind: 'retry' },
      'this job-manager has just begun to lead and is reading the jobs; ask it again in a moment',
    )
  }

  /** Throws `NOT_LEADER` (retry; fact leaderAddress, empty when nobody leads). */
  async led(): Promise<Term> {
    if (this.#term) return this.#term
    const leader = await this.leader()
    throw new WeirError(
      { code: 'NOT_LEADER', kind: 'retry', leaderAddress: leader?.grpcAddress ?? '' },
      leader ? `this job-manager does not lead; ask ${leader.grpcAddress}` : 'no job-manager leads at present',
    )
  }

  leader(): Promise<LeaderRecord | null> {
    return this.#metadata.election.leader()
  }

  /** True when it was there already. Throws `BUNDLE_DIGEST_MISMATCH`, `BUNDLE_TOO_LARGE` (invalid), and as `requireSignature`. */
  async storeBundle(name: string, bytes: Uint8Array, signature: string): Promise<boolean> {
    await this.term()
    if (bytes.byteLength > BUNDLE_BYTES_MAX) throw tooLarge(bytes.byteLength)
    const found = sha256(bytes)
    if (found !== name) {
      throw new WeirError(
        { code: 'BUNDLE_DIGEST_MISMATCH', kind: 'invalid', expected: name, found },
        `the uploaded bundle has digest ${found}, announced was ${name}: it was changed on its way; submit again`,
      )
    }
    requireSignature(found, signature, this.#trusted)
    const { objects } = this.#metadata
    if (signature !== '') await objects.put(signatureKey(found), Buffer.from(signature))
    const put = await objects.put(bundleKey(found), bytes, { ifNoneMatch: '*' })
    return put.kind === 'lost'
  }

  /** Throws `JOB_ID_INVALID`, `PLAN_INVALID`, `PLAIN_SECRET`, `BUNDLE_UNKNOWN`, `SETTINGS_INVALID` (invalid), and as `Term.submit`. */
  async submit(wish: SubmitWish): Promise<{ readonly jobId: JobId; readonly notes: readonly string[] }> {
    const term = await this.term()
    const id = wish.jobId || wish.name
    if (!isJobId(id)) {
      throw new WeirError(
        { code: 'JOB_ID_INVALID', kind: 'invalid', jobId: id },
        `"${id}" cannot be a job id: give 1 to 63 of a-z, 0-9 and "-", beginning with a letter or digit`,
      )
    }
    const plan = parsePlan(wish.plan)
    validateSettings(plan.settings)
    if (plan.settings.arbiter === 's3' && this.arbiters === 'etcd') throw noArbiter(jobId(id))
    const warnings = this.#secretsIn(plan, id)
    const bundleDigest = digest(wish.bundleDigest)
    if ((await this.#metadata.objects.get(bundleKey(bundleDigest))) === null) {
      throw new WeirError(
        { code: 'BUNDLE_UNKNOWN', kind: 'invalid', bundleDigest },
        `bundle ${bundleDigest} was not uploaded: call UploadBundle first`,
      )
    }
    await this.#requireSigned(bundleDigest)
    const record = {
      jobId: jobId(id),
      name: wish.name,
      bundleDigest,
      graphHash: wish.graphHash,
      plan,
      submittedAt: systemClock.now(),
      desired: 'running' as const,
      highestParallelism: plan.settings.parallelism,
      ended: null,
    }
    const { from, allowDroppedState, acceptRepeatedOutput } = wish
    const start = from === '' ? null : { from, droppedState: allowDroppedState, repeatedOutput: acceptRepeatedOutput }
    return { jobId: record.jobId, notes: [...warnings, ...(await term.submit(record, start))] }
  }

  /** Throws `PLAN_INVALID`, `SETTINGS_INVALID` (invalid), and as `Starts.checked`. */
  async check(wish: CheckWish): Promise<StartCheck> {
    const plan = parsePlan(wish.plan)
    validateSettings(plan.settings)
    const { graphHash, allowDroppedState, from } = wish
    const target = { plan, graphHash, bundleDigest: digest(wish.bundleDigest) }
    return (await this.term()).check(from, target, allowDroppedState)
  }

  /** What to tell of them where the policy lets them pass. Throws `PLAIN_SECRET` (invalid). */
  #secretsIn(plan: PlanSummary, id: string): string[] {
    const places = plainSecrets(plan)
    if (places.length === 0) return []
    const said = `what looks like a secret is written into the job (${places.join(', ')}); plans are stored and shown: name it as ${SECRET_FORM}`
    if (this.#config.plainSecrets === 'refuse') {
      throw new WeirError({ code: 'PLAIN_SECRET', kind: 'invalid', places }, `${said}, or set WEIR_PLAIN_SECRETS=warn`)
    }
    this.#log.warn({ jobId: id, places }, 'a job has secrets in its plan')
    return [said]
  }

  async #requireSigned(bundleDigest: Digest): Promise<void> {
    if (this.#trusted === null) return
    const signature = await this.#metadata.objects.get(signatureKey(bundleDigest))
    requireSignature(bundleDigest, signature && Buffer.from(signature.bytes).toString(), this.#trusted)
  }

  async #standing(): Promise<Standing> {
    if (this.#term) return { leading: true, generation: this.#term.generation as never }
    const leader = await this.leader().catch(() => null)
    return { leading: false, leaderAddress: leader?.grpcAddress ?? '' }
  }

  #samples(): JobSample[] {
    const term = this.#term
    if (term === null) return []
    return term.list().map((view) => {
      const { commit, checkpoint } = term.settingsOf(view.jobId)
      const commitIntervalMs = commit.scope === 'continuous' ? commit.intervalMs : checkpoint.intervalMs
      const watermark = Math.min(...view.slices.map((s) => s.watermark))
      const recordsOut = view.slices.reduce((sum, s) => sum + s.recordsOut, 0)
      const splits = view.slices.flatMap((s) => s.splits)
      const claims = view.slices.flatMap((s) => s.claims)
      const late = new Map<string, number>()
      for (const { operator, records } of view.slices.flatMap((s) => s.late))
        late.set(operator, (late.get(operator) ?? 0) + records)
      return {
        ...view,
        commitIntervalMs,
        recordsOut,
        splits,
        claims,
        late,
        watermark: Number.isFinite(watermark) && watermark > 0 ? watermark : null,
      }
    })
  }
}

function parsePlan(bytes: Uint8Array): PlanSummary {
  const refuse = (why: string): WeirError =>
    new WeirError(
      { code: 'PLAN_INVALID', kind: 'invalid' },
      `the plan cannot be used: ${why}. Submit with the weir CLI.`,
    )
  if (bytes.byteLength > PLAN_BYTES_MAX) throw refuse(`it has ${bytes.byteLength} bytes, at most ${PLAN_BYTES_MAX}`)
  let plan: Partial<PlanSummary> | null
  try {
    plan = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<PlanSummary> | null
  } catch (error) {
    throw refuse((error as Error).message)
  }
  if (plan?.version !== 1 || typeof plan.settings !== 'object' || !Array.isArray(plan.nodes)) {
    throw refuse('it is not a version 1 plan')
  }
  return plan as PlanSummary
}

export const tooLarge = (bytes: number): WeirError =>
  new WeirError(
    { code: 'BUNDLE_TOO_LARGE', kind: 'invalid', bytes },
    `the bundle has at least ${bytes} bytes, at most ${BUNDLE_BYTES_MAX} are taken: leave data files out of the job`,
  )
