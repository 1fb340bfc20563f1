/**
 * `weir prove`: the user's own job, on a fleet and a log of its own on this machine, over a bounded input, killed at named points; what
 * came out is held against runs without a crash. The points are the protocol's: each lies between two messages of a task-manager.
 */
import { LogClient } from '@weir/connectors'
import { inputsOf, onScratch, outputsOf, type Scratch } from '@weir/dataflow'
import { WeirError, systemClock } from '@weir/model'
import type { jobs } from '@weir/proto'
import { JobsClient } from '@weir/wire'
import { bundleJob, type Bundle } from '../bundle.ts'
import { EmbeddedFleet } from '../embedded-fleet.ts'
import { readCommitted } from '../read-log.ts'
import { submit } from '../submit.ts'
import { usage } from '../usage.ts'
import { Reference, type Counted, type Judged, type Output } from './judge.ts'
import { PARTITIONS, inputFiles, recordsOf, sampleOf, writeInput, type InputRecord } from './input.ts'
import { planRuns, type Run } from './plan.ts'
import { CRASH_POINT_NAMES, type Crash, type CrashPointName } from './points.ts'
import { Victim } from './victim.ts'

export interface ProveCommand {
  readonly file: string
  readonly params: Readonly<Record<string, string>>
  /** `TOPIC=FILE` */
  readonly inputs: readonly string[]
  /** Of topics without a file: so many records, read from Kafka. Null: such topics are an error. */
  readonly sample: number | null
  readonly kafka: string | undefined
  /** Undefined: all. */
  readonly points: string | undefined
  readonly rounds: number
  readonly seed: number
}

export interface RunReport extends Judged {
  readonly run: number
  readonly crashes: readonly Crash[]
  /** Of them, those that happened. */
  readonly crashed: number
  readonly state: string
  readonly epochs: number
  readonly restarts: number
}

export interface ProveReport {
  readonly job: string
  readonly seed: number
  readonly counted: Counted
  /** Without a crash. */
  readonly outputs: number
  readonly runs: readonly RunReport[]
  readonly lost: number
  readonly duplicates: number
  /** Points at which no task-manager died: nothing is said of them. */
  readonly notReached: readonly CrashPointName[]
  readonly proven: boolean
}

const RUN_MS_MAX = 120_000
const LOOK_MS = 100
/** Several checkpoints, and time for a restart between them. */
const LASTS_MS = 3_000
const CHECKPOINT_INTERVAL_MS = 300
const GENERATED_PER_SPLIT = 1_000

/** @returns the exit code: 0 proven; 1 something was lost or repeated, stood still, or a point was not reached. */
export async function prove(
  command: ProveCommand,
  print: (value: unknown, text: string) => void,
  note: (text: string) => void,
): Promise<number> {
  const points = pointsIn(command.points)
  const { plan } = await bundleJob(command.file, command.params)
  onScratch(plan.job, scratchOf('none', new Map())) // what cannot be is said before anything is started
  const inputs = await inputOf(inputsOf(plan.job), command)
  const { parallelism } = plan.job.settings
  const fleet = await EmbeddedFleet.start({ taskManagers: 0, slots: Math.ceil(parallelism / 2) })
  const client = new JobsClient([fleet.manager.ready.grpc!], { token: null })
  const log = new LogClient(fleet.manager.ready.log!)
  try {
    for (const [topic, records] of inputs) {
      await log.createTopic(topic, PARTITIONS)
      await writeInput(log, topic, records)
    }
    // All of its slots are needed: with one slice there is the victim alone.
    if (parallelism > 1) await fleet.add()
    const proof = new Proof(command, { fleet, client, log, inputs })
    const trial = async (name: string, crashes: readonly Crash[]): Promise<Trial> => {
      const done = await proof.trial(name, crashes)
      const { view, outputs, crashed } = done
      note(
        `${name}: ${told(crashes)}: ${view.state}, ${outputs.length} outputs, ${crashed} crashes, ${view.restarts} restarts`,
      )
      return done
    }
    const [first, second] = [await trial('reference-1', []), await trial('reference-2', [])]
    for (const { view } of [first, second]) if (view.state !== 'FINISHED') throw unfinished(view)
    const reference = new Reference(first.outputs, second.outputs)
    const runs: RunReport[] = []
    for (const run of planRuns(command.seed, points, command.rounds)) {
      runs.push(reportOf(run, await trial(`run-${run.number}`, run.crashes), reference))
    }
    const report = summed(command, { job: plan.job.name, reference, outputs: first.outputs.length, runs, points })
    print(report, text(report, command))
    return report.proven ? 0 : 1
  } finally {
    log.close()
    client.close()
    await fleet.stop()
  }
}

const scratchOf = (name: string, inputs: ReadonlyMap<string, readonly InputRecord[]>): Scratch => ({
  outputs: `${name}.`,
  inputs: Object.fromEntries([...inputs].map(([topic, records]) => [topic, records.length])),
  generated: GENERATED_PER_SPLIT,
  lastsMs: LASTS_MS,
  checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
})

interface Trial {
  readonly view: jobs.JobView
  readonly outputs: readonly Output[]
  readonly crashed: number
}

