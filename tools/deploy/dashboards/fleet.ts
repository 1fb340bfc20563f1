import { dashboard, figure, heat, lines, row } from './panels.ts'

const SECOND_OR_LESS = 'http_request_duration_seconds_bucket{service="job-manager", le=~"1|1.0"}'
const CALLS = 'http_request_duration_seconds_count{service="job-manager"}'

/** Is anybody leading, is there room, do the processes answer? */
export const fleet = dashboard('fleet', 'Fleet', 'Processes, slots and the administration of a fleet.')
  .withPanel(
    figure({
      title: 'Leaders',
      tells: 'One. Without a leader no checkpoint is taken and nothing is committed.',
      unit: 'none',
      queries: [{ expr: 'sum(weir_leader) or vector(0)', legend: 'leaders' }],
    }),
  )
  .withPanel(
    figure({
      title: 'Task-managers',
      tells: 'Those that have joined the leader.',
      unit: 'none',
      queries: [{ expr: 'max(weir_task_managers)', legend: 'joined' }],
    }),
  )
  .withPanel(
    figure({
      title: 'Slots taken',
      tells: 'Of all slots. With every slot taken a lost task-manager leaves no place for its slices.',
      unit: 'percentunit',
      bad: 0.95,
      queries: [{ expr: 'sum(weir_slots_busy) / sum(weir_slots)', legend: 'taken' }],
    }),
  )
  .withPanel(
    figure({
      title: 'Jobs that run',
      tells: 'Running, of all that have not ended.',
      unit: 'none',
      queries: [{ expr: 'sum(max by (job) (weir_job_running)) or vector(0)', legend: 'running' }],
    }),
  )
  .withPanel(
    figure({
      title: 'etcd silent',
      tells: 'Jobs whose head is decided by the object store alone.',
      unit: 'none',
      bad: 1,
      queries: [{ expr: 'sum(max by (job) (weir_arbiter_degraded)) or vector(0)', legend: 'degraded' }],
    }),
  )
  .withPanel(
    figure({
      title: 'Calls slower than 1 s',
      tells: 'Of the last five minutes; the alert WeirRequestsSlow fires above 0.5 %.',
      unit: 'percentunit',
      bad: 0.005,
      queries: [{ expr: `1 - sum(rate(${SECOND_OR_LESS}[5m])) / sum(rate(${CALLS}[5m]))`, legend: 'slow' }],
    }),
  )
  .withRow(row('Slots and processes'))
  .withPanel(
    lines({
      title: 'Slots',
      tells: 'All, and those that run a slice, by task-manager.',
      unit: 'none',
      queries: [
        { expr: 'sum(weir_slots)', legend: 'all' },
        { expr: 'sum by (instance) (weir_slots_busy)', legend: '{{instance}}' },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'CPU',
      tells: 'Cores used by each process. A slot is a thread: a task-manager may use as many cores as it has slots.',
      unit: 'none',
      queries: [
        {
          expr: 'sum by (service, instance) (rate(process_cpu_seconds_total{service=~"job-manager|task-manager"}[$__rate_interval]))',
          legend: '{{service}} {{instance}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Resident memory',
      tells: 'Flat under load: every queue has a bound.',
      unit: 'bytes',
      queries: [
        {
          expr: 'max by (service, instance) (process_resident_memory_bytes{service=~"job-manager|task-manager"})',
          legend: '{{service}} {{instance}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Event loop delay, p99',
      tells: 'Of the main threads. Heartbeats are sent there: more than 1.6 s and the process counts as lost.',
      unit: 's',
      queries: [
        {
          expr: 'max by (service, instance) (nodejs_eventloop_lag_p99_seconds{service=~"job-manager|task-manager"})',
          legend: '{{service}} {{instance}}',
        },
      ],
    }),
  )
  .withRow(row('Connections'))
  .withPanel(
    lines({
      title: 'Connections in use',
      tells: 'Of their bound, where a pool has one. At 1 requests begin to wait.',
      unit: 'percentunit',
      queries: [
        {
          expr: 'max by (pool, instance) (weir_pool_connections_busy / (weir_pool_connections_max > 0))',
          legend: '{{pool}} {{instance}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Requests that wait for a connection',
      tells: 'The alert WeirPoolExhausted fires when some have waited for more than half of the time, for two minutes.',
      unit: 'none',
      queries: [
        { expr: 'sum by (pool, instance) (weir_pool_waiting_requests)', legend: '{{pool}} {{instance}}' },
        {
          expr: 'sum by (pool, instance) (rate(weir_pool_exhausted_seconds_total[$__rate_interval]))',
          legend: '{{pool}} {{instance}}, part of the time',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Connections open',
      tells: 'By server. A sudden drop is a server, or a network, that ended them.',
      unit: 'none',
      queries: [{ expr: 'sum by (pool, instance) (weir_pool_connections_open)', legend: '{{pool}} {{instance}}' }],
    }),
  )
  .withPanel(
    lines({
      title: 'Requests on their way',
      tells:
        'Connections in use; of Kafka, Redis and etcd, where requests share one, those that wait for their answers.',
      unit: 'none',
      queries: [{ expr: 'sum by (pool, instance) (weir_pool_connections_busy)', legend: '{{pool}} {{instance}}' }],
    }),
  )
  .withRow(row('Administration'))
  .withPanel(
    lines({
      title: 'Calls',
      tells: 'REST calls to the job-managers, by outcome.',
      unit: 'reqps',
      queries: [{ expr: `sum by (status) (rate(${CALLS}[$__rate_interval]))`, legend: '{{status}}' }],
    }),
  )
  .withPanel(
    heat(
      'Time to answer',
      'REST calls to the job-managers.',
      'http_request_duration_seconds_bucket{service="job-manager"}',
    ),
  )
