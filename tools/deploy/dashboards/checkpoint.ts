import { OF_JOB, byJob, dashboard, figure, heat, lines, row, withJobs } from './panels.ts'

const OUTCOMES = `weir_checkpoints_total${OF_JOB}`

/** Are checkpoints taken, how long do they take, does their circuit hold? */
export const checkpoint = withJobs(
  dashboard('checkpoint', 'Checkpoints', 'Checkpoints, savepoints and restores of jobs.'),
)
  .withPanel(
    figure({
      title: 'Published in 5 minutes',
      tells: 'A published epoch is the truth: a restart begins there.',
      unit: 'none',
      queries: [
        { expr: `sum(increase(weir_checkpoints_total{job=~"$job", outcome="published"}[5m]))`, legend: 'published' },
      ],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Given up in 15 minutes',
      tells: 'Nothing is lost by it: what they had prepared travels on with the next.',
      unit: 'none',
      bad: 1,
      queries: [
        { expr: `sum(increase(weir_checkpoints_total{job=~"$job", outcome="given-up"}[15m]))`, legend: 'given up' },
      ],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Circuits not closed',
      tells: 'Checkpoints of these jobs kept failing: they come less often until one succeeds.',
      unit: 'none',
      bad: 1,
      queries: [
        { expr: `count(${byJob(`weir_checkpoint_circuit_state${OF_JOB}`)} > 0) or vector(0)`, legend: 'circuits' },
      ],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Savepoints that failed in a day',
      tells: 'weir savepoint says why.',
      unit: 'none',
      bad: 1,
      queries: [{ expr: `sum(increase(weir_savepoints_total{job=~"$job", outcome="failed"}[1d]))`, legend: 'failed' }],
      width: 6,
    }),
  )
  .withRow(row('Checkpoints'))
  .withPanel(
    heat('From trigger to published', 'Of all chosen jobs.', `weir_checkpoint_duration_seconds_bucket${OF_JOB}`),
  )
  .withPanel(
    lines({
      title: 'From trigger to published, p50 and p99',
      tells: 'As far as the histogram tells: the upper end of its bucket.',
      unit: 's',
      queries: [0.5, 0.99].map((quantile) => ({
        expr: `histogram_quantile(${quantile}, sum by (job, le) (rate(weir_checkpoint_duration_seconds_bucket${OF_JOB}[$__rate_interval])))`,
        legend: `{{job}} p${quantile * 100}`,
      })),
    }),
  )
  .withPanel(
    lines({
      title: 'By outcome',
      tells: 'Published, then final; or given up.',
      unit: 'none',
      queries: [
        { expr: `sum by (job, outcome) (increase(${OUTCOMES}[$__rate_interval]))`, legend: '{{job}} {{outcome}}' },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Circuit',
      tells: '0 closed, 1 open (checkpoints come less often), 2 half-open (one is being tried).',
      unit: 'none',
      queries: [{ expr: byJob(`weir_checkpoint_circuit_state${OF_JOB}`), legend: '{{job}}' }],
    }),
  )
  .withPanel(
    lines({
      title: 'Size',
      tells: 'Stored objects that the newest published checkpoint names, whichever checkpoint wrote them.',
      unit: 'bytes',
      queries: [{ expr: byJob(`weir_checkpoint_size_bytes${OF_JOB}`), legend: '{{job}}' }],
    }),
  )
  .withPanel(
    lines({
      title: 'Alignment, p99',
      tells:
        'The longest that a stage waited for its last barrier. Long under back-pressure: see unaligned checkpoints.',
      unit: 's',
      queries: [
        {
          expr: `histogram_quantile(0.99, sum by (job, le) (increase(weir_checkpoint_alignment_seconds_bucket${OF_JOB}[5m])))`,
          legend: '{{job}}',
        },
      ],
    }),
  )
  .withRow(row('Restores'))
  .withPanel(
    lines({
      title: 'Segments restored',
      tells: 'From the object store, or from what the same machine had kept.',
      unit: 'none',
      queries: [
        { expr: 'sum(increase(weir_restored_segments_store_total[$__rate_interval]))', legend: 'object store' },
        { expr: 'sum(increase(weir_restored_segments_local_total[$__rate_interval]))', legend: 'local' },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Savepoints',
      tells: 'By outcome.',
      unit: 'none',
      queries: [
        {
          expr: `sum by (job, outcome) (increase(weir_savepoints_total${OF_JOB}[$__rate_interval]))`,
          legend: '{{job}} {{outcome}}',
        },
      ],
    }),
  )
