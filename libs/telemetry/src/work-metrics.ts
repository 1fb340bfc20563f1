/** What slices tell of their work, in Prometheus form: where time goes, what passes, how old what is committed was. */
import { Gauge, type Histogram, type Registry } from 'prom-client'

/** What a scrape asks of each job. */
export interface WorkSample {
  readonly jobId: string
  readonly slices: readonly {
    readonly subtask: number
    readonly stages: readonly {
      readonly stage: string
      readonly busyMsPerSecond: number
      readonly idleMsPerSecond: number
      readonly backPressuredMsPerSecond: number
    }[]
    readonly operators: readonly {
      readonly operator: string
      readonly recordsIn: number
      readonly recordsOut: number
    }[]
  }[]
  readonly splits: readonly { readonly source: string; readonly split: number; readonly lag?: number }[]
  /** Null: nothing was committed in this term. */
  readonly latency: {
    readonly records: number
    readonly sumMs: number
    readonly boundsMs: readonly number[]
    readonly counts: readonly number[]
  } | null
  /** How each sink subtask came out of its last recovery. */
  readonly sinks: readonly { readonly sink: string; readonly state: string }[]
}

/** Wider jobs have one series per stage, the mean of their subtasks: a scrape stays bounded. */
const SUBTASK_SERIES_MAX = 512
const STATES = [
  ['busy', 'busyMsPerSecond'],
  ['idle', 'idleMsPerSecond'],
  ['back-pressured', 'backPressuredMsPerSecond'],
] as const
/** What stops a job: see libs/job/src/ledger.ts. */
const VERDICTS: ReadonlySet<string> = new Set(['LOST', 'UNKNOWN', 'EPOCH_REGRESSION'])

export function watchWork(registry: Registry, sample: () => readonly WorkSample[]): void {
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    collect: (gauge: Gauge<L>, job: WorkSample) => void,
  ): void => {
    new Gauge({
      ...{ name, help, labelNames, registers: [registry] },
      collect() {
        this.reset()
        for (const job of sample()) collect(this, job)
      },
    })
  }
  gauge(
    'weir_stage_time_ms_per_second',
    'Milliseconds of each second that a stage is busy, idle (no input), or back-pressured (what lies behind has no room)',
    ['job', 'stage', 'subtask', 'state'],
    (series, { jobId: job, slices }) => {
      const wide = slices.length > SUBTASK_SERIES_MAX
      for (const { subtask, stages } of slices)
        for (const { stage, ...time } of stages)
          for (const [state, field] of STATES)
            if (wide) series.inc({ job, stage, state, subtask: 'mean' }, time[field] / slices.length)
            else series.set({ job, stage, state, subtask: String(subtask) }, time[field])
    },
  )
  const records = (name: string, help: string, field: 'recordsIn' | 'recordsOut'): void =>
    gauge(name, help, ['job', 'operator'], (series, { jobId: job, slices }) => {
      for (const { operators } of slices)
        for (const { operator, [field]: count } of operators) series.inc({ job, operator }, count)
    })
  records('weir_operator_records_in', 'Records that came to an operator since its slices began to run', 'recordsIn')
  records(
    'weir_operator_records_out',
    'Records that an operator put out, side outputs apart, since its slices began to run; 0 for sinks',
    'recordsOut',
  )
  gauge(
    'weir_source_lag_records',
    'Consumer lag: records of a partition that readers may see and that the job has not read',
    ['job', 'source', 'split'],
    (series, { jobId: job, splits }) => {
      for (const { source, split, lag } of splits)
        if (lag !== undefined) series.set({ job, source, split: String(split) }, lag)
    },
  )
  gauge(
    'weir_transactions_lost',
    'Sink subtasks whose last recovery found a published transaction lost, of unknown outcome, or behind its marker: the job has stopped',
    ['job', 'sink', 'verdict'],
    (series, { jobId: job, sinks }) => {
      for (const { sink, state: verdict } of sinks) {
        series.inc({ job, sink, verdict: 'LOST' }, verdict === 'LOST' ? 1 : 0)
        if (verdict !== 'LOST' && VERDICTS.has(verdict)) series.inc({ job, sink, verdict })
      }
    },
  )
  registry.registerMetric(latencyHistogram(sample))
}

const LATENCY = 'weir_end_to_end_latency_seconds'

/** Counted where records are committed, and told as sums: nothing is observed here. */
function latencyHistogram(sample: () => readonly WorkSample[]): Histogram {
  const values = (): readonly { metricName: string; labels: Record<string, string | number>; value: number }[] =>
    sample().flatMap(({ jobId: job, latency }) => {
      if (latency === null) return []
      const { boundsMs, counts, sumMs, records } = latency
      let upTo = 0
      const buckets = counts.map((count, i) => {
        const bound = boundsMs[i]
        const le = bound === undefined ? '+Inf' : bound / 1_000
        return { metricName: `${LATENCY}_bucket`, labels: { job, le }, value: (upTo += count) }
      })
      return [
        ...buckets,
        { metricName: `${LATENCY}_sum`, labels: { job }, value: sumMs / 1_000 },
        { metricName: `${LATENCY}_count`, labels: { job }, value: records },
      ]
    })
  const help = 'Age of records when their output was committed, since they were written to their log'
  const metric = {
    ...{ name: LATENCY, help, type: 'histogram', aggregator: 'sum' },
    get: () => Promise.resolve({ name: LATENCY, help, type: 'histogram', aggregator: 'sum', values: values() }),
    reset: () => undefined,
  }
  // A registry asks its metrics for no more than this.
  return metric as unknown as Histogram
}
