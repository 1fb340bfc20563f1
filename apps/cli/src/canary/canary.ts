/**
 * `weir canary`: a new version of a running job, beside it, on topics that nobody reads. Nothing is remembered here: what a comparison
 * needs stands in the canary's own settings, and everything else is read again from both topics.
 */
import {
  asideTopics,
  CANARY_SHARES,
  comparedTopics,
  judgeCanary,
  nextShare,
  onCanary,
  type CanarySettings,
} from '@weir/dataflow'
import type { GraphView } from '@weir/job'
import { KafkaConnections, KafkaTopics, deleteTopics, kafkaSecurity, makeTopics } from '@weir/kafka'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { JobsClient } from '@weir/wire'
import { bundleJob, type Bundle } from '../bundle.ts'
import { submit } from '../submit.ts'
import { usage } from '../usage.ts'
import { cutOf, endsOf } from './cut.ts'
import { BEHIND_MS_MAX, canaryOver, isOver, look, notRunning, type RunningCanary } from './look.ts'
import { promoted } from './promotion.ts'
import { percent, told, type CanaryReport } from './texts.ts'

/** How outputs are compared, and which: of the first step. */
export type CanaryOptions = Pick<CanarySettings, 'suffix' | 'calls' | 'share' | 'compares' | 'ignored' | 'outputsMin'>

/** A version of a job. */
export interface CanaryBuild {
  readonly file: string
  readonly params: Readonly<Record<string, string>>
  readonly droppedState: readonly string[]
  sign(digest: string): Promise<string>
}

export interface CanaryDeps {
  readonly client: JobsClient
  readonly brokers: string
  print(value: unknown, text: string): void
  note(text: string): void
}

const LOOK_MS = 100
const END_MS_MAX = 120_000
/** Of an abort: a canary that has stopped is not waited for. */
const LAST_LOOK_MS = 15_000
const JOB_ID_LENGTH_MAX = 63

export class Canaries {
  readonly #deps: CanaryDeps
  readonly #kafka: KafkaConnections
  readonly #topics: KafkaTopics
  readonly #clock = systemClock

  constructor(deps: CanaryDeps) {
    this.#deps = deps
    const of = { brokers: deps.brokers.split(','), clientId: 'weir-canary', security: kafkaSecurity(process.env) }
    this.#kafka = new KafkaConnections(of, { clock: this.#clock })
    this.#topics = new KafkaTopics({ kafka: this.#kafka, clock: this.#clock, signal: new AbortController().signal })
  }

  /** Throws `CANARY_EXISTS`, `CANARY_UNSUPPORTED`, `CANARY_SHARE_UNSUPPORTED`, `JOB_NOT_RUNNING` (invalid), as `cutOf` and `submit` do. */
  async start(jobId: string, build: CanaryBuild, options: CanaryOptions): Promise<number> {
    const { client } = this.#deps
    const { canary } = await client.canary(jobId)
    if (canary !== null && !isOver(canary)) throw exists(canary)
    return this.#begin(jobId, build, await bundleJob(build.file, build.params), options, [])
  }

  /** 0: it passes; 1: it does not, or too little was compared. */
  async status(jobId: string): Promise<number> {
    return this.#say(await this.#report(await this.#running(jobId)))
  }

  /** To the next share, if it passes: from a savepoint of its own, since the keys that join have not been processed. */
  async step(jobId: string, build: CanaryBuild): Promise<number> {
    const canary = await this.#running(jobId)
    const { settings } = canary
    const share = nextShare(settings.share)
    if (share === undefined) throw usage(`the canary of ${jobId} has all keys: \`weir canary promote ${jobId} JOB.ts\``)
    const bundle = await this.#sameBuild(settings, build)
    const report = await this.#report(canary)
    if (report.verdict !== 'passes') return this.#say(report)
    this.#deps.note(told(report))
    await this.#end(canary, [])
    return this.#begin(jobId, build, bundle, { ...settings, share }, settings.made)
  }

