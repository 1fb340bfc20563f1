/**
 * `weir dev`: a whole fleet for one job on this machine, gone with Ctrl-C. When a file of the job changes, its next build goes on where the
 * last one stopped: with a savepoint, so nothing is read or written twice. A build that does not bundle, or cannot read the state there is, is
 * told of, and the one that runs goes on. What the job has come to stays in a folder, where the next `weir dev` finds it: topics of a real
 * Kafka know what this job has written, and an id that began anew would write it again (`EPOCH_REGRESSION`).
 */
import { LogClient } from '@weir/connectors'
import { WeirError, asWeirError } from '@weir/model'
import type { jobs } from '@weir/proto'
import { JobsClient } from '@weir/wire'
import { bundleJob, type Bundle } from './bundle.ts'
import { devFolder, folderInUse } from './dev-folder.ts'
import { EmbeddedFleet } from './embedded-fleet.ts'
import { takeSavepoint } from './savepoint.ts'
import { failed, submit } from './submit.ts'
import { usage } from './usage.ts'
import { FileWatch } from './watch-files.ts'

const STATUS_MS = 1_000
const ENDED = new Set(['FINISHED', 'FAILED', 'CANCELLED', 'STOPPED'])
const END_WAIT_MS = 30_000
const END_POLL_MS = 100
const LOG_PARTITIONS = 4
/** Epochs kept of a job that asks for fewer: an idle job makes new ones as well, and `weir debug` wants one from before its record. */
const RETAINED_MIN = 100
/** For builds that are wider than the first one. */
const SLOTS = 8

export interface DevCommand {
  readonly file: string
  readonly params: Readonly<Record<string, string>>
  readonly id: string | undefined
  readonly watches: boolean
  /** Absent: one of the job's own below the working directory. */
  readonly dataDir: string | undefined
  /** Nothing of an earlier run: state and outputs of an id of its own. */
  readonly fresh: boolean
}

/** `print`: a line of JSON for each status; absent: for people. @returns the exit code: 0 when the job finished or was stopped. */
export async function dev(command: DevCommand, print?: (value: unknown, text: string) => void): Promise<number> {
  const bundle = await bundleJob(command.file, command.params)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop.abort())
  const slots = Math.max(bundle.plan.job.settings.parallelism, SLOTS)
  const folder = await devFolder(command.id ?? bundle.plan.job.name, command.dataDir, command.fresh)
  const fleet = await EmbeddedFleet.start({ taskManagers: 1, slots, folder, retainedMin: RETAINED_MIN }).catch(
    (thrown: unknown) => {
      throw folderInUse(thrown, folder)
    },
  )
  const client = new JobsClient([fleet.manager.ready.grpc!], { token: null })
  try {
    return await new DevJob(command, { fleet, client, print, signal: stop.signal }).run(bundle)
  } finally {
    client.close()
    await fleet.stop()
  }
}

interface DevDeps {
  readonly fleet: EmbeddedFleet
  readonly client: JobsClient
  readonly print: ((value: unknown, text: string) => void) | undefined
  readonly signal: AbortSignal
}

class DevJob {
  readonly #command: DevCommand
  readonly #deps: DevDeps
  readonly #watch = new FileWatch(() => this.#wake(true))
  #wake: (changed: boolean) => void = () => {}
  #bundle!: Bundle
  #jobId = ''

