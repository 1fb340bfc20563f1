import { OF_JOB, byJob, dashboard, figure, lines, row, withJobs } from './panels.ts'

const PUBLISHED = byJob(`weir_checkpoint_published_epoch${OF_JOB}`)
const FINAL = byJob(`weir_checkpoint_final_epoch${OF_JOB}`)

/** What is promised but not yet visible, what was healed, what was decided by hand, what senders repeated. */
export const exactlyOnce = withJobs(
  dashboard(
    'exactly-once',
    'Exactly-once ledger',
    'Transactions, claims and gaps: everything that touches the promise.',
  ),
)
  .withPanel(
    figure({
      title: 'Epochs published, not final',
      tells:
        'Their output is committed but readers may not see all of it yet. More than 2 for long: WeirOutputHeldBack.',
      unit: 'none',
      bad: 3,
      queries: [{ expr: `max(${PUBLISHED} - ${FINAL})`, legend: 'epochs' }],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Healed in a day',
      tells: 'Transactions that the broker aborted behind a published epoch, written again from staged output.',
      unit: 'none',
      bad: 1,
      queries: [{ expr: `sum(increase(weir_transactions_healed_total${OF_JOB}[1d])) or vector(0)`, legend: 'healed' }],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Records behind gaps',
      tells: 'Records a source was to read that its log no longer had; the policy outOfRange decided.',
      unit: 'none',
      bad: 1,
      queries: [
        { expr: `sum(max by (job, source) (weir_source_gap_records${OF_JOB})) or vector(0)`, legend: 'records' },
      ],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Events that contradict one',
      tells: 'Same business key, other fields: withheld, told of on a side output.',
      unit: 'none',
      bad: 1,
      queries: [
        {
          expr: `sum(max by (job, operator) (weir_claims_repeated_events{job=~"$job", outcome="conflict"})) or vector(0)`,
          legend: 'conflicts',
        },
      ],
      width: 6,
    }),
  )
  .withPanel(
    figure({
      title: 'Transactions lost',
      tells:
        'Published output the server no longer has, or whose outcome nobody can tell: the job has stopped. WeirTransactionLost.',
      unit: 'none',
      bad: 1,
      queries: [
        { expr: `sum(max by (job, sink, verdict) (weir_transactions_lost${OF_JOB})) or vector(0)`, legend: 'lost' },
      ],
      width: 6,
    }),
  )
  .withRow(row('Transactions'))
  .withPanel(
    lines({
      title: 'Epochs',
      tells: 'The distance between the lines is output that is promised, not yet visible.',
      unit: 'none',
      queries: [
        { expr: PUBLISHED, legend: '{{job}} published' },
        { expr: FINAL, legend: '{{job}} final' },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Healed, and ended outside of a running job',
      tells: 'By the reaper behind an ended job, or on request (weir txn commit, abort).',
      unit: 'none',
      queries: [
        {
          expr: `sum by (job, sink) (increase(weir_transactions_healed_total${OF_JOB}[$__rate_interval]))`,
          legend: '{{job}} {{sink}} healed',
        },
        {
          expr: `sum by (job, decision, by) (increase(weir_transactions_decided_total${OF_JOB}[$__rate_interval]))`,
          legend: '{{job}} {{decision}} by {{by}}',
        },
      ],
    }),
  )
  .withRow(row('Events that senders repeat'))
  .withPanel(
    lines({
      title: 'Seen before',
      tells: 'What idempotent operators let pass only once.',
      unit: 'none',
      queries: [
        {
          expr: `max by (job, operator, outcome) (weir_claims_repeated_events${OF_JOB})`,
          legend: '{{job}} {{operator}} {{outcome}}',
        },
      ],
    }),
  )
  .withPanel(
    lines({
      title: 'Gaps of sources',
      tells: 'By the policy that was applied.',
      unit: 'none',
      queries: [
        {
          expr: `max by (job, source, policy) (weir_source_gap_records${OF_JOB})`,
          legend: '{{job}} {{source}} {{policy}}',
        },
      ],
    }),
  )
