/**
 * `weir prove`: the user's own job, on a fleet and a log of its own on this machine, over a bounded input, killed at named points; what
 * came out is held against a run without a crash. The points are the protocol's: each lies between two messages of a process.
 */
import { inputsOf, onScratch } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import type { jobs } from '@weir/proto'
import { bundleJob } from '../bundle.ts'
import { usage } from '../usage.ts'
import { inputFiles, recordsOf, sampleOf, type InputRecord } from './input.ts'
import { Reference, isSame } from './judge.ts'
import { planRuns, type Run } from './plan.ts'
import { CRASH_POINT_NAMES, type Crash, type CrashPointName } from './points.ts'
import { ProvingGround } from './proving-ground.ts'
import { reportOf, textOf, told } from './report.ts'
import { Trials, scratchOf, type Trial } from './trial.ts'

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

/** A job, ready to be proven. */
interface Prepared {
  readonly command: ProveCommand
  readonly job: string
  readonly parallelism: number
  readonly points: readonly CrashPointName[]
  readonly inputs: ReadonlyMap<string, readonly InputRecord[]>
}

type Print = (value: unknown, text: string) => void

/** @returns the exit code: 0 proven; 1 something was lost or repeated, stood still, or a point was not reached. */
export async function prove(command: ProveCommand, print: Print, note: (text: string) => void): Promise<number> {
  const prepared = await prepare(command)
  const ground = await ProvingGround.open({ slots: prepared.parallelism })
  try {
    return await proveOn(ground, 'job', prepared, print, note)
  } finally {
    await ground.close()
  }
}

/** What cannot be is said before anything is started. Throws `PROVE_UNSUPPORTED`, `USAGE`, `INPUT_INVALID` (invalid), and as `bundleJob`. */
export async function prepare(command: ProveCommand): Promise<Prepared> {
  const points = pointsIn(command.points)
  const { plan } = await bundleJob(command.file, command.params)
  onScratch(plan.job, scratchOf({ name: 'none', inputs: new Map(), folder: '/' }, 'none', 1_000))
  const inputs = await inputOf(inputsOf(plan.job), command)
  return { command, job: plan.job.name, parallelism: plan.job.settings.parallelism, points, inputs }
}

/**
 * As `prove`, on a ground that is there; several jobs may follow each other on it.
 *
 * @param name no two proofs on a ground have the same
 */
export async function proveOn(
  ground: ProvingGround,
  name: string,
  { command, job, points, inputs }: Prepared,
  print: Print,
  note: (text: string) => void,
): Promise<number> {
  const { file, params, seed } = command
  const trials = await Trials.prepare({ file, params, inputs, name, folder: ground.folder }, ground)
  const trial = async (which: string, crashes: readonly Crash[]): Promise<Trial> => {
    const done = await trials.run(which, crashes)
    const { view, outputs, crashed } = done
    note(
      `${which}: ${told(crashes)}: ${view.state}, ${outputs.length} outputs, ${crashed} crashes, ${view.restarts} restarts`,
    )
    return done
  }
  const reference = async (which: string): Promise<Trial> => {
    const done = await trial(which, [])
    if (done.view.state !== 'FINISHED') throw unfinished(done.view)
    return done
  }
  const { outputs } = await reference('reference-1')
  const runs: (Run & Trial)[] = []
  for (const run of planRuns(seed, points, command.rounds)) {
    runs.push({ ...run, ...(await trial(`run-${run.number}`, run.crashes)) })
  }
  // What is the same is neither lost nor repeated, however it is counted.
  const isDifferent = runs.some((run) => !isSame(outputs, run.outputs))
  const second = isDifferent ? (await reference('reference-2')).outputs : null
  const report = reportOf({ job, seed, points, outputs, runs, reference: new Reference(outputs, second) })
  print(report, textOf(report, command))
  return report.proven ? 0 : 1
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

const unfinished = ({ state, error }: jobs.JobView): WeirError => {
  const reason = error === '' ? null : (JSON.parse(error) as { code: string; message: string })
  const why = reason === null ? 'its input has no end' : `${reason.code}: ${reason.message}`
  return new WeirError(
    { code: 'PROVE_NO_REFERENCE', kind: 'invalid', state, reason },
    `the job is ${state} without any crash, so there is nothing to hold a crash against: ${why}`,
  )
}
