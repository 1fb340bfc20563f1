/** What each command of the table does. Clients of servers, and what bundles jobs, are loaded by the commands that need them. */
import { secretSetting, type Digest, type WeirError } from '@weir/model'
import { readFileSync } from 'node:fs'
import type { JobsClient } from '@weir/wire'
import { randomInt } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Bundle } from '../bundle.ts'
import type { CanaryBuild, Canaries } from '../canary/canary.ts'
import { dlq } from '../dlq.ts'
import { isJobFile } from '../job-file.ts'
import { logs } from '../logs.ts'
import { QUIET, START_STAGES, followed, progressHere } from '../progress.ts'
import { rate } from '../rate.ts'
import { savepoints, takeSavepoint } from '../savepoint.ts'
import { showJob, showJobs } from '../show-job.ts'
import { start, submit, type StartOptions } from '../submit.ts'
import { txn } from '../txn.ts'
import { needed, usage } from '../usage.ts'
import type { CommandName } from './commands.ts'
import { completions } from './completions.ts'
import type { Values } from './options.ts'

export interface Context {
  readonly args: readonly string[]
  readonly values: Values
  readonly env: NodeJS.ProcessEnv
  /** Opened when it is asked for; closed behind the command. */
  client(): JobsClient
  /** A result: with `--json` the value, otherwise the text. */
  print(value: unknown, text: string): void
  /** For people, beside the result. */
  note(text: string): void
}

/** @returns the exit code */
type Run = (context: Context) => Promise<number>

