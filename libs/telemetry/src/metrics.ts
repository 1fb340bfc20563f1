/** The field's basic metrics in Prometheus form. Rooms publish facts on channels; only this file knows prom-client. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { watchWork, type WorkSample } from './work-metrics.ts'

const CHECKPOINT_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]

const ALIGN_SECONDS = [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60]

const REQUEST_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

const CIRCUIT_STATES = ['closed', 'open', 'half-open'] as const

/** What a scrape asks of the process it runs in. */
export interface JobSample extends WorkSample {
  readonly commitIntervalMs: number
  readonly state: string
  readonly recordsIn: number
  readonly recordsOut: number
  readonly restarts: number
  readonly regionRestarts: number
  readonly publishedEpoch: number
  readonly finalEpoch: number
  readonly alerts: readonly { readonly code: string }[]
  readonly circuit: { readonly state: 'closed' | 'open' | 'half-open' }
  readonly sourceGaps: readonly { readonly source: string; readonly policy: string; readonly gapRecords: number }[]
  /** ms since 1970; null before the first. */
  readonly watermark: number | null
  readonly claims: readonly { readonly operator: string; readonly duplicates: number; readonly conflicts: number }[]
  /** By operator, since its slices began to run. */
  readonly late: ReadonlyMap<string, number>
  readonly rates: readonly {
    readonly source: string
    readonly recordsPerSecond: number | null
    readonly current: number | null
  }[]
  readonly splits: readonly {
    readonly source: string
    readonly split: number
    readonly watermark: number
    readonly state: string
    readonly lag?: number
  }[]
}

export class Metrics {
  readonly registry = new Registry()
  readonly #checkpointSeconds: Histogram
  readonly #checkpoints: Counter
  readonly #checkpointBytes: Gauge
  readonly #alignSeconds: Histogram
  readonly #recoverySeconds: Histogram
  readonly #healed: Counter
  readonly #decided: Counter
  readonly #savepoints: Counter
  readonly #remedies: Counter
  readonly #requestSeconds: Histogram

