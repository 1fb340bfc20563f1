/** One run of the job on the proving ground, from submission to what it has put out. */
import { outputsOf, type JobDefinition, type Scratch } from '@weir/dataflow'
import { WeirError, asWeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { jobs } from '@weir/proto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { bundleJob } from '../bundle.ts'
import { readCommitted } from '../read-log.ts'
import { submit } from '../submit.ts'
import { PARTITIONS, writeInput, type InputRecord } from './input.ts'
import type { Output } from './judge.ts'
import type { Crash } from './points.ts'
import type { ProvingGround } from './proving-ground.ts'

const RUN_MS_MAX = 120_000
const LOOK_MS = 50
const CHECKPOINT_INTERVAL_MS = 200
/** Of the input, when nothing is waited for. */
const FREE_MS = 1_000
/**
 * While a crash is to come the input is read at a tenth of that, and every second the rate is lowered to 0.88 of what it was: that comes to 0.83 of the input
 * however long it takes, and begins fast enough for windows that fire and checkpoints with something in them.
 */
const HELD_MS = 10_000
const HELD_FACTOR = 0.88
const HELD_STEP_MS = 1_000
/** Then it is let go: what a job puts out at the end of its input only is committed then. */
const HELD_MS_MAX = 20_000
const GENERATED_PER_SPLIT = 1_000
const ENDED = ['FINISHED', 'FAILED', 'CANCELLED']

export interface Trial {
  readonly view: jobs.JobView
  readonly outputs: readonly Output[]
  readonly crashed: number
}

export interface TrialOptions {
  readonly file: string
  readonly params: Readonly<Record<string, string>>
  readonly inputs: ReadonlyMap<string, readonly InputRecord[]>
  /** Of this proof: no two on a ground have the same. */
  readonly name: string
  /** Where files are written. */
  readonly folder: string
}

export const scratchOf = (
  { name, inputs, folder }: Pick<TrialOptions, 'name' | 'inputs' | 'folder'>,
  trial: string,
  lastsMs: number,
): Scratch => ({
  reads: `${name}.`,
  writes: `${name}.${trial}.`,
  files: pathToFileURL(join(folder, name, trial, '/')).href,
  inputs: Object.fromEntries([...inputs].map(([topic, records]) => [topic, records.length])),
  generated: GENERATED_PER_SPLIT,
  lastsMs,
  checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
})

export class Trials {
  readonly #options: TrialOptions
  readonly #ground: ProvingGround

  private constructor(options: TrialOptions, ground: ProvingGround) {
    this.#options = options
    this.#ground = ground
  }

  static async prepare(options: TrialOptions, ground: ProvingGround): Promise<Trials> {
    const { reads } = scratchOf(options, '', FREE_MS)
    for (const [topic, records] of options.inputs) {
      await ground.log.createTopic(reads + topic, PARTITIONS)
      await writeInput(ground.log, reads + topic, records)
    }
    return new Trials(options, ground)
  }

  /**
   * Until the job has ended, or 120 s. While crashes are to come its input is held back, for 20 s at most, and let go with the last of them: so each
   * comes while there is input, however slow the machine.
   */
  async run(trial: string, crashes: readonly Crash[]): Promise<Trial> {
    const { file, params, name } = this.#options
    const { log } = this.#ground
    const scratch = scratchOf(this.#options, trial, crashes.length > 0 ? HELD_MS : FREE_MS)
    const [{ plan, ...bundle }] = await Promise.all([
      bundleJob(file, params, { by: 'onScratch', of: scratch }),
      this.#ground.whole(),
    ])
    const { topics, folders } = outputsOf(plan.job)
    for (const topic of topics) await log.createTopic(topic, PARTITIONS)
    this.#ground.arm(`${name}.${trial}`, crashes)
    const { jobId } = await submit(
      this.#ground.client,
      { plan, ...bundle },
      { id: `prove-${name}-${trial}`, wait: false },
    )
    const view = await this.#toTheEnd(jobId, crashes.length, freeRates(plan.job, scratch))
    const outputs: Output[] = []
    for (const topic of topics) {
      for (const { key, value } of await readCommitted(log, topic)) {
        outputs.push({ topic: topic.slice(scratch.writes.length), key: textOf(key), value: textOf(value) ?? 'null' })
      }
    }
    for (const [sink, folder] of folders) outputs.push(...(await linesIn(folder, sink)))
    return { view, outputs, crashed: this.#ground.crashed }
  }

  async #toTheEnd(jobId: string, crashes: number, free: ReadonlyMap<string, number>): Promise<jobs.JobView> {
    const { client } = this.#ground
    const begin = systemClock.monotonic()
    const hold = new Hold()
    for (;;) {
      const elapsedMs = systemClock.monotonic() - begin
      const isLate = elapsedMs > RUN_MS_MAX
      if (isLate) await patiently(() => client.cancel(jobId)) // its slots are for the next run
      const view = await patiently(() => client.get(jobId))
      if (view !== null && (isLate || ENDED.includes(view.state))) return view
      if (elapsedMs > 2 * RUN_MS_MAX) throw noAnswer(jobId)
      const share = crashes === 0 ? null : hold.shareAt(elapsedMs, this.#ground.crashed >= crashes)
      if (share !== null) {
        const told = [...free].map(([source, rate]) =>
          patiently(() => client.adjustRate({ jobId, source, recordsPerSecond: rate * share })),
        )
        if (!(await Promise.all(told)).includes(null)) hold.told(share)
      }
      await systemClock.sleep(LOOK_MS)
    }
  }
}

/** Of the free rate, how much. */
export class Hold {
  #last = FREE_MS / HELD_MS

  /** Null: as told last. */
  shareAt(elapsedMs: number, isOver: boolean): number | null {
    const share =
      isOver || elapsedMs > HELD_MS_MAX ? 1 : (FREE_MS / HELD_MS) * HELD_FACTOR ** Math.floor(elapsedMs / HELD_STEP_MS)
    return share === this.#last ? null : share
  }

  told(share: number): void {
    this.#last = share
  }
}

/** Names with `_` in front are the sink's own (libs/connectors/src/files/files-destination.ts); what has no final name is in none. */
async function linesIn(folder: string, sink: string): Promise<readonly Output[]> {
  const outputs: Output[] = []
  const entries = await readdir(new URL(folder), { withFileTypes: true }).catch(() => []) // nothing was written
  for (const entry of entries.filter((one) => one.isFile() && !/^[._]/.test(one.name))) {
    const text = await readFile(join(entry.parentPath, entry.name), 'utf8')
    for (const value of text.split('\n')) if (value !== '') outputs.push({ topic: sink, key: null, value })
  }
  return outputs
}

/** By source, records/s. */
const freeRates = ({ graph }: JobDefinition, { lastsMs }: Scratch): ReadonlyMap<string, number> =>
  new Map(
    graph.nodes.flatMap((node) =>
      node.kind === 'source' ? [[String(node.uid), node.recordsPerSecond! * (lastsMs / FREE_MS)] as const] : [],
    ),
  )

/** A leader that has just begun has not read its jobs yet; a job may end while it is asked for something. */
const NOT_NOW = ['JOB_UNKNOWN', 'JOB_NOT_RUNNING']

/** Null: not now, the job-manager may have been killed. */
async function patiently<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (thrown) {
    const error = asWeirError(thrown, 'INTERNAL')
    if (error.kind === 'retry' || NOT_NOW.includes(error.code)) return null
    throw error
  }
}

const textOf = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString())

const noAnswer = (jobId: string): WeirError =>
  new WeirError(
    { code: 'PROVE_NO_ANSWER', kind: 'retry', jobId },
    `no job-manager has told of ${jobId} for ${(2 * RUN_MS_MAX) / 1_000} s; WEIR_LOG_LEVEL=info shows what the processes say`,
  )