/** Throws what the command throws: WeirError. */
export const RUN: Readonly<Record<CommandName, Run>> = {
  dev: async ({ args, values, print }) => {
    const file = needed(args[0], 'JOB.ts')
    const json = values.json ? print : undefined
    const { dev } = await import('../dev.ts')
    const { id, once, fresh } = values
    return dev({ file, params: parameters(values.set), id, watches: !once, fresh, dataDir: values['data-dir'] }, json)
  },

  validate: async ({ args, values, print }) => {
    const { validate } = await import('../pipeline.ts')
    return validate([needed(args[0], 'JOB.yaml'), ...args.slice(1)], parameters(values.set), print)
  },

  submit: async (context) => {
    const { args, values, print, note } = context
    const progress = values.json ? QUIET : progressHere()
    const view = await followed(progress, note, async (noted) => {
      progress.at('bundle')
      const bundle = await bundled(args[0], values)
      progress.at('plan', plannedText(bundle))
      const signature = values.sign === undefined ? '' : await signed(bundle.digest, values.sign)
      const options = { id: values.id, wait: !values['no-wait'], start: startOptions(values), signature }
      return submit(context.client(), bundle, options, noted, progress)
    })
    print(view, `${view.jobId} is ${view.state}`)
    return 0
  },

  start: async (context) => {
    const { args, values, print, note } = context
    const options = { wait: !values['no-wait'], start: startOptions(values) }
    const jobId = needed(args[0], 'JOB-ID')
    const progress = values.json ? QUIET : progressHere(START_STAGES)
    const view = await followed(progress, note, (noted) => start(context.client(), jobId, options, noted, progress))
    print(view, `${view.jobId} is ${view.state}`)
    return 0
  },

  jobs: async (context) => {
    const jobs = await context.client().list()
    context.print(jobs, showJobs(jobs))
    return 0
  },

  get: async (context) => {
    const job = await context.client().get(needed(context.args[0], 'JOB-ID'))
    context.print(job, showJob(job))
    return 0
  },

  describe: async (context) => {
    const { args, values, print } = context
    const { describe } = await import('../describe.ts')
    return describe({ of: args[0], params: parameters(values.set), client: () => context.client() }, print)
  },

  logs: ({ args, values, env, print }) => {
    const rest = values.rest ?? env['WEIR_REST'] ?? 'http://127.0.0.1:7080'
    const token = values.token ?? env['WEIR_FLEET_TOKEN'] ?? env['WEIR_BEARER_TOKEN'] ?? null
    return logs({ jobId: args[0], rest, token, follow: values.follow }, print)
  },

  cancel: async (context) => {
    const job = await context.client().cancel(needed(context.args[0], 'JOB-ID'))
    context.print(job, `${job.jobId} is ${job.state}`)
    return 0
  },

  rescale: async (context) => {
    const [id, n] = context.args
    const job = await context.client().rescale(needed(id, 'JOB-ID'), positive(needed(n, 'N'), 'N'))
    context.print(job, `${job.jobId} goes on with ${n} subtasks after its next checkpoint`)
    return 0
  },

  rate: (context) => {
    const { args, values, print } = context
    const { min, source } = values
    return rate(context.client(), { jobId: args[0], rate: args[1], min, source }, print)
  },

  degrade: async (context) => {
    const [id, wanted] = context.args
    const to = needed(wanted, 'on or off')
    if (to !== 'on' && to !== 'off') throw usage(`"${to}" is neither on nor off`)
    const job = await context.client().degrade(needed(id, 'JOB-ID'), to === 'on')
    context.print(job, `the degrade switch of ${job.jobId} is ${to} from its next barrier on`)
    return 0
  },

  savepoint: (context) => savepointOf(context, false),
  stop: (context) => savepointOf(context, true),

  savepoints: (context) => {
    const of = { jobId: context.args[0], verb: undefined, name: undefined }
    return savepoints(context.client(), of, context.print)
  },
  'savepoints delete': (context) => {
    const [jobId, name] = context.args
    return savepoints(context.client(), { verb: 'delete', jobId, name }, context.print)
  },

  'canary start': (context) => {
    const { args, values } = context
    const [jobId, file] = args
    return canaries(context, async (all) => {
      const { outputs, suffix = '.canary', share = '5%', ignore: ignored, 'allow-call': calls } = values
      const { CANARY_OUTPUTS_MIN } = await import('@weir/dataflow')
      const { shareIn } = await import('../canary/canary.ts')
      const options = {
        ...{ suffix, ignored, calls, share: shareIn(share) },
        compares: values['by-key'] ? ('by-key' as const) : ('by-value' as const),
        outputsMin: outputs === undefined ? CANARY_OUTPUTS_MIN : positive(outputs, '--outputs'),
      }
      return all.start(needed(jobId, 'JOB-ID'), canaryBuild(file, values), options)
    })
  },
  'canary status': (context) => canaries(context, (all) => all.status(needed(context.args[0], 'JOB-ID'))),
  'canary step': (context) => {
    const [jobId, file] = context.args
    return canaries(context, (all) => all.step(needed(jobId, 'JOB-ID'), canaryBuild(file, context.values)))
  },
  'canary promote': (context) => {
    const [jobId, file] = context.args
    return canaries(context, (all) => all.promote(needed(jobId, 'JOB-ID'), canaryBuild(file, context.values)))
  },
  'canary abort': (context) => canaries(context, (all) => all.abort(needed(context.args[0], 'JOB-ID'))),

  'state ls': (context) => stateOf(context, 'ls'),
  'state get': (context) => stateOf(context, 'get'),
  'state diff': (context) => stateOf(context, 'diff'),
  'state check': (context) => stateOf(context, 'check'),

  'dlq list': (context) => deadLetters(context, 'list'),
  'dlq replay': (context) => deadLetters(context, 'replay'),

  verify: async ({ args, values, env, print }) => {
    const brokers = values.kafka ?? env['WEIR_KAFKA_BROKERS']
    const { receipts: topic, shared, record } = values
    const { verify } = await import('../verify.ts')
    return verify({ jobId: args[0], topic, brokers, shared, record }, print)
  },

  'txn list': (context) => txn(context.client(), { verb: 'list', object: context.args[0] }, context.print),
  'txn commit': (context) => txn(context.client(), { verb: 'commit', object: context.args[0] }, context.print),
  'txn abort': (context) => txn(context.client(), { verb: 'abort', object: context.args[0] }, context.print),

  doctor: async (context) => {
    const { args, values, env, print } = context
    if (values.fleet) return doctorOfFleet(context)
    const plan = args[0] === undefined ? null : (await bundled(args[0], values)).plan.summary
    const { topic: topics, redis, kafka, profile = 'production' } = values
    const { doctor } = await import('../doctor.ts')
    return doctor({ plan, topics, redis, kafka, profile, env }, print)
  },

  topics: async ({ args, values, env, print }) => {
    const { summary: plan } = (await bundled(args[0], values)).plan
    const { create, kafka: brokers = env['WEIR_KAFKA_BROKERS'] } = values
    const partitions = values.partitions === undefined ? undefined : positive(values.partitions, '--partitions')
    const { topics } = await import('../topics.ts')
    return topics({ plan, brokers, create, partitions, env }, print)
  },

  prove: async ({ args, values, env, print, note }) => {
    const { input: inputs, sample, points, rounds = '1', seed } = values
    const kafka = values.kafka ?? env['WEIR_KAFKA_BROKERS']
    const command = {
      ...{ file: needed(args[0], 'JOB.ts'), params: parameters(values.set), inputs, kafka, points },
      sample: sample === undefined ? null : positive(sample, '--sample'),
      rounds: positive(rounds, '--rounds'),
      seed: seed === undefined ? randomInt(1, 1_000_000) : positive(seed, '--seed'),
    }
    const { prove } = await import('../prove/prove.ts')
    return prove(command, print, note)
  },

  debug: async (context) => {
    const { args, values, env, print, note } = context
    const [topic, second] = values.topic
    if (second !== undefined) throw usage('debug replays one record: give one --topic')
    const command = {
      ...{ jobId: needed(args[0], 'JOB-ID'), checkpoint: values.checkpoint, source: values.source, topic },
      partition: whole(needed(values.partition, '--partition N'), '--partition'),
      offset: whole(needed(values.offset, '--offset N'), '--offset'),
      ...{ file: values.job, params: parameters(values.set) },
      ...{ fromCheckpoint: values['from-checkpoint'], allowCalls: values['allow-calls'] },
      inspect: values['inspect-brk'] ? ('break' as const) : values.inspect ? ('attach' as const) : ('no' as const),
      inspectPort: whole(values['inspect-port'] ?? '9229', '--inspect-port'),
      ...{ kafka: values.kafka ?? env['WEIR_KAFKA_BROKERS'], env },
    }
    const { debug } = await import('../debug/debug.ts')
    return debug(command, { client: () => context.client(), print, note })
  },
  ingest: async ({ values, env, print }) => {
    const brokers = values.kafka ?? env['WEIR_KAFKA_BROKERS']
    const token = secretSetting('WEIR_INGEST_TOKEN', { env, read: (path) => readFileSync(path, 'utf8') })
    const { ingest } = await import('../ingest.ts')
    return ingest({ topics: values.topic, brokers, listen: values.listen, token }, print)
  },

  'dtxid parse': (context) => ids(context, 'parse'),
  'dtxid inspect': (context) => ids(context, 'inspect'),

  completions: ({ args, print }) => {
    const script = completions(args[0])
    print({ shell: args[0], script }, script)
    return Promise.resolve(0)
  },

  version: ({ print }) => {
    const { version: weir } = createRequire(import.meta.url)('@weir/cli/package.json') as { version: string }
    const node = process.versions.node
    print({ weir, node }, `weir ${weir}, Node ${node}`)
    return Promise.resolve(0)
  },
}

