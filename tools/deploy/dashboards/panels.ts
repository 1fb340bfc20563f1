/** What the dashboards share: where their figures come from, and panels that look alike. */
import { DashboardBuilder, DashboardLinkBuilder, DashboardLinkType } from '@grafana/grafana-foundation-sdk/dashboard'
import { DatasourceVariableBuilder, QueryVariableBuilder, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { ThresholdsConfigBuilder, ThresholdsMode } from '@grafana/grafana-foundation-sdk/dashboard'
import { DashboardCursorSync, VariableRefresh, VariableSort } from '@grafana/grafana-foundation-sdk/dashboard'
import { BigValueColorMode, LegendDisplayMode, VizLegendOptionsBuilder } from '@grafana/grafana-foundation-sdk/common'
import {
  ReduceDataOptionsBuilder,
  LegendPlacement,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import { SortOrder, TooltipDisplayMode } from '@grafana/grafana-foundation-sdk/common'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as HeatmapBuilder } from '@grafana/grafana-foundation-sdk/heatmap'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'

const SOURCE = { type: 'prometheus', uid: '${source}' }
/** Uid of the dashboard of traces and logs. */
export const TRACES = 'weir-traces'
/** Units of Grafana's grid, which is 24 wide. */
const HEIGHT = 8
const STAT_HEIGHT = 4

/** Only the leader knows jobs; while two terms overlap a scrape apart, `max` shows each job once. */
export const byJob = (selector: string, by = 'job'): string => `max by (${by}) (${selector})`
/** The series of the jobs chosen on top of the dashboard. */
export const OF_JOB = '{job=~"$job"}'

export interface Query {
  readonly expr: string
  /** `{{label}}` stands for a label's value. */
  readonly legend: string
}

export interface PanelOptions {
  readonly title: string
  /** What it means when it moves: shown behind the title. */
  readonly tells: string
  readonly unit: string
  readonly queries: readonly Query[]
  readonly width?: number
  readonly min?: number
}

const targets = (queries: readonly Query[]): DataqueryBuilder[] =>
  queries.map(({ expr, legend }, index) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode(65 + index))
      .datasource(SOURCE)
      .expr(expr)
      .legendFormat(legend),
  )

export function lines({ title, tells, unit, queries, width = 12, min = 0 }: PanelOptions): TimeseriesBuilder {
  return new TimeseriesBuilder()
    .title(title)
    .description(tells)
    .datasource(SOURCE)
    .unit(unit)
    .min(min)
    .height(HEIGHT)
    .span(width)
    .fillOpacity(8)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .targets(targets(queries))
    .dataLinks(queries.every(({ legend }) => legend.includes('{{job}}')) ? [tracesOfJob()] : [])
}

/** From a line of one job to its traces and log lines at that time. */
const tracesOfJob = (): DashboardLinkBuilder =>
  new DashboardLinkBuilder('Traces and logs of ${__field.labels.job}').url(
    `/d/${TRACES}?\${source:queryparam}&var-job=\${__field.labels.job}&\${__url_time_range}`,
  )

/** @param bad from where on the figure is red; without it has no colour */
export function figure({ title, tells, unit, queries, width = 4, bad }: PanelOptions & { bad?: number }): StatBuilder {
  const steps = [
    { value: null, color: bad === undefined ? 'text' : 'green' },
    ...(bad === undefined ? [] : [{ value: bad, color: 'red' }]),
  ]
  return new StatBuilder()
    .title(title)
    .description(tells)
    .datasource(SOURCE)
    .unit(unit)
    .height(STAT_HEIGHT)
    .span(width)
    .colorMode(BigValueColorMode.Value)
    .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false))
    .targets(targets(queries))
}

/** @param bucket the name of a histogram, with its `_bucket`, and selector */
export function heat(title: string, tells: string, bucket: string, width = 12): HeatmapBuilder {
  return new HeatmapBuilder()
    .title(title)
    .description(tells)
    .datasource(SOURCE)
    .height(HEIGHT)
    .span(width)
    .calculate(false)
    .withTarget(
      new DataqueryBuilder()
        .refId('A')
        .datasource(SOURCE)
        .expr(`sum by (le) (increase(${bucket}[$__rate_interval]))`)
        .format(PromQueryFormat.Heatmap)
        .legendFormat('{{le}}'),
    )
}

export const row = (title: string): RowBuilder => new RowBuilder(title)

/** @param slug its uid and file name are made of it */
export function dashboard(slug: string, title: string, tells: string): DashboardBuilder {
  return new DashboardBuilder(`Weir / ${title}`)
    .uid(`weir-${slug}`)
    .description(tells)
    .tags(['weir'])
    .readonly()
    .refresh('15s')
    .time({ from: 'now-1h', to: 'now' })
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .link(
      new DashboardLinkBuilder('Weir')
        .type(DashboardLinkType.Dashboards)
        .tags(['weir'])
        .asDropdown(false)
        .includeVars(true)
        .keepTime(true),
    )
    .withVariable(new DatasourceVariableBuilder('source').label('Prometheus').type('prometheus'))
}

/** @param dashboard gets a choice of jobs on top, all of them at first */
export const withJobs = (dashboard: DashboardBuilder): DashboardBuilder =>
  dashboard.withVariable(
    new QueryVariableBuilder('job')
      .label('Job')
      .datasource(SOURCE)
      .query({ query: 'label_values(weir_job_running, job)', refId: 'jobs' })
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .sort(VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true),
  )
