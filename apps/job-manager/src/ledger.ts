/**
 * Keeps the transaction ledger of one term: shows it, ends single transactions for people, and cleans up behind jobs that
 * have ended (libs/job/src/reaper.ts decides what, this file does it).
 *
 * What it may do rests on three things (PROTOCOL A8, B5): a live lease, or a fresh compare-and-swap of the job's head; the
 * exact name of a transaction, so that a late command cannot hit another one; and that a job id is never used again.
 */
import {
  sinkStateOf,
  type CheckpointStore,
  type JobRecord,
  type LeaderStores,
  type Leadership,
  type Manifest,
} from '@weir/checkpoint'
import {
  parsePoolId,
  poolPrefix,
  type ConnectorDescriptor,
  type ListedTransaction,
  type PlanSummary,
  type SinkState,
  type TransactionName,
} from '@weir/dataflow'
import {
  foreignEntry,
  ledgerOf,
  outcomeOf,
  poolsOf,
  preparingSinks,
  reaperFor,
  stepReaper,
  toAbort,
  toCommit,
  unsettled,
  verdictOf,
  type Janitor,
  type JobMaster,
  type LedgerEntry,
  type LedgerFacts,
  type ReaperEffect,
  type ReaperEvent,
  type ReaperState,
  type SinkOutcome,
  type Standing,
} from '@weir/job'
import { WeirError, asWeirError, operatorUid, subtask, type Cancel, type Clock, type JobId } from '@weir/model'

export interface LedgerDeps {
  readonly leadership: Leadership
  readonly stores: LeaderStores
  readonly janitor: Janitor
  readonly clock: Clock
  /** Null: the job has ended, or there is none. */
  running(jobId: JobId): JobMaster | null
  allRunning(): Iterable<JobMaster>
  /** The record has changed. */
  recorded(record: JobRecord): void
  stepDown(reason: string): void
  /** Telemetry: a diagnostics channel and its message. */
  publish(channel: string, message: Record<string, unknown>): void
}

/** Resolution of the reapers' rests. */
const TICK_MS = 250
const RECORD_RETRY_MS = 500
const SETTLED_AT_ONCE = 4

interface EndedJob {
  record: JobRecord
  readonly plan: PlanSummary
  readonly subtasks: number
  /** Null: closed before this term. */
  reaper: ReaperState | null
  /** What was published, as the last claim found it; null: not asked yet. */
  published: { readonly manifest: Manifest | null } | null
  readonly checkpoints: CheckpointStore
  /** The store takes one call at a time. */
  turn: Promise<unknown>
}

export class Ledger {
  readonly #deps: LedgerDeps
  readonly #ended = new Map<JobId, EndedJob>()
  #looking: JobId[] = []
  #cancelTick: Cancel | null = null