async function signed(of: Digest, keyFile: string): Promise<string> {
  const { signBundle } = await import('@weir/metadata')
  return signBundle(of, keyFile)
}

async function canaries(context: Context, run: (canaries: Canaries) => Promise<number>): Promise<number> {
  const { values, env, print, note } = context
  const brokers = values.kafka ?? env['WEIR_KAFKA_BROKERS']
  if (brokers === undefined)
    throw usage('canary reads both topics from Kafka itself: give --kafka HOST:PORT,… or WEIR_KAFKA_BROKERS')
  const { Canaries } = await import('../canary/canary.ts')
  const all = new Canaries({ client: context.client(), brokers, print, note })
  try {
    return await run(all)
  } finally {
    await all.close()
  }
}

const canaryBuild = (file: string | undefined, values: Values): CanaryBuild => ({
  file: needed(file, 'JOB.ts'),
  params: parameters(values.set),
  droppedState: values['allow-dropped-state'],
  sign: (of) => (values.sign === undefined ? Promise.resolve('') : signed(of as Digest, values.sign)),
})

async function bundled(file: string | undefined, values: Values): Promise<Bundle> {
  const { bundleJob } = await import('../bundle.ts')
  return bundleJob(needed(file, 'JOB.ts'), parameters(values.set))
}

