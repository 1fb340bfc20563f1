import { OF_JOB, byJob, dashboard, figure, lines, row, withJobs } from './panels.ts'

/** What a job reads and writes, how far its event time is, what it has dropped. */
export const job = withJobs(dashboard('job', 'Jobs', 'Throughput, event time and restarts of jobs.'))
  .withPanel(
    figure({
      title: 'Running',
      tells: '1 while all slices run.',
      unit: 'none',
      queries: [{ expr: byJob(`weir_job_running${OF_JOB}`), legend: '{{job}}' }],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Restarts in an hour',
      tells: 'Of the whole job, and of regions of it.',
      unit: 'none',
      bad: 3,
      queries: [
        {
          expr: `sum(increase(weir_job_restarts_total${OF_JOB}[1h])) + sum(increase(weir_job_region_restarts_total${OF_JOB}[1h]))`,
          legend: 'restarts',
        },
      ],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Alerts of jobs',
      tells: 'What `weir get JOB` lists.',
      unit: 'none',
      bad: 1,
      queries: [{ expr: `sum(${byJob(`weir_job_alerts${OF_JOB}`)})`, legend: 'alerts' }],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Event time behind',
      tells: 'The clock less the lowest watermark of a job.',
      unit: 's',
      bad: 600,
      queries: [{ expr: `max(time() - ${byJob(`weir_watermark_seconds${OF_JOB}`)})`, legend: 'behind' }],
      width: 6,
    }),
  )
  .withRow(row('Throughput'))
  .withPanel(
    lines({
      title: 'Records in',
      tells: 'Read by the sources.',
      unit: 'cps',
      queries: [{ expr: byJob(`rate(weir_records_in_total${OF_JOB}[$__rate_interval])`), legend: '{{job}}' }],
    }),
  )
  .withPanel(
    lines({
      title: 'Records out',
      tells: 'Handed to the sinks. They are visible when their epoch is final.',
      unit: 'cps',
      queries: [{ expr: byJob(`rate(weir_records_out_total${OF_JOB}[$__rate_interval])`), legend: '{{job}}' }],
    }),
  )
  .withRow(row('Event time'))
  .withPanel(
    lines({
      title: 'Behind the clock',
      tells: 'Windows fire that late.',
      unit: 's',
      queries: [{ expr: `time() - ${byJob(`weir_watermark_seconds${OF_JOB}`)}`, legend: '{{job}}' }],
    }),
  )
  .withPanel(
    lines({
      title: 'Skew between partitions',
      tells: 'Fastest less slowest partition of a source. What waits for the slowest is state.',
      unit: 's',
      queries: [
        {
          expr: byJob(`weir_source_watermark_skew_seconds${OF_JOB}`, 'job, source'),
          legend: '{{job}} {{source}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Partitions nobody waits for',
      tells: 'Idle: event time goes on without them. Ahead: not read until others come up to them.',
      unit: 'none',
      queries: [
        { expr: byJob(`weir_source_idle_splits${OF_JOB}`), legend: '{{job}} idle' },
        { expr: byJob(`weir_source_ahead_splits${OF_JOB}`), legend: '{{job}} ahead' },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Late records',
      tells: 'They came when their window, session or partners were gone.',
      unit: 'none',
      queries: [
        { expr: byJob(`weir_operator_late_records${OF_JOB}`, 'job, operator'), legend: '{{job}} {{operator}}' },
      ],
    }),
  )
  .withRow(row('Failures'))
  .withPanel(
    lines({
      title: 'Restarts',
      tells: 'Regions restart alone where slices exchange nothing.',
      unit: 'none',
      queries: [
        { expr: byJob(`increase(weir_job_restarts_total${OF_JOB}[$__rate_interval])`), legend: '{{job}}' },
        {
          expr: byJob(`increase(weir_job_region_restarts_total${OF_JOB}[$__rate_interval])`),
          legend: '{{job}} region',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'From a failure to running again, p99',
      tells: 'As far as the histogram tells: the upper end of its bucket.',
      unit: 's',
      queries: [
        {
          expr: `histogram_quantile(0.99, sum by (job, le) (increase(weir_recovery_duration_seconds_bucket${OF_JOB}[1h])))`,
          legend: '{{job}}',
        },
      ],
    }),
  )
