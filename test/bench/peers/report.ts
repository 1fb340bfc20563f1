/** What a bench says at its end: JSON, and a table of medians in docs/PERFORMANCE.md, between the comments of its scenario and work. */
import { readFileSync } from 'node:fs'
import { median } from '../lib/figures.ts'
import { codeCommit, machine, table, today, writeSection } from '../lib/performance-md.ts'
import type { Bench, Outcome } from './bench.ts'
import { keepPart, partOf, type Part } from './parts.ts'

const root = new URL('../../../', import.meta.url)

interface Column {
  readonly title: string
  readonly of: string
  readonly show: (value: number) => string
}
const whole = (value: number): string => value.toFixed(0)
const THROUGHPUT: readonly Column[] = [
  { title: 'k records/s', of: 'perSecond', show: (v) => (v / 1_000).toFixed(0) },
  { title: 'CPU-s per million', of: 'cpuSecondsPerMillion', show: (v) => v.toFixed(2) },
  { title: 'k records/s, start included', of: 'perSecondWithStart', show: (v) => (v / 1_000).toFixed(0) },
  { title: 'peak RSS, MiB', of: 'peakMiB', show: whole },
  { title: 'start to first output, ms', of: 'startMs', show: whole },
  { title: 'of it from submit, ms', of: 'submitMs', show: whole },
]
/** All other scenarios are about throughput. */
const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  latency: [
    { title: 'p50, ms', of: 'p50', show: whole },
    { title: 'p99, ms', of: 'p99', show: whole },
  ],
  recovery: [{ title: 'kill -9 to committed output, ms', of: 'recoveryMs', show: whole }],
}
const TITLES: Readonly<Record<string, string>> = {
  keys: 'Running sum: a million keys',
  disk: 'Running sum: a million keys, state on disk',
  partitions: 'Running sum: one partition to 64',
  'task-managers': 'Running sum: one task-manager or two',
  loops: 'Running sum: beside loops by hand',
  recovery: 'Recovery: kill -9 at 5,000 records/s, a commit every second',
  'latency --interval 20': 'Latency at 5,000 records/s, a commit every 20 ms',
  'latency --interval 100': 'Latency at 5,000 records/s, a commit every 100 ms',
  'latency --interval 1000': 'Latency at 5,000 records/s, a commit every second',
  'throughput --work sum': 'Throughput: running sum per user',
  'throughput --work filter': 'Throughput: filter and map',
  'throughput --work window': 'Throughput: count per user and 10 s window',
}

export interface Report {
  readonly part: Part
  readonly markdown: string
  readonly json: object
}

export interface Reported {
  readonly scenario: string
  /** Of the scenario, as it is given to the bench; '' where it has none. */
  readonly option: string
  /** To what was found before, in this code and of this amount. */
  readonly add: boolean
}

export function report({ scenario, option, add }: Reported, bench: Bench): Report {
  const columns = COLUMNS[scenario] ?? THROUGHPUT
  const section = `${scenario} ${option}`.trim()
  const isFull = columns === THROUGHPUT
  const of = `${versions()} ${isFull ? bench.records : ''}`
  const part = partOf(section, of, bench.outcomes, add)
  const rows = Object.entries(part.outcomes).map(([name, runs]) => rowOf(name, runs, columns))
  const runs = Math.max(0, ...Object.values(part.outcomes).map(({ length }) => length))
  const conditions = {
    date: today(),
    machine: `${machine()}, broker on the same cores`,
    versions: versions(),
    ...{ runs, ...(isFull && { records: bench.records }) },
  }
  const amount = isFull ? `${bench.records.toLocaleString('en')} orders. ` : ''
  const command = [
    `npm run bench -- peers --scenario ${section}`,
    ...(isFull ? [`--records ${bench.records}`] : []),
    `--runs ${runs}`,
  ].join(' ')
  const markdown = [
    `## ${TITLES[section] ?? section}`,
    '',
    `${conditions.date}; ${conditions.machine}; ${conditions.versions}. ${amount}${runs > 1 ? `Medians of ${runs} alternating runs` : 'One run'}: \`${command}\``,
    '',
    ...table(
      ['', ...columns.map(({ title }) => title), 'runs'],
      rows.map(({ name, medians, runs }) => {
        const figures = columns.map(({ of, show }) => (medians[of] === undefined ? '–' : show(medians[of])))
        return [name, ...figures, runs]
      }),
    ),
    '',
  ].join('\n')
  return { part, markdown, json: { bench: 'peers', scenario, option, ...conditions, rows } }
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
  const streams = pom('kafka-streams', 'kafka-streams')
  return `Weir ${codeCommit()}, Kafka Streams ${streams}, Flink ${pom('flink', 'flink-streaming-java')}, Node ${process.versions.node}`
}

export async function writeReport({ part, markdown }: Report): Promise<void> {
  keepPart(part)
  await writeSection(part.section, markdown)
}