async function doctorOfFleet({ args, values, print, client }: Context): Promise<number> {
  const here = [...values.topic, ...values.redis, ...(values.kafka === undefined ? [] : [values.kafka])]
  if (here.length > 0)
    throw usage('--kafka, --topic and --redis are of what this machine reaches: leave them out with --fleet')
  const { doctorOfFleet: ask } = await import('../doctor.ts')
  const [of] = args
  const { profile } = values
  if (of === undefined) return ask(client(), { profile }, print)
  if (!isJobFile(of)) return ask(client(), { jobId: of, profile }, print)
  return ask(client(), { plan: (await bundled(of, values)).plan.summary, profile }, print)
}

const plannedText = ({ plan }: Bundle): string =>
  `${plan.job.graph.nodes.length} operators in ${plan.stages.length} stages`

function savepointOf(context: Context, stop: boolean): Promise<number> {
  const [jobId, name] = context.args
  return takeSavepoint(context.client(), { jobId, name, stop, wait: !context.values['no-wait'] }, context.print)
}

async function stateOf(context: Context, verb: 'ls' | 'get' | 'diff' | 'check'): Promise<number> {
  const { state } = await import('../state.ts')
  const { args, values, print } = context
  const { at = '', split, 'allow-dropped-state': dropped, limit = '100' } = values
  const more = { count: !values['no-count'], limit: positive(limit, '--limit'), params: parameters(values.set) }
  return state(context.client(), { verb, args, at, split, dropped, ...more }, print)
}

function deadLetters(context: Context, verb: 'list' | 'replay'): Promise<number> {
  const [jobId, ...origins] = context.args
  const { all, limit = '100' } = context.values
  return dlq(context.client(), { verb, jobId, origins, all, limit: positive(limit, '--limit') }, context.print)
}

async function ids({ args, values, print }: Context, verb: 'parse' | 'inspect'): Promise<number> {
  const { dtxid } = await import('../dtxid.ts')
  return dtxid({ verb, ids: args, form: values.form }, print)
}

const startOptions = (values: Values): StartOptions => ({
  from: values.from ?? '',
  allowDroppedState: [...values['allow-dropped-state']],
  acceptRepeatedOutput: values['accept-repeated-output'],
})

function whole(text: string, what: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw usage(`${what} is "${text}"; give a whole number`)
}

function positive(text: string, what: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw usage(`${what} is "${text}"; give a whole number above 0`)
}

function parameters(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw usage(`--set ${pair}: write NAME=VALUE`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

/** As `EXIT_CODES` has them. */
export const exitCodeOf = (error: WeirError): number =>
  error.code === 'JOB_FAILED' ? 1 : error.kind === 'invalid' ? 2 : 3
