import {
  DashboardLinkBuilder,
  DatasourceVariableBuilder,
  TextBoxVariableBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as LogsBuilder } from '@grafana/grafana-foundation-sdk/logs'
import { DataqueryBuilder as LogQuery } from '@grafana/grafana-foundation-sdk/loki'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { DataqueryBuilder as TraceQuery, SearchTableType } from '@grafana/grafana-foundation-sdk/tempo'
import { LogsSortOrder } from '@grafana/grafana-foundation-sdk/common'
import { TRACES, dashboard, row, withJobs } from './panels.ts'

const TEMPO = { type: 'tempo', uid: '${tempo}' }
const LOKI = { type: 'loki', uid: '${loki}' }
const LIMIT = 20
const LINES_MAX = 500

/** Where a trace is shown whole, and its log lines below: both by its id. */
const ofTrace = [
  new DashboardLinkBuilder('Log lines of this trace').url(
    `/d/${TRACES}?\${tempo:queryparam}&\${loki:queryparam}&\${job:queryparam}&var-trace=\${__value.raw}&\${__url_time_range}`,
  ),
  new DashboardLinkBuilder('The trace')
    .url(
      `/explore?schemaVersion=1&orgId=1&panes=${encodeURIComponent(
        JSON.stringify({
          trace: {
            datasource: 'TEMPO',
            queries: [
              { refId: 'A', datasource: { type: 'tempo', uid: 'TEMPO' }, queryType: 'traceql', query: 'TRACE' },
            ],
            range: { from: 'FROM', to: 'TO' },
          },
        }),
      )
        .replaceAll('TEMPO', '${tempo}')
        .replaceAll('TRACE', '${__value.raw}')
        .replaceAll('FROM', '${__from}')
        .replaceAll('TO', '${__to}')}`,
    )
    .targetBlank(true),
]

interface Found {
  readonly title: string
  readonly tells: string
  readonly query: string
  readonly width?: number
}

/** Traces that Tempo finds, newest first. */
const found = ({ title, tells, query, width = 12 }: Found): TableBuilder =>
  new TableBuilder()
    .title(title)
    .description(tells)
    .datasource(TEMPO)
    .height(8)
    .span(width)
    .overrideByName('traceID', [{ id: 'links', value: ofTrace.map((link) => link.build()) }])
    .withTarget(
      new TraceQuery()
        .refId('A')
        .datasource(TEMPO)
        .queryType('traceql')
        .tableType(SearchTableType.Traces)
        .limit(LIMIT)
        .query(query),
    )

const ofJob = (condition: string): string => `{ span.job =~ "\${job:pipe}" && ${condition} }`

/** What the fleet did at some moment, and what it logged about it. */
export const traces = withJobs(
  dashboard(
    'traces',
    'Traces and logs',
    'Starts, checkpoints and sampled records of jobs, with the log lines of each.',
  ),
)
  .withVariable(new DatasourceVariableBuilder('tempo').label('Tempo').type('tempo'))
  .withVariable(new DatasourceVariableBuilder('loki').label('Loki').type('loki'))
  .withVariable(
    new TextBoxVariableBuilder('streams').label('Log streams').defaultValue('container=~"job-manager|task-manager"'),
  )
  .withVariable(new TextBoxVariableBuilder('trace').label('Trace id'))
  .withRow(row('Traces'))
  .withPanel(
    found({
      title: 'Checkpoints',
      tells: 'Trigger, snapshots, manifest, publish, commit; with what each slice did for it.',
      query: ofJob('name = "weir.checkpoint"'),
    }),
  )
  .withPanel(
    found({
      title: 'Starts',
      tells: 'Of a job or a region: place, deploy, recover, run.',
      query: ofJob('name = "weir.start"'),
    }),
  )
  .withPanel(
    found({
      title: 'Sampled records',
      tells:
        'From where they were read to the commit of what they led to. Needs `traces` in the settings of a job, or WEIR_TRACE_SAMPLE_RATE.',
      query: ofJob('name = "record.commit"'),
    }),
  )
  .withPanel(
    found({
      title: 'What failed',
      tells: 'Epochs given up, attempts that ended, records whose commit was not known then.',
      query: ofJob('status = error'),
    }),
  )
  .withRow(row('Log'))
  .withPanel(
    new LogsBuilder()
      .title('Log')
      .description(
        'Of the chosen jobs; with a trace id on top, of that trace alone. A line links to its trace where the data source says so (docs/TELEMETRY.md).',
      )
      .datasource(LOKI)
      .height(16)
      .span(24)
      .showTime(true)
      .enableLogDetails(true)
      .wrapLogMessage(true)
      .sortOrder(LogsSortOrder.Descending)
      .withTarget(
        new LogQuery()
          .refId('A')
          .datasource(LOKI)
          .maxLines(LINES_MAX)
          .expr('{$streams} |~ `"(${job:pipe})"` |= `${trace}` | json'),
      ),
  )