interface ProofDeps {
  readonly fleet: EmbeddedFleet
  readonly client: JobsClient
  readonly log: LogClient
  readonly inputs: ReadonlyMap<string, readonly InputRecord[]>
}

class Proof {
  readonly #command: ProveCommand
  readonly #deps: ProofDeps

  constructor(command: ProveCommand, deps: ProofDeps) {
    this.#command = command
    this.#deps = deps
  }

  async trial(name: string, crashes: readonly Crash[]): Promise<Trial> {
    const { fleet, client, log, inputs } = this.#deps
    const scratch = scratchOf(name, inputs)
    const bundle = await bundleJob(this.#command.file, this.#command.params, { by: 'onScratch', of: scratch })
    const topics = outputsOf(bundle.plan.job)
    for (const topic of topics) await log.createTopic(topic, PARTITIONS)
    const victim = await Victim.start(fleet, crashes)
    try {
      const view = await this.#toTheEnd(client, bundle, name)
      const outputs: Output[] = []
      for (const topic of topics) {
        for (const { key, value } of await readCommitted(log, topic)) {
          outputs.push({ topic: topic.slice(scratch.outputs.length), key: textOf(key), value: textOf(value) ?? 'null' })
        }
      }
      return { view, outputs, crashed: victim.crashed }
    } finally {
      await victim.end()
    }
  }

  async #toTheEnd(client: JobsClient, bundle: Bundle, name: string): Promise<jobs.JobView> {
    const { jobId } = await submit(client, bundle, { id: `prove-${name}`, wait: false })
    const deadline = systemClock.monotonic() + RUN_MS_MAX
    for (;;) {
      const view = await client.get(jobId)
      const isOver = ['FINISHED', 'FAILED', 'CANCELLED'].includes(view.state)
      if (isOver || systemClock.monotonic() > deadline) return view
      await systemClock.sleep(LOOK_MS)
    }
  }
}

async function inputOf(
  topics: readonly string[],
  { inputs, sample, kafka }: ProveCommand,
): Promise<ReadonlyMap<string, readonly InputRecord[]>> {
  const files = inputFiles(inputs)
  const found = new Map<string, readonly InputRecord[]>()
  for (const topic of topics) {
    const file = files.get(topic)
    if (file !== undefined) found.set(topic, await recordsOf(file))
    else if (sample !== null && kafka !== undefined) found.set(topic, await sampleOf(kafka, topic, sample))
    else {
      throw usage(
        `the job reads "${topic}": give --input ${topic}=FILE.ndjson, or --sample N with --kafka to take its first records`,
      )
    }
    if (found.get(topic)!.length === 0) throw usage(`there is no record for "${topic}"`)
  }
  return found
}

function pointsIn(names: string | undefined): readonly CrashPointName[] {
  if (names === undefined) return CRASH_POINT_NAMES
  return names.split(',').map((name) => {
    const found = CRASH_POINT_NAMES.find((one) => one === name)
    if (found !== undefined) return found
    throw usage(`there is no crash point "${name}"; there are ${CRASH_POINT_NAMES.join(', ')}`)
  })
}

function reportOf(run: Run, { view, outputs, crashed }: Trial, reference: Reference): RunReport {
  const { state, finalEpoch: epochs, restarts, regionRestarts } = view
  const { number, crashes } = run
  return {
    run: number,
    crashes,
    crashed,
    state,
    epochs,
    restarts: restarts + regionRestarts,
    ...reference.judge(outputs),
  }
}

function summed(
  { seed }: ProveCommand,
  of: {
    readonly job: string
    readonly reference: Reference
    readonly outputs: number
    readonly runs: readonly RunReport[]
    readonly points: readonly CrashPointName[]
  },
): ProveReport {
  const { job, reference, outputs, runs, points } = of
  const sum = (what: 'lost' | 'duplicates'): number => runs.reduce((all, run) => all + run[what], 0)
  const met = new Set(runs.flatMap(({ crashes, crashed }) => crashes.slice(0, crashed).map(({ point }) => point)))
  const notReached = points.filter((point) => !met.has(point))
  const [lost, duplicates] = [sum('lost'), sum('duplicates')]
  const finished = runs.every(({ state }) => state === 'FINISHED')
  const proven = lost === 0 && duplicates === 0 && finished && notReached.length === 0
  return { job, seed, counted: reference.counted, outputs, runs, lost, duplicates, notReached, proven }
}

const told = (crashes: readonly Crash[]): string =>
  crashes.length === 0 ? 'no crash' : crashes.map(({ point, nth }) => `${point} (${nth}.)`).join(', then ')

function text(report: ProveReport, command: ProveCommand): string {
  const { job, seed, counted, outputs, runs, lost, duplicates, notReached, proven } = report
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

const textOf = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString())

const unfinished = ({ state, error }: jobs.JobView): WeirError => {
  const reason = error === '' ? null : (JSON.parse(error) as { code: string; message: string })
  const why = reason === null ? 'its input has no end' : `${reason.code}: ${reason.message}`
  return new WeirError(
    { code: 'PROVE_NO_REFERENCE', kind: 'invalid', state, reason },
    `the job is ${state} without any crash, so there is nothing to hold a crash against: ${why}`,
  )
}