  constructor(deps: LedgerDeps) {
    this.#deps = deps
    deps.leadership.signal.addEventListener('abort', () => this.#cancelTick?.(), { once: true })
  }

  /** A job has ended, in this term or before it. */
  add(record: JobRecord): void {
    const plan = record.plan as PlanSummary
    const { parallelism, arbiter, transactionTimeoutMs } = plan.settings
    const job: EndedJob = {
      record,
      plan,
      subtasks: Math.max(parallelism, record.highestParallelism ?? 0),
      reaper: null,
      published: null,
      checkpoints: this.#deps.stores.checkpoints(record.jobId, arbiter),
      turn: Promise.resolve(),
    }
    this.#ended.set(record.jobId, job)
    const { ledger = 'closed', outcomes = [] } = record.ended!
    if (ledger === 'closed') return
    const of = { transactionTimeoutMs, settled: ledger === 'settled', outcomes: outcomes as readonly SinkOutcome[] }
    const step = reaperFor(of, this.#deps.clock.monotonic())
    job.reaper = step.state
    for (const effect of step.effects) this.#perform(job, effect)
    this.#tick()
  }

  /** The record of a job that has ended, changed by somebody else. */
  changed(record: JobRecord): void {
    const job = this.#ended.get(record.jobId)
    if (job !== undefined) job.record = record
    this.#deps.recorded(record)
  }

  /** The job runs again under its id: nothing about it is decided here any more. */
  async remove(jobId: JobId): Promise<void> {
    const job = this.#ended.get(jobId)
    this.#ended.delete(jobId)
    if (job === undefined) return
    job.reaper = null
    await job.turn
  }

  // ---- what users ask for -------------------------------------------------------------------------------------------

  /**
   * Every transaction of the cluster that has not ended, those that running jobs know, and foreign ones under Weir's names.
   * Throws kind `retry` when no task-manager can ask the servers.
   */
  async all(): Promise<readonly LedgerEntry[]> {
    const { transactions } = await this.#deps.janitor.ask({ type: 'list', prefix: 'weir.' })
    const byJob = Map.groupBy(transactions, (t) => parsePoolId(t.transactionalId)?.jobId ?? null)
    const entries: LedgerEntry[] = []
    for (const master of this.#deps.allRunning()) {
      entries.push(...ledgerOf(master.ledger().facts, byJob.get(master.jobId) ?? []))
      byJob.delete(master.jobId)
    }
    for (const [jobId, listed] of byJob) {
      const job = jobId === null ? undefined : this.#ended.get(jobId)
      entries.push(...(job === undefined ? listed.map(foreignEntry) : ledgerOf(await this.#factsOf(job), listed)))
    }
    return entries
  }

  /** Of one job, with what is committed of its published epoch. Throws `JOB_UNKNOWN` (invalid). */
  async of(jobId: JobId): Promise<readonly LedgerEntry[]> {
    return (await this.#look(jobId)).entries
  }

  /** Throws as `toCommit`; `TRANSACTION_REFUSED`, `LEASE_NOT_LIVE` (retry). @returns it, as the servers list it afterwards. */
  async commit(transactionalId: string): Promise<LedgerEntry> {
    const jobId = this.#jobOf(transactionalId)
    const { entries, plan } = await this.#look(jobId)
    const due = toCommit(entries, transactionalId)
    for (const one of due) await this.#end(jobId, plan, one, 'commit')
    const after = await this.of(jobId)
    const name = due.at(-1) ?? entries.findLast((e) => e.transactionalId === transactionalId)!
    return after.find((e) => sameName(e, name)) ?? { ...name, state: 'committed', atServer: null }
  }

  /** Throws as `toAbort`; `TRANSACTION_REFUSED`, `LEASE_NOT_LIVE` (retry). @returns it, as it was listed. */
  async abort(transactionalId: string): Promise<LedgerEntry> {
    const jobId = this.#jobOf(transactionalId)
    const { entries, standing, plan } = await this.#look(jobId)
    const one = toAbort(entries, transactionalId, standing)
    await this.#end(jobId, plan, one, 'abort')
    return { ...one, atServer: 'aborting' }
  }

  #jobOf(transactionalId: string): JobId {
    const jobId = parsePoolId(transactionalId)?.jobId
    if (jobId !== undefined && (this.#deps.running(jobId) || this.#ended.has(jobId))) return jobId
    throw new WeirError(
      { code: 'TRANSACTION_FOREIGN', kind: 'invalid', transactionalId },
      `${transactionalId} belongs to no job of this cluster (ids are weir.<job>.<sink>.<subtask>.<slot>), so nobody here can know whether its output counts. Ask the cluster that owns it; if there is none any more, use the broker's own tool: kafka-transactions.sh abort.`,
    )
  }

  async #look(
    jobId: JobId,
  ): Promise<{ readonly entries: readonly LedgerEntry[]; readonly standing: Standing; readonly plan: PlanSummary }> {
    const listed = await this.#listed(jobId)
    // Only now: what is published since the servers were asked must not pass for open.
    const master = this.#deps.running(jobId)
    if (master !== null) {
      const { facts, standing } = master.ledger()
      return { entries: ledgerOf(facts, listed), standing, plan: master.spec.plan }
    }
    const job = this.#ended.get(jobId)
    if (job === undefined) throw unknownJob(jobId)
    return { entries: ledgerOf(await this.#factsOf(job), listed), standing: 'ended', plan: job.plan }
  }

  async #listed(jobId: JobId): Promise<readonly ListedTransaction[]> {
    const plan = this.#deps.running(jobId)?.spec.plan ?? this.#ended.get(jobId)?.plan
    if (plan === undefined) throw unknownJob(jobId)
    const answer = await this.#deps.janitor.ask({ type: 'list', prefix: poolPrefix(jobId) })
    for (const owner of poolsOf(plan).owners) {
      const { connector } = descriptorOf(plan, owner)
      if (answer.connectors.includes(connector)) continue
      throw new WeirError(
        { code: 'JANITOR_LACKS_CONNECTOR', kind: 'retry', connector, uid: owner },
        `the task-manager that was asked does not reach "${connector}", which "${owner}" of ${jobId} works with: configure it in every task-manager (WEIR_KAFKA_BROKERS)`,
      )
    }
    return answer.transactions
  }

  async #end(jobId: JobId, plan: PlanSummary, of: LedgerEntry, decision: 'commit' | 'abort'): Promise<void> {
    await this.#authorise(jobId)
    const { connector } = descriptorOf(plan, of.sink!)
    const transaction = nameOf(of)
    const { outcome } = await this.#deps.janitor.ask({ type: 'end', connector, transaction, decision })
    this.#deps.publish('weir:ledger:ended', { jobId, ...transaction, decision, outcome, by: 'request' })
    if (outcome === 'done') return
    throw new WeirError(
      { code: 'TRANSACTION_REFUSED', kind: 'retry', ...transaction, decision },
      `the server refused to ${decision} ${of.transactionalId}: it is not open any more under producer epoch ${of.producerEpoch}. Nothing was done; list again.`,
    )
  }

  /** A live lease, or a fresh compare-and-swap: also for what can only hit the exact transaction (PROTOCOL A8). */
  async #authorise(jobId: JobId): Promise<void> {
    const { leadership } = this.#deps
    leadership.signal.throwIfAborted()
    if (leadership.live) return
    const job = this.#ended.get(jobId)
    // A running job's head is in the hands of its JobMaster.
    if (job !== undefined) return void (await this.#claim(job))
    throw new WeirError(
      { code: 'LEASE_NOT_LIVE', kind: 'retry', jobId },
      'etcd does not answer this leader at present, so it may end no transaction by request; try again when it does',
    )
  }

  // ---- jobs that have ended -----------------------------------------------------------------------------------------

  #tick(): void {
    if (this.#cancelTick !== null) return
    this.#cancelTick = this.#deps.clock.after(TICK_MS, () => {
      this.#cancelTick = null
      const watched = [...this.#ended.values()].filter((job) => job.reaper !== null && job.reaper.phase !== 'closed')
      for (const job of watched) this.#step(job, { type: 'tick' })
      if (watched.length > 0 && !this.#deps.leadership.signal.aborted) this.#tick()
    })
  }

  #step(job: EndedJob, event: Untimed<ReaperEvent>): void {
    if (this.#deps.leadership.signal.aborted || job.reaper === null) return
    const step = stepReaper(job.reaper, { ...event, now: this.#deps.clock.monotonic() } as ReaperEvent)
    job.reaper = step.state
    for (const effect of step.effects) this.#perform(job, effect)
  }

  #perform(job: EndedJob, effect: ReaperEffect): void {
    switch (effect.type) {
      case 'settle':
        return void this.#settle(job).then((outcomes) => this.#step(job, { type: 'settled', outcomes }))
      case 'look':
        return this.#wantLook(job.record.jobId)
      case 'abort':
        return void this.#abortAll(job, effect.transactions).then(() => this.#step(job, { type: 'aborted' }))
      case 'record':
        return void this.#record(job, effect.ledger, effect.outcomes)
    }
  }

  /** One list serves all jobs that look at the same time. */
  #wantLook(jobId: JobId): void {
    this.#looking.push(jobId)
    if (this.#looking.length > 1) return
    this.#deps.clock.after(0, () => {
      const looking = this.#looking
      this.#looking = []
      void this.#lookFor(looking)
    })
  }

  async #lookFor(jobIds: readonly JobId[]): Promise<void> {
    const prefix = jobIds.length === 1 ? poolPrefix(jobIds[0]!) : 'weir.'
    const answer = await this.#deps.janitor.ask({ type: 'list', prefix }).catch(() => null)
    for (const jobId of jobIds) {
      const job = this.#ended.get(jobId)
      if (job === undefined) continue // it runs again
      const reached =
        answer !== null &&
        poolsOf(job.plan).owners.every((s) => answer.connectors.includes(descriptorOf(job.plan, s).connector))
      if (!reached) {
        this.#step(job, { type: 'look-failed' })
        continue
      }
      // Everything that is published has its verdict by now, so what is open of the job's pools counts for nothing.
      const facts = { ...this.#poolsOf(job), published: null, final: 0, prepared: [], outcomes: [] }
      const listed = answer.transactions.filter((t) => t.transactionalId.startsWith(poolPrefix(jobId)))
      const left = ledgerOf(facts, listed).filter((e) => e.state === 'open')
      const open = left.filter((e) => e.atServer === 'open').map(nameOf)
      this.#step(job, { type: 'looked', open, ending: left.length - open.length })
    }
  }

  /** Never throws: what could not be ended is found again by the next look. */
  async #abortAll(job: EndedJob, transactions: readonly TransactionName[]): Promise<void> {
    const { jobId } = job.record
    for (const transaction of transactions) {
      if (this.#ended.get(jobId) !== job) return
      try {
        await this.#authorise(jobId)
        const { connector } = descriptorOf(job.plan, parsePoolId(transaction.transactionalId)!.sink)
        const { outcome } = await this.#deps.janitor.ask({ type: 'end', connector, transaction, decision: 'abort' })
        this.#deps.publish('weir:ledger:ended', { jobId, ...transaction, decision: 'abort', outcome, by: 'reaper' })
      } catch (thrown) {
        this.#deps.publish('weir:ledger:failed', {
          jobId,
          ...transaction,
          error: asWeirError(thrown, 'ABORT_FAILED').toJSON(),
        })
      }
    }
  }

  /** Never throws: a sink subtask that could not be settled stays UNSETTLED, with the reason. */
  async #settle(job: EndedJob): Promise<readonly SinkOutcome[]> {
    const { plan, subtasks } = job
    const known = job.reaper!.outcomes
    let manifest: Manifest | null
    try {
      manifest = await this.#claim(job)
    } catch (thrown) {
      const facts = asWeirError(thrown, 'SETTLE_FAILED', 'retry').toJSON()
      return unsettled(preparingSinks(plan), subtasks, known[0]?.epoch ?? 0, known).map((o) =>
        o.state === 'UNSETTLED' ? { ...o, facts } : o,
      )
    }
    const outcomes = [...unsettled(preparingSinks(plan), subtasks, manifest?.epoch ?? 0, known)]
    const due = [...outcomes.keys()].filter((i) => outcomes[i]!.state === 'UNSETTLED')
    for (let i = 0; i < due.length; i += SETTLED_AT_ONCE) {
      const now = due.slice(i, i + SETTLED_AT_ONCE)
      const verdicts = await Promise.all(now.map((at) => this.#settleSink(job, manifest, outcomes[at]!)))
      now.forEach((at, n) => (outcomes[at] = verdicts[n]!))
    }
    return outcomes
  }

  async #settleSink(job: EndedJob, manifest: Manifest | null, of: SinkOutcome): Promise<SinkOutcome> {
    const { sink, epoch } = of
    const { plan, record } = job
    const { jobId } = record
    try {
      await this.#authorise(jobId)
      const restored = (sinkStateOf(manifest, of.subtask, sink) as SinkState | undefined) ?? null
      const { settings } = plan
      const descriptor = descriptorOf(plan, sink)
      const to = { jobId, sink: operatorUid(sink), subtask: subtask(of.subtask), descriptor, settings, restored }
      const { proofs } = await this.#deps.janitor.ask({ type: 'settle', sink: to })
      for (const { by, sequence } of proofs)
        if (by === 'heal') this.#deps.publish('weir:sink:healed', { jobId, sink, subtask: of.subtask, sequence })
      return outcomeOf(sink, of.subtask, epoch, proofs)
    } catch (thrown) {
      const failure = asWeirError(thrown, 'SETTLE_FAILED', 'retry').toJSON()
      this.#deps.publish('weir:ledger:failed', { jobId, sink, subtask: of.subtask, error: failure })
      return verdictOf(failure, epoch) ?? { ...of, facts: failure }
    }
  }

  /** A fresh compare-and-swap of the job's head. @returns the published manifest. */
  #claim(job: EndedJob): Promise<Manifest | null> {
    const claim = job.turn.then(async () => {
      const outcome = await job.checkpoints.claim()
      if (outcome.kind === 'superseded') {
        this.#deps.stepDown(`${job.record.jobId}: generation ${outcome.by} has claimed the job`)
        throw new WeirError({ code: 'LEADERSHIP_LOST', kind: 'fenced' }, `generation ${outcome.by} leads`)
      }
      const manifest = outcome.published && (await job.checkpoints.readManifest(outcome.published))
      job.published = { manifest }
      return manifest
    })
    job.turn = claim.catch(() => undefined)
    return claim
  }

  async #record(job: EndedJob, ledger: 'settled' | 'closed', outcomes: readonly SinkOutcome[]): Promise<void> {
    const { stores, leadership, clock } = this.#deps
    const { jobId } = job.record
    this.#deps.publish('weir:ledger:job', { jobId, ledger })
    while (!leadership.signal.aborted) {
      try {
        if (this.#ended.get(jobId) !== job) return // it runs again
        const change = (r: JobRecord): JobRecord =>
          r.ended === null ? r : { ...r, ended: { ...r.ended, ledger, outcomes } }
        job.record = await stores.jobs.update(jobId, change)
        return this.#deps.recorded(job.record)
      } catch (thrown) {
        // Not recorded, the next leader does it once more: every step of it may be repeated.
        if (asWeirError(thrown, 'RECORD_FAILED', 'retry').kind === 'fenced') return
        await clock.sleep(RECORD_RETRY_MS, leadership.signal).catch(() => undefined)
      }
    }
  }

  // ---- facts --------------------------------------------------------------------------------------------------------

  #poolsOf({ plan, subtasks, record }: EndedJob): Pick<LedgerFacts, 'jobId' | 'owners' | 'subtasks' | 'poolSize'> {
    return { ...poolsOf(plan), jobId: record.jobId, subtasks }
  }

  /** Claims the job when nobody has in this term: what is published cannot change any more then. */
  async #factsOf(job: EndedJob): Promise<LedgerFacts> {
    const manifest = job.published === null ? await this.#claim(job) : job.published.manifest
    const outcomes = job.reaper?.outcomes ?? ((job.record.ended!.outcomes ?? []) as readonly SinkOutcome[])
    const epoch = manifest?.epoch ?? 0
    const doubtful = outcomes.some((o) => o.epoch === epoch && o.state !== 'CLEAN' && o.state !== 'HEALED')
    const settled = job.reaper?.settled ?? true
    return {
      ...this.#poolsOf(job),
      published: manifest && { epoch: manifest.epoch, subtasks: manifest.subtasks },
      final: settled && !doubtful ? epoch : 0,
      prepared: [],
      outcomes,
    }
  }
}

type Untimed<T> = T extends unknown ? Omit<T, 'now'> : never

const nameOf = ({ transactionalId, producerId, producerEpoch }: TransactionName): TransactionName => ({
  transactionalId,
  producerId,
  producerEpoch,
})
const sameName = (a: TransactionName, b: TransactionName): boolean =>
  a.transactionalId === b.transactionalId && a.producerId === b.producerId && a.producerEpoch === b.producerEpoch

function descriptorOf(plan: PlanSummary, uid: string): ConnectorDescriptor {
  const node = plan.nodes.find((n) => (n.kind === 'sink' || n.kind === 'source') && n.uid === uid)
  return (node!.config as { readonly descriptor: ConnectorDescriptor }).descriptor
}

const unknownJob = (jobId: JobId): WeirError =>
  new WeirError(
    { code: 'JOB_UNKNOWN', kind: 'invalid', jobId },
    `there is no job "${jobId}"; \`weir jobs\` lists those there are`,
  )
