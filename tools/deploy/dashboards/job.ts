import { OF_JOB, byJob, dashboard, figure, heat, lines, row, withJobs } from './panels.ts'

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
  .withRow(row('Work'))
  .withPanel(
    lines({
      title: 'Busy, by stage',
      tells: 'The busiest subtask of each stage, of 1,000 ms. Near 1,000 it is what limits the job: rescale it.',
      unit: 'ms',
      queries: [
        {
          expr: byJob('weir_stage_time_ms_per_second{job=~"$job", state="busy"}', 'job, stage'),
          legend: '{{job}} {{stage}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Back-pressured, by stage',
      tells:
        'The subtask of each stage that waits longest for room, of 1,000 ms. What is slow lies behind the last stage that waits.',
      unit: 'ms',
      queries: [
        {
          expr: byJob('weir_stage_time_ms_per_second{job=~"$job", state="back-pressured"}', 'job, stage'),
          legend: '{{job}} {{stage}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Consumer lag',
      tells: 'Records that readers may see and that the job has not read, by source over its partitions.',
      unit: 'none',
      queries: [
        {
          expr: `sum by (job, source) (${byJob(`weir_source_lag_records${OF_JOB}`, 'job, source, split')})`,
          legend: '{{job}} {{source}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Records by operator',
      tells: 'Records that come to each operator, and those it puts out (sinks: none).',
      unit: 'cps',
      queries: [
        {
          expr: byJob(`rate(weir_operator_records_in${OF_JOB}[$__rate_interval])`, 'job, operator'),
          legend: '{{job}} {{operator}} in',
        },
        {
          expr: byJob(`rate(weir_operator_records_out${OF_JOB}[$__rate_interval])`, 'job, operator'),
          legend: '{{job}} {{operator}} out',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Written to committed, p50 and p99',
      tells:
        'Age of records when readers may see their output. In the epoch scope about an interval of checkpoints, in the continuous scope tens of milliseconds.',
      unit: 's',
      queries: [0.5, 0.99].map((quantile) => ({
        expr: `histogram_quantile(${quantile}, sum by (job, le) (rate(weir_end_to_end_latency_seconds_bucket${OF_JOB}[$__rate_interval])))`,
        legend: `{{job}} p${quantile * 100}`,
      })),
    }),
  )
  .withPanel(heat('Written to committed', 'Of all chosen jobs.', `weir_end_to_end_latency_seconds_bucket${OF_JOB}`))
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