  /**
   * If it passes with all keys: the job stops with a savepoint, and the new version goes on from that under its id and on its topics
   * (promotion.ts has the picture). 1: it does not pass, and nothing was done.
   */
  async promote(jobId: string, build: CanaryBuild): Promise<number> {
    const { client, note, print } = this.#deps
    const canary = await this.#running(jobId)
    const { settings } = canary
    const bundle = await this.#sameBuild(settings, build)
    if (settings.share < 1) throw notAll(canary)
    const report = await this.#report(canary)
    if (report.verdict !== 'passes') return this.#say(report)
    note(told(report))
    const name = `promote-${this.#clock.now().toString(36)}`
    const { droppedState } = build
    const signature = await build.sign(bundle.digest)
    const view = await promoted(client, { jobId, bundle, signature, savepoint: name, droppedState, note })
    await this.#end(canary, settings.made).catch((error: unknown) =>
      // The promotion is done, whatever is left of the canary.
      note(`${canary.jobId} is left behind, \`weir canary abort ${jobId}\` ends it: ${(error as Error).message}`),
    )
    print({ ...report, promoted: view }, `${jobId} is ${view.state} with the new version, from savepoint ${name}`)
    return 0
  }

  /** The canary and its topics are gone; the job is as it was. Says what differed, if that can be told. */
  async abort(jobId: string): Promise<number> {
    const { print, note } = this.#deps
    const canary = (await this.#deps.client.canary(jobId)).canary
    if (canary === null) throw none(jobId)
    const report = isOver(canary)
      ? null
      : await this.#report(canary, LAST_LOOK_MS).catch((error: unknown) => {
          note(`nothing was compared: ${error instanceof Error ? error.message : String(error)}`)
          return null
        })
    await this.#end(canary, canary.settings.made)
    const ended = `${canary.jobId} is aborted, and its topics are deleted; ${jobId} was not touched`
    print(report ?? { jobId, canary: canary.jobId }, report === null ? ended : `${told(report)}\n${ended}`)
    return 0
  }

  close(): Promise<void> {
    return this.#topics.close()
  }

  // ---- start --------------------------------------------------------------------------------------------------------

  async #begin(
    jobId: string,
    build: CanaryBuild,
    plain: Bundle,
    options: CanaryOptions,
    madeBefore: readonly string[],
  ): Promise<number> {
    const { client, print, note } = this.#deps
    const { job } = plain.plan
    const { suffix, share } = options
    const settings: CanarySettings = {
      ...{ of: jobId, build: plain.digest, savepoint: '', topics: {}, made: [], before: [] },
      ...options,
    }
    onCanary(job, settings) // what cannot be is said before anything is made
    const topics = this.#compared(job.name, comparedTopics(job), await client.graph(jobId))
    const shadows = new Map([...comparedTopics(job), ...asideTopics(job)].map((topic) => [`${topic}${suffix}`, topic]))
    const made = [...madeBefore, ...(await makeTopics(shadows, { kafka: this.#kafka, clock: this.#clock }))]
    const deps = { client, topics: this.#topics, clock: this.#clock }
    let cut: Awaited<ReturnType<typeof cutOf>> | null = null
    let id: string | null = null
    try {
      cut = await cutOf(jobId, topics, deps)
      id = `${jobId}-canary-${cut.epoch}`
      if (id.length > JOB_ID_LENGTH_MAX) throw usage(`the id of the canary, ${id}, is longer than ${JOB_ID_LENGTH_MAX}`)
      const shadowFrom = await endsOf([...shadows.keys()], deps)
      const places = topics.map((topic) => {
        const shadow = `${topic}${suffix}`
        return [topic, { shadow, liveFrom: cut!.from[topic]!, shadowFrom: shadowFrom[shadow]! }] as const
      })
      const { savepoint, before } = cut
      const of = { ...settings, savepoint, before, made, topics: Object.fromEntries(places) }
      const bundle = await bundleJob(build.file, build.params, { by: 'onCanary', of })
      const start = {
        from: `${jobId}/${savepoint}`,
        allowDroppedState: [...build.droppedState],
        acceptRepeatedOutput: false,
      }
      const signature = await build.sign(bundle.digest)
      const view = await submit(client, bundle, { id, wait: true, start, signature }, note)
      const what = `${id} is ${view.state} with ${percent(share)} of the keys of ${jobId}`
      print(view, `${what}; \`weir canary status ${jobId}\` compares`)
      return 0
    } catch (error) {
      await this.#undo(jobId, { id, savepoint: cut?.savepoint ?? null, made })
      throw error
    }
  }

  /** Topics that both versions write. */
  #compared(name: string, wanted: readonly string[], live: GraphView): readonly string[] {
    const written = live.nodes.flatMap(({ kind, connector, place }) =>
      kind === 'sink' && connector === 'kafka' && place !== null ? [place] : [],
    )
    for (const topic of written)
      if (!wanted.includes(topic)) this.#deps.note(`"${topic}" is written by the running version alone: not compared`)
    for (const topic of wanted)
      if (!written.includes(topic)) this.#deps.note(`"${topic}" is written by the new version alone: not compared`)
    const both = wanted.filter((topic) => written.includes(topic))
    if (both.length > 0) return both
    throw new WeirError(
      { code: 'CANARY_UNSUPPORTED', kind: 'invalid', wanted, written },
      `no canary of this job: the new version of ${name} writes to ${wanted.join(', ')}, the running one to ${written.join(', ')}: there is nothing to compare. Give it the same topics (--set)`,
    )
  }

  async #undo(
    jobId: string,
    of: { readonly id: string | null; readonly savepoint: string | null; readonly made: readonly string[] },
  ): Promise<void> {
    const { client, note } = this.#deps
    const left = (what: string) => (error: unknown) =>
      note(`${what} is left behind: ${error instanceof Error ? error.message : String(error)}`)
    if (of.id !== null) {
      const isThere = (await client.canary(jobId).catch(() => null))?.canary?.jobId === of.id
      if (isThere) await this.#cancelled(of.id).catch(left(of.id))
    }
    if (of.savepoint !== null) await client.deleteSavepoint(jobId, of.savepoint).catch(left(of.savepoint))
    await deleteTopics(of.made, { kafka: this.#kafka }).catch(left(of.made.join(', ')))
  }

  // ---- what it comes to ---------------------------------------------------------------------------------------------

  /** Throws `CANARY_NONE`, `CANARY_FAILED`, `JOB_NOT_RUNNING` (invalid). */
  async #running(jobId: string): Promise<RunningCanary> {
    const { live, canary } = await this.#deps.client.canary(jobId)
    if (canary === null || canary.state === 'CANCELLED') throw none(jobId)
    if (isOver(canary)) throw canaryOver(canary)
    if (isOver(live)) throw notRunning(live)
    return canary
  }

  async #report(canary: RunningCanary, withinMs = BEHIND_MS_MAX): Promise<CanaryReport> {
    const { of: jobId, share, outputsMin } = canary.settings
    const deps = { client: this.#deps.client, topics: this.#topics, clock: this.#clock }
    const comparison = await look(canary, deps, withinMs)
    const judged = judgeCanary(comparison, outputsMin)
    return { jobId, canary: canary.jobId, state: canary.state, share, outputsMin, ...comparison, ...judged }
  }

  #say(report: CanaryReport): number {
    this.#deps.print(report, told(report))
    return report.verdict === 'passes' ? 0 : 1
  }

  /** Throws `CANARY_BUILD_CHANGED` (invalid). */
  async #sameBuild(settings: CanarySettings, { file, params }: CanaryBuild): Promise<Bundle> {
    const bundle = await bundleJob(file, params)
    if (bundle.digest === settings.build) return bundle
    throw new WeirError(
      { code: 'CANARY_BUILD_CHANGED', kind: 'invalid', build: bundle.digest, canary: settings.build },
      `${file} is another build than the one that was looked at (other code, or other --set): end that canary with \`weir canary abort ${settings.of}\` and start one of this build`,
    )
  }

  // ---- the end ------------------------------------------------------------------------------------------------------

  async #end({ jobId: id, settings }: RunningCanary, topics: readonly string[]): Promise<void> {
    const { client, note } = this.#deps
    await this.#cancelled(id)
    await client.deleteSavepoint(settings.of, settings.savepoint).catch((error: unknown) => {
      if (error instanceof WeirError && error.code === 'SAVEPOINT_UNKNOWN') return
      note(`savepoint ${settings.savepoint} is left behind: ${error instanceof Error ? error.message : String(error)}`)
    })
    await deleteTopics(topics, { kafka: this.#kafka })
  }

  async #cancelled(id: string): Promise<void> {
    const { client } = this.#deps
    let view = await client.cancel(id)
    for (const deadline = this.#clock.monotonic() + END_MS_MAX; !isOver(view); view = await client.get(id)) {
      if (this.#clock.monotonic() > deadline) {
        throw new WeirError(
          { code: 'CANARY_NOT_ENDED', kind: 'retry', jobId: id, state: view.state, waitedMs: END_MS_MAX },
          `${id} is ${view.state} after ${END_MS_MAX / 1_000} s, and its topics are there until it has ended; try again`,
        )
      }
      await this.#clock.sleep(LOOK_MS)
    }
  }
}

/** `5%`, `0.05` → 0.05. Throws `USAGE` (invalid). */
export function shareIn(text: string): number {
  const [, number, percentSign] = /^(\d{1,3}(?:\.\d{1,6})?)(%?)$/.exec(text) ?? []
  const share = Number(number) / (percentSign === '%' ? 100 : 1)
  if (share > 0 && share <= 1) return share
  const steps = CANARY_SHARES.map((one) => `${one * 100}%`).join(', ')
  throw usage(`--share ${text}: give a share of the keys above 0 and up to 100%, as in ${steps}`)
}

const exists = ({ jobId, settings }: RunningCanary): WeirError =>
  new WeirError(
    { code: 'CANARY_EXISTS', kind: 'invalid', jobId, of: settings.of },
    `${settings.of} has a canary already, ${jobId}, with ${percent(settings.share)} of the keys: \`weir canary step\` takes more of them, \`weir canary abort ${settings.of}\` ends it`,
  )
const none = (jobId: string): WeirError =>
  new WeirError(
    { code: 'CANARY_NONE', kind: 'invalid', jobId },
    `${jobId} has no canary: \`weir canary start ${jobId} JOB.ts\` starts one`,
  )
const notAll = ({ jobId, settings }: RunningCanary): WeirError =>
  new WeirError(
    { code: 'CANARY_SHARE', kind: 'invalid', jobId, share: settings.share },
    `${jobId} has processed ${percent(settings.share)} of the keys: \`weir canary step ${settings.of} JOB.ts\` takes more of them, until all were looked at`,
  )