  constructor(service: string) {
    const registers = [this.registry]
    this.registry.setDefaultLabels({ service })
    collectDefaultMetrics({ register: this.registry })
    this.#checkpointSeconds = new Histogram({
      name: 'weir_checkpoint_duration_seconds',
      help: 'From trigger to published',
      labelNames: ['job'],
      buckets: CHECKPOINT_SECONDS,
      registers,
    })
    this.#checkpoints = new Counter({
      name: 'weir_checkpoints_total',
      help: 'Checkpoints by outcome: published, final, given-up',
      labelNames: ['job', 'outcome'],
      registers,
    })
    this.#checkpointBytes = new Gauge({
      name: 'weir_checkpoint_size_bytes',
      help: 'Stored objects that the newest published checkpoint names, whichever checkpoint wrote them',
      labelNames: ['job'],
      registers,
    })
    this.#alignSeconds = new Histogram({
      name: 'weir_checkpoint_alignment_seconds',
      help: 'The longest that a stage of the job waited between the first and the last barrier of a published checkpoint',
      labelNames: ['job'],
      buckets: ALIGN_SECONDS,
      registers,
    })
    this.#healed = new Counter({
      name: 'weir_transactions_healed_total',
      help: 'Transactions the broker aborted after their epoch was published, written again from staged output',
      labelNames: ['job', 'sink'],
      registers,
    })
    this.#decided = new Counter({
      name: 'weir_transactions_decided_total',
      help: 'Transactions ended outside of a running job: by the reaper behind one that has ended, or by request',
      labelNames: ['job', 'decision', 'by'],
      registers,
    })
    this.#remedies = new Counter({
      name: 'weir_remediations_total',
      help: 'What alerts led to, by outcome: done, dry-run, passed (nothing was to be done), refused',
      labelNames: ['job', 'alert', 'change', 'outcome'],
      registers,
    })
    this.#savepoints = new Counter({
      name: 'weir_savepoints_total',
      help: 'Savepoints by outcome: complete, failed',
      labelNames: ['job', 'outcome'],
      registers,
    })
    this.#requestSeconds = new Histogram({
      name: 'http_request_duration_seconds',
      help: 'HTTP calls, by the pattern of their path',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_SECONDS,
      registers,
    })
    this.#recoverySeconds = new Histogram({
      name: 'weir_recovery_duration_seconds',
      help: 'From the failure to all slices running again, also where only some were away',
      labelNames: ['job'],
      buckets: CHECKPOINT_SECONDS,
      registers,
    })
  }

  /** @param route the pattern, not the path: `/api/v1/jobs/:id` */
  request(method: string, route: string, status: number, ms: number): void {
    this.#requestSeconds.observe({ method, route, status: String(status) }, ms / 1_000)
  }

  remedy(of: {
    readonly jobId: string
    readonly alert: string
    readonly change: string | null
    readonly outcome: string
  }): void {
    this.#remedies.inc({ job: of.jobId, alert: of.alert, change: of.change ?? 'none', outcome: of.outcome })
  }

  /** Takes a message of the job room's channels (`weir:checkpoint:*`, `weir:job:*`, `weir:sink:*`, `weir:ledger:*`). */
  observe(channel: string, message: Readonly<Record<string, unknown>>): void {
    const job = String(message['jobId'])
    const seconds = Number(message['durationMs']) / 1_000
    switch (channel) {
      case 'weir:checkpoint:published':
        this.#checkpointSeconds.observe({ job }, seconds)
        this.#published(job, message)
        return this.#checkpoints.inc({ job, outcome: 'published' })
      case 'weir:checkpoint:final':
        return this.#checkpoints.inc({ job, outcome: 'final' })
      case 'weir:checkpoint:given-up':
        return this.#checkpoints.inc({ job, outcome: 'given-up' })
      case 'weir:ledger:ended': {
        if (message['outcome'] !== 'done') return
        return this.#decided.inc({ job, decision: String(message['decision']), by: String(message['by']) })
      }
      case 'weir:sink:healed':
        return this.#healed.inc({ job, sink: String(message['sink']) })
      case 'weir:savepoint:complete':
        return this.#savepoints.inc({ job, outcome: 'complete' })
      case 'weir:savepoint:failed':
        return this.#savepoints.inc({ job, outcome: 'failed' })
      case 'weir:job:restarted':
      case 'weir:job:region-restarted':
        return this.#recoverySeconds.observe({ job }, Number(message['recoveryMs']) / 1_000)
    }
  }

  #published(job: string, { bytes, alignMs }: Readonly<Record<string, unknown>>): void {
    if (typeof bytes === 'number') this.#checkpointBytes.set({ job }, bytes)
    if (typeof alignMs === 'number') this.#alignSeconds.observe({ job }, alignMs / 1_000)
  }

  /** Jobs are asked at scrape time. */
  watchJobs(sample: () => readonly JobSample[]): void {
    this.#perJob('weir_records_in_total', 'Records read by the sources', sample, (j) => j.recordsIn)
    this.#perJob('weir_records_out_total', 'Records handed to the sinks', sample, (j) => j.recordsOut)
    this.#perJob('weir_job_restarts_total', 'Restarts of the job in this term', sample, (j) => j.restarts)
    this.#perJob(
      'weir_job_region_restarts_total',
      'Restarts of some slices of the job in this term, while the others went on',
      sample,
      (j) => j.regionRestarts,
    )
    this.#perJob('weir_job_running', '1 while the job runs', sample, (j) => (j.state === 'RUNNING' ? 1 : 0))
    this.#perJob('weir_checkpoint_published_epoch', 'Highest published epoch', sample, (j) => j.publishedEpoch)
    this.#perJob('weir_checkpoint_final_epoch', 'Highest final epoch', sample, (j) => j.finalEpoch)
    this.#perJob(
      'weir_checkpoint_circuit_state',
      'Circuit of the checkpoints: 0 closed, 1 open (they come less often), 2 half-open (one is being tried)',
      sample,
      (j) => CIRCUIT_STATES.indexOf(j.circuit.state),
    )
    this.#perJob(
      'weir_job_alerts',
      'Alerts of the job: degraded arbiter, epochs given up, unanswered publish, gaps of sources',
      sample,
      (j) => j.alerts.length,
    )
    this.#perJob('weir_arbiter_degraded', '1 while etcd is silent and head.json alone decides', sample, (j) =>
      j.alerts.some((a) => a.code === 'ARBITER_DEGRADED') ? 1 : 0,
    )
    this.#sourceGaps(sample)
    this.#late(sample)
    this.#splits(sample)
    this.#claims(sample)
    this.#rates(sample)
    watchWork(this.registry, sample)
    this.#perJob(
      'weir_job_commit_interval_seconds',
      'How often the output of a job is committed: its interval of checkpoints, or of transactions in the continuous scope',
      sample,
      (j) => j.commitIntervalMs / 1_000,
    )
    this.#perJob('weir_watermark_seconds', 'Lowest watermark of the job', sample, (j) =>
      j.watermark === null ? Number.NaN : j.watermark / 1_000,
    )
  }

  #sourceGaps(sample: () => readonly JobSample[]): void {
    new Gauge({
      name: 'weir_source_gap_records',
      help: 'Records between where a source was to go on and its log, by the policy that was applied',
      labelNames: ['job', 'source', 'policy'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const { jobId: job, sourceGaps } of sample())
          for (const { source, policy, gapRecords } of sourceGaps) this.inc({ job, source, policy }, gapRecords)
      },
    })
  }

  #claims(sample: () => readonly JobSample[]): void {
    new Gauge({
      name: 'weir_claims_repeated_events',
      help: 'Events that an idempotent operator had seen before (duplicate) or that contradict one (conflict), since its slices began',
      labelNames: ['job', 'operator', 'outcome'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const { jobId: job, claims } of sample())
          for (const { operator, duplicates, conflicts } of claims) {
            this.inc({ job, operator, outcome: 'duplicate' }, duplicates)
            this.inc({ job, operator, outcome: 'conflict' }, conflicts)
          }
      },
    })
  }

  /** Sources without a limit have no series. */
  #rates(sample: () => readonly JobSample[]): void {
    const perSource = (
      name: string,
      help: string,
      value: (rate: JobSample['rates'][number]) => number | null,
    ): void => {
      new Gauge({
        ...{ name, help, labelNames: ['job', 'source'], registers: [this.registry] },
        collect() {
          this.reset()
          for (const { jobId: job, rates } of sample())
            for (const rate of rates) {
              const records = value(rate)
              if (records !== null) this.set({ job, source: rate.source }, records)
            }
        },
      })
    }
    perSource(
      'weir_source_rate_limit_records',
      'Records per second with which a source may be read at most',
      (rate) => rate.recordsPerSecond,
    )
    perSource(
      'weir_source_rate_records',
      'Records per second with which a source may be read at present: below its limit while what lies behind cannot follow',
      (rate) => rate.current,
    )
  }

  #late(sample: () => readonly JobSample[]): void {
    new Gauge({
      name: 'weir_operator_late_records',
      help: 'Records that came to an operator when their window, session or partners were gone, since its slices began to run',
      labelNames: ['job', 'operator'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const { jobId: job, late } of sample())
          for (const [operator, records] of late) this.set({ job, operator }, records)
      },
    })
  }

  /** Splits that have not ended; before its first record a split has no event time. */
  #splits(sample: () => readonly JobSample[]): void {
    this.#perSplit(
      'weir_source_split_watermark_seconds',
      "Event time of a source's partition",
      sample,
      ({ watermark }) => (watermark > 0 ? watermark / 1_000 : Number.NaN),
    )
    this.#perJob(
      'weir_source_idle_splits',
      'Partitions without records for so long that event time goes on without them',
      sample,
      ({ splits }) => splits.filter(({ state }) => state === 'idle').length,
    )
    this.#perJob(
      'weir_source_ahead_splits',
      'Partitions that are not read until others come up to them',
      sample,
      ({ splits }) => splits.filter(({ state }) => state === 'ahead').length,
    )
    new Gauge({
      name: 'weir_source_watermark_skew_seconds',
      help: "Between the event times of a source's slowest and fastest partition that has come to records and is not idle",
      labelNames: ['job', 'source'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const { jobId: job, splits } of sample())
          for (const [source, seconds] of skews(splits)) this.set({ job, source }, seconds)
      },
    })
  }

  #perSplit(
    name: string,
    help: string,
    sample: () => readonly JobSample[],
    value: (split: JobSample['splits'][number]) => number,
  ): void {
    new Gauge({
      name,
      help,
      labelNames: ['job', 'source', 'split'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const { jobId: job, splits } of sample())
          for (const of of splits)
            if (of.state !== 'ended') this.set({ job, source: of.source, split: String(of.split) }, value(of))
      },
    })
  }

  gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(value())
      },
    })
  }

  #perJob(name: string, help: string, sample: () => readonly JobSample[], value: (job: JobSample) => number): void {
    new Gauge({
      name,
      help,
      labelNames: ['job'],
      registers: [this.registry],
      collect() {
        this.reset()
        for (const job of sample()) this.set({ job: job.jobId }, value(job))
      },
    })
  }
}

function skews(splits: JobSample['splits']): Map<string, number> {
  const bounds = new Map<string, { low: number; high: number }>()
  for (const { source, watermark, state } of splits) {
    if (watermark <= 0 || state === 'idle' || state === 'ended') continue
    const { low, high } = bounds.get(source) ?? { low: watermark, high: watermark }
    bounds.set(source, { low: Math.min(low, watermark), high: Math.max(high, watermark) })
  }
  return new Map([...bounds].map(([source, { low, high }]) => [source, (high - low) / 1_000]))
}
