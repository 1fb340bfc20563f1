/** What a proof comes to, for programs and for people. */
import type { Counted, Judged, Output, Reference } from './judge.ts'
import type { Run } from './plan.ts'
import type { Crash, CrashPointName } from './points.ts'
import type { ProveCommand } from './prove.ts'
import type { Trial } from './trial.ts'

export interface RunReport extends Judged {
  readonly run: number
  readonly crashes: readonly Crash[]
  /** Of them, those that happened. */
  readonly crashed: number
  readonly state: string
  readonly epochs: number
  /** Of the last leader's term. */
  readonly restarts: number
}

export interface ProveReport {
  readonly job: string
  readonly seed: number
  readonly counted: Counted
  /** Of these nothing is said: their number differs between two runs without a crash. */
  readonly varying: readonly string[]
  /** Without a crash. */
  readonly outputs: number
  readonly runs: readonly RunReport[]
  readonly lost: number
  readonly duplicates: number
  /** Points at which no process died: nothing is said of them. */
  readonly notReached: readonly CrashPointName[]
  readonly proven: boolean
}

export interface Proven {
  readonly job: string
  readonly seed: number
  readonly points: readonly CrashPointName[]
  readonly reference: Reference
  /** Without a crash. */
  readonly outputs: readonly Output[]
  readonly runs: readonly (Run & Trial)[]
}

export function reportOf({ job, seed, points, reference, outputs, runs }: Proven): ProveReport {
  const reports = runs.map(({ number, crashes, crashed, view, outputs }): RunReport => {
    const { state, finalEpoch: epochs, restarts, regionRestarts } = view
    const judged = reference.judge(outputs)
    return { run: number, crashes, crashed, state, epochs, restarts: restarts + regionRestarts, ...judged }
  })
  const sum = (what: 'lost' | 'duplicates'): number => reports.reduce((all, run) => all + run[what], 0)
  const met = new Set(reports.flatMap(({ crashes, crashed }) => crashes.slice(0, crashed).map(({ point }) => point)))
  const notReached = points.filter((point) => !met.has(point))
  const [lost, duplicates] = [sum('lost'), sum('duplicates')]
  const finished = reports.every(({ state }) => state === 'FINISHED')
  const { counted, varying } = reference
  const said = notReached.length === 0 && varying.length === 0
  const proven = lost === 0 && duplicates === 0 && finished && said
  return {
    ...{ job, seed, counted, varying, outputs: outputs.length, runs: reports },
    ...{ lost, duplicates, notReached, proven },
  }
}

export const told = (crashes: readonly Crash[]): string =>
  crashes.length === 0 ? 'no crash' : crashes.map(({ point, nth }) => `${point} (${nth}.)`).join(', then ')

export function textOf(report: ProveReport, command: ProveCommand): string {
  const { job, seed, counted, varying, outputs, runs, lost, duplicates, notReached, proven } = report
  const how =
    counted === 'by-value'
      ? 'every record by topic, key and value'
      : 'by topic and key: values depend on the order of partitions'
  return [
    `${job}: ${outputs} outputs without a crash, counted ${how}`,
    ...runs.map((run) =>
      [
        `run ${run.run}: ${told(run.crashes)}`,
        `${run.state}, ${run.epochs} epochs, ${run.restarts} restarts`,
        `${run.lost} lost, ${run.duplicates} repeated`,
      ].join('\t'),
    ),
    ...runs.flatMap(({ run, examples }) => examples.map((example) => `run ${run}: ${example}`)),
    ...varying.map(
      (name) =>
        `another number in each run without a crash, so nothing is said of it: ${name} (late data? at parallelism 1, from one partition, it may be the same every time)`,
    ),
    ...(notReached.length === 0 ? [] : [`not reached, so nothing is said of them: ${notReached.join(', ')}`]),
    `${proven ? 'proven' : 'NOT PROVEN'}: ${lost} lost, ${duplicates} repeated in ${runs.length} runs`,
    `again: ${commandLine(command, seed)}`,
  ].join('\n')
}

function commandLine({ file, params, inputs, sample, points, rounds }: ProveCommand, seed: number): string {
  return [
    `weir prove ${file} --seed ${seed}`,
    ...Object.entries(params).map(([name, value]) => `--set ${name}=${value}`),
    ...inputs.map((input) => `--input ${input}`),
    ...(sample === null ? [] : [`--sample ${sample}`]),
    ...(points === undefined ? [] : [`--points ${points}`]),
    ...(rounds === 1 ? [] : [`--rounds ${rounds}`]),
  ].join(' ')
}