  constructor(command: DevCommand, deps: DevDeps) {
    this.#command = command
    this.#deps = deps
    deps.signal.addEventListener('abort', () => this.#wake(false))
  }

  /** Throws `JOB_FAILED` (invalid) where nobody watches, and what the first build is refused for. */
  async run(bundle: Bundle): Promise<number> {
    const { fleet, signal, client } = this.#deps
    try {
      await this.#begin(bundle)
      if (this.#command.watches) this.#watch.set(bundle.inputs)
      const { grpc, http, log } = fleet.manager.ready
      this.#say(
        { jobId: this.#jobId, grpc, http, log },
        `${this.#jobId} is submitted; dashboard at http://${http}, commands with --job-manager ${grpc}; Ctrl-C ends it`,
      )
      const variables = `WEIR_OBJECTS_DIR=${fleet.objectsDir} WEIR_LOG=${log}`
      this.#say(
        { objects: fleet.objectsDir },
        `one record again: ${variables} weir debug ${this.#jobId} --partition 0 --offset 42 --job ${this.#command.file} [--inspect-brk]`,
      )
      let toldFailed = ''
      for (let before = 0; !signal.aborted;) {
        const view = await client.get(this.#jobId)
        const { state, recordsIn, finalEpoch } = view
        if (state === 'FINISHED') {
          this.#say(view, `${this.#jobId} has finished, ${recordsIn} records`)
          return 0
        }
        if (state === 'FAILED') {
          if (!this.#command.watches) throw failed(view)
          // Once for each failure: what mends it is a change.
          if (toldFailed !== view.error) this.#complain(failed(view))
          toldFailed = view.error
        } else this.#say(view, `${state}  ${Math.max(0, recordsIn - before)} records/s  epoch ${finalEpoch}`)
        before = recordsIn
        if (await this.#change()) {
          await this.#rebuild(view)
          toldFailed = ''
        }
      }
      return 0
    } finally {
      this.#watch.close()
      // A transaction that stays open would hold back readers of its topics until it expires.
      if (signal.aborted)
        await this.#end(this.#jobId).catch((thrown: unknown) => this.#complain(asWeirError(thrown, 'INTERNAL')))
    }
  }

  /** Where an earlier run has come to, if its folder is there and it can go on. */
  async #begin(bundle: Bundle): Promise<void> {
    const { id, fresh } = this.#command
    const { name } = bundle.plan.job
    const before = await this.#newest(id, name)
    if (before === null) return await this.#start(bundle, fresh ? (id ?? unused(name)) : id, '')
    const ended = await this.#end(before.jobId)
    this.#jobId = ended.jobId
    const goesOn = ended.state !== 'FINISHED' && ended.finalEpoch > 0
    if (!goesOn) return await this.#start(bundle, unused(name), '')
    if (!(await this.#fits(bundle))) throw usage(`begin anew, without the state and the id of ${ended.jobId}: --fresh`)
    await this.#start(bundle, ended.jobId, String(ended.finalEpoch))
    this.#say(
      { jobId: ended.jobId, from: ended.finalEpoch },
      `goes on behind epoch ${ended.finalEpoch} of the last time; --fresh begins anew`,
    )
  }

  async #newest(id: string | undefined, name: string): Promise<jobs.JobView | null> {
    const all = await this.#deps.client.list()
    const mine = all.filter((job) => (id === undefined ? job.name === name : job.jobId === id))
    return mine.toSorted((a, b) => b.submittedAt - a.submittedAt)[0] ?? null
  }

  /** Cancels a job that has not ended: what it has published is committed, nothing else is. Throws `JOB_NOT_ENDED` (retry). */
  async #end(jobId: string): Promise<jobs.JobView> {
    const { client } = this.#deps
    const until = Date.now() + END_WAIT_MS
    for (let view = await client.get(jobId); ; view = await client.get(jobId)) {
      if (ENDED.has(view.state)) return view
      if (view.state !== 'CANCELLING') await client.cancel(jobId)
      if (Date.now() > until)
        throw new WeirError(
          { code: 'JOB_NOT_ENDED', kind: 'retry', jobId, state: view.state },
          `job "${jobId}" is ${view.state} ${END_WAIT_MS / 1_000} s after it was cancelled: what it had open expires with its transaction timeout`,
        )
      await new Promise((resolve) => setTimeout(resolve, END_POLL_MS))
    }
  }

  /** Tells what keeps a build from the state there is. */
  async #fits({ plan, graphHash, digest }: Bundle): Promise<boolean> {
    const build = { plan: Buffer.from(JSON.stringify(plan.summary)), graphHash, bundleDigest: digest }
    const { problems } = await this.#deps.client.checkStart({ ...build, from: this.#jobId, allowDroppedState: [] })
    for (const { code, message } of problems) this.#say({ code, message }, `${code}: ${message}`)
    return problems.length === 0
  }

  /** True: a file has changed. False: it is time for a status. */
  #change(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(false), STATUS_MS)
      this.#wake = (changed) => {
        clearTimeout(timer)
        resolve(changed)
      }
      if (this.#deps.signal.aborted) this.#wake(false)
    })
  }

  async #rebuild(view: jobs.JobView): Promise<void> {
    try {
      const next = await bundleJob(this.#command.file, this.#command.params)
      if (next.digest === this.#bundle.digest) return
      this.#watch.set(next.inputs)
      if (view.state === 'FAILED') await this.#startBehind(view, next)
      else await this.#hotRestart(view, next)
      this.#say({ jobId: this.#jobId, graphHash: next.graphHash }, `${this.#jobId} goes on with the changed file`)
    } catch (thrown) {
      this.#complain(asWeirError(thrown, 'INTERNAL'))
    }
  }

  async #hotRestart({ finalEpoch }: jobs.JobView, next: Bundle): Promise<void> {
    if (finalEpoch > 0 && !(await this.#fits(next))) {
      this.#say(
        { jobId: this.#jobId },
        'the build that runs goes on; end this and begin with --fresh to drop the state',
      )
      return
    }
    const name = unused('dev')
    await takeSavepoint(this.#deps.client, { jobId: this.#jobId, name, stop: true, wait: true }, () => {})
    await this.#start(next, this.#jobId, name)
  }

  /** From the last epoch that is final; where there is none, as another job: an id is used once. */
  async #startBehind({ finalEpoch }: jobs.JobView, next: Bundle): Promise<void> {
    if (finalEpoch > 0) await this.#start(next, this.#jobId, String(finalEpoch))
    else await this.#start(next, unused(next.plan.job.name), '')
  }

  async #start(bundle: Bundle, id: string | undefined, from: string): Promise<void> {
    const { fleet, client } = this.#deps
    await createTopics(fleet.manager.ready.log!, bundle)
    const start = { from, allowDroppedState: [], acceptRepeatedOutput: false }
    // Whatever becomes of it is told by its status.
    const { jobId } = await submit(client, bundle, { id, wait: !this.#command.watches, start })
    this.#bundle = bundle
    this.#jobId = jobId
  }

  #complain(error: WeirError): void {
    this.#say(error.toJSON(), `${error.code}: ${error.message}`)
  }

  #say(value: unknown, text: string): void {
    const { print } = this.#deps
    if (print === undefined) console.error(text)
    else print(value, text)
  }
}

/** An id, or a savepoint's name, that no earlier run has used. */
const unused = (name: string): string => `${name}-${Date.now().toString(36)}`

/** Topics of the embedded log that the job names: there is nobody else to make them. */
async function createTopics(address: string, { plan }: Bundle): Promise<void> {
  const log = new LogClient(address)
  for (const node of plan.job.graph.nodes) {
    if (!('descriptor' in node) || node.descriptor.connector !== 'log') continue
    await log.createTopic(String(node.descriptor['topic']), LOG_PARTITIONS)
  }
  log.close()
}
