/** What a bench says at its end: JSON, and a table of medians in docs/PERFORMANCE.md, between the comments of its scenario and work. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { format, resolveConfig } from 'prettier'
import { median } from '../lib/figures.ts'
import type { Bench, Outcome } from './bench.ts'

const root = new URL('../../../', import.meta.url)
const FILE = new URL('docs/PERFORMANCE.md', root).pathname

interface Column {
  readonly title: string
  readonly of: string
  readonly show: (value: number) => string
}
const whole = (value: number): string => value.toFixed(0)
const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  throughput: [
    { title: 'k records/s', of: 'perSecond', show: (v) => (v / 1_000).toFixed(0) },
    { title: 'CPU-s per million', of: 'cpuSecondsPerMillion', show: (v) => v.toFixed(2) },
    { title: 'k records/s, start included', of: 'perSecondWithStart', show: (v) => (v / 1_000).toFixed(0) },
    { title: 'peak RSS, MiB', of: 'peakMiB', show: whole },
    { title: 'start to first output, ms', of: 'startMs', show: whole },
    { title: 'of it from submit, ms', of: 'submitMs', show: whole },
  ],
  latency: [
    { title: 'p50, ms', of: 'p50', show: whole },
    { title: 'p99, ms', of: 'p99', show: whole },
  ],
  recovery: [{ title: 'kill -9 to committed output, ms', of: 'recoveryMs', show: whole }],
}
const TITLES: Readonly<Record<string, string>> = {
  recovery: 'Recovery: kill -9 at 5,000 records/s, a commit every second',
  'latency --interval 100': 'Latency at 5,000 records/s, a commit every 100 ms',
  'latency --interval 1000': 'Latency at 5,000 records/s, a commit every second',
  'throughput --work sum': 'Throughput: running sum per user',
  'throughput --work filter': 'Throughput: filter and map',
  'throughput --work window': 'Throughput: count per user and 10 s window',
}

export interface Report {
  readonly section: string
  readonly markdown: string
  readonly json: object
}

/** @param option of the scenario, as it is given to the bench; '' where it has none */
export function report(scenario: string, option: string, bench: Bench): Report {
  const columns = COLUMNS[scenario]!
  const rows = [...bench.outcomes].map(([name, outcomes]) => rowOf(name, outcomes, columns))
  const section = `${scenario} ${option}`.trim()
  const conditions = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpus()[0]!.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, broker on the same cores`,
    versions: versions(),
    ...{ runs: bench.runs, ...(scenario === 'throughput' && { records: bench.records }) },
  }
  const isFull = scenario === 'throughput'
  const amount = isFull ? `${bench.records.toLocaleString('en')} orders. ` : ''
  const command = [
    `npm run bench -- peers --scenario ${section}`,
    ...(isFull ? [`--records ${bench.records}`] : []),
    `--runs ${bench.runs}`,
  ].join(' ')
  const cells = (of: readonly string[]): string => `| ${of.join(' | ')} |`
  const markdown = [
    `## ${TITLES[section] ?? section}`,
    '',
    `${conditions.date}; ${conditions.machine}; ${conditions.versions}. ${amount}Medians of ${bench.runs} alternating runs: \`${command}\``,
    '',
    cells(['', ...columns.map(({ title }) => title), 'runs']),
    cells(['---', ...columns.map(() => '--:'), '--:']),
    ...rows.map(({ name, medians, runs }) =>
      cells([name, ...columns.map(({ of, show }) => (medians[of] === undefined ? '–' : show(medians[of]))), runs]),
    ),
    '',
  ].join('\n')
  return { section, markdown, json: { bench: 'peers', scenario, option, ...conditions, rows } }
}

interface Row {
  readonly name: string
  readonly medians: Readonly<Record<string, number>>
  /** e.g. `3`, `2 of 3` */
  readonly runs: string
  readonly outcomes: readonly Outcome<object>[]
}

function rowOf(name: string, outcomes: readonly Outcome<object>[], columns: readonly Column[]): Row {
  const done = outcomes.flatMap((outcome) => ('ok' in outcome ? [outcome.ok as Record<string, number | null>] : []))
  const medians: Record<string, number> = {}
  for (const { of } of columns) {
    const values = done.flatMap((run) => run[of] ?? [])
    if (values.length > 0) medians[of] = median(values)
  }
  const runs = done.length === outcomes.length ? `${done.length}` : `${done.length} of ${outcomes.length}`
  return { name, medians, runs, outcomes }
}

function versions(): string {
  const pom = (peer: string, artifact: string): string => {
    const text = readFileSync(new URL(`test/bench/peers/${peer}/pom.xml`, root), 'utf8')
    return new RegExp(`<artifactId>${artifact}</artifactId><version>([^<]+)`).exec(text)?.[1] ?? '?'
  }
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
  const streams = pom('kafka-streams', 'kafka-streams')
  return `Weir ${commit}, Kafka Streams ${streams}, Flink ${pom('flink', 'flink-streaming-java')}, Node ${process.versions.node}`
}

export async function writeReport({ section, markdown }: Report): Promise<void> {
  const [begin, end] = [`<!-- ${section} -->`, `<!-- /${section} -->`]
  let text = readFileSync(FILE, 'utf8')
  const block = `${begin}\n\n${markdown}\n${end}\n`
  const from = text.indexOf(begin)
  if (from < 0) text = `${text.trimEnd()}\n\n${block}`
  else text = `${text.slice(0, from)}${block}${text.slice(text.indexOf(end) + end.length).trimStart()}`
  writeFileSync(FILE, await format(text, { ...(await resolveConfig(FILE)), parser: 'markdown' }))
}
