#!/usr/bin/env node
/** `weir`: dev, validate, ingest, submit, jobs, get, cancel, rescale, rate, start, savepoint, stop, savepoints, state, dlq, verify, txn, dtxid, doctor. Exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 3 not reachable. */
import { asWeirError, type Digest } from '@weir/model'
import { JobsClient, tlsSettings } from '@weir/wire'
import { parseArgs } from 'node:util'
import { bundleJob } from './bundle.ts'
import { dlq } from './dlq.ts'
import { rate } from './rate.ts'
import { savepoints, takeSavepoint } from './savepoint.ts'
import { state } from './state.ts'
import { start, submit, type StartOptions } from './submit.ts'
import { txn } from './txn.ts'
import { needed, usage } from './usage.ts'
import { validate } from './pipeline.ts'

const USAGE = `weir – exactly-once stream processing

  weir dev JOB.ts              run a job here, without any server; a job is a TypeScript file or a pipeline in YAML
  weir validate JOB.yaml…      what is wrong with pipelines, by line and column; exit code 2: something is
  weir doctor [JOB.ts]         are the servers fit for exactly-once, and for this job? Exit code 1: something is unsafe
  weir ingest --topic TOPIC    records by HTTP into topics; 2xx when they are durable
  weir submit JOB.ts           bundle and submit a job, wait until it runs
  weir jobs                    list the jobs
  weir get JOB-ID              one job, with the reason of its last failure and its alerts
  weir cancel JOB-ID           end a job; what is published is committed
  weir rescale JOB-ID N        go on with N subtasks, at a checkpoint taken for it
  weir rate JOB-ID N|none      read its sources with at most N records/s from now on, without a restart
  weir start JOB-ID            a job that has ended goes on, from its newest epoch or --from
  weir savepoint JOB-ID NAME   keep the state of a running job under a name
  weir stop JOB-ID NAME        stop a job with a savepoint: nothing that was read is outside of it
  weir savepoints [JOB-ID]     list savepoints
  weir savepoints delete JOB-ID NAME
  weir state ls JOB-ID         operators, states, schema versions, keys and bytes of the last final epoch
  weir state get JOB-ID OPERATOR STATE KEY
  weir state diff JOB-ID EPOCH EPOCH
                               keys that were added, changed, removed between two kept epochs
  weir state check JOB-ID JOB.ts
                               can this build go on from the job's state? Exit code 1: no
  weir dlq list JOB-ID         dead letters: records that could not be processed
  weir dlq replay JOB-ID ORIGIN… | --all
                               put them back where they were read, each once
  weir verify JOB-ID           an audited job: are inputs, outputs and receipts what they were?
  weir txn list [JOB-ID]       transactions that are open, prepared or published
  weir txn commit TXN-ID       commit what a published epoch names, and what is before it
  weir txn abort TXN-ID        abort what none names, of a job that does not run
  weir dtxid parse|inspect ID… what a transaction id says: its fields, or when and where it was made

  --set NAME=VALUE             parameter of the job file (repeatable)
  --id JOB-ID                  id of the job; default: its name
  --source UID                 rate: of this source alone
  --min N                      rate: as far as it may be lowered while the job cannot follow
  --from FROM                  submit, start: EPOCH or savepoint NAME of the id, JOB@EPOCH, JOB/NAME, URL of a folder
  --allow-dropped-state UID    submit, start, state check: state that the job has no operator for any more (repeatable)
  --accept-repeated-output     submit, start: output behind an older epoch is written again
  --sign KEY.pem               submit: with an Ed25519 key, for fleets that run signed bundles only (WEIR_BUNDLE_KEYS)
  --limit N                    dlq list, state diff (changes per state): how many; default 100
  --at EPOCH|SAVEPOINT         state: another kept epoch, or a savepoint
  --no-count                   state ls: without the numbers of keys, which cost a look at everything
  --split N                    state get: of state that is kept per split
  --kafka HOST:PORT,…          verify, ingest: brokers; default: WEIR_KAFKA_BROKERS
  --receipts TOPIC             verify: topic of the receipts; default: JOB-ID.receipts
  --shared TOPIC               verify: others write to it too (repeatable)
  --form 63|68                 dtxid: where 17 decimal digits are not of 68 bits
  --topic TOPIC                ingest: what may be written to (repeatable)
  --listen HOST:PORT           ingest: default 127.0.0.1:8090; beyond loopback WEIR_INGEST_TOKEN must be set
  --no-wait                    submit, savepoint, stop: do not wait
  --job-manager HOST:PORT,…    default: WEIR_JOB_MANAGERS, then 127.0.0.1:7070
  --token TOKEN                default: WEIR_FLEET_TOKEN; without one a token of your issuer in WEIR_BEARER_TOKEN
  --json                       machine-readable output
`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      set: { type: 'string', multiple: true, default: [] },
      id: { type: 'string' },
      from: { type: 'string', default: '' },
      'allow-dropped-state': { type: 'string', multiple: true, default: [] },
      'accept-repeated-output': { type: 'boolean', default: false },
      kafka: { type: 'string' },
      receipts: { type: 'string' },
      topic: { type: 'string', multiple: true, default: [] },
      listen: { type: 'string' },
      profile: { type: 'string', default: 'production' },
      redis: { type: 'string', multiple: true, default: [] },
      shared: { type: 'string', multiple: true, default: [] },
      form: { type: 'string' },
      source: { type: 'string' },
      min: { type: 'string' },
      all: { type: 'boolean', default: false },
      limit: { type: 'string', default: '100' },
      at: { type: 'string', default: '' },
      split: { type: 'string' },
      'no-count': { type: 'boolean', default: false },
      'no-wait': { type: 'boolean', default: false },
      'job-manager': { type: 'string' },
      token: { type: 'string' },
      sign: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const [verb, argument, object, ...others] = positionals
  const isAsked = values.help || verb === 'help'
  if (isAsked || verb === undefined) {
    console.log(USAGE)
    return isAsked ? 0 : 2
  }
  const addresses = (values['job-manager'] ?? process.env['WEIR_JOB_MANAGERS'] ?? '127.0.0.1:7070').split(',')
  const token = values.token ?? process.env['WEIR_FLEET_TOKEN'] ?? null
  const client = new JobsClient(addresses, {
    token,
    bearer: process.env['WEIR_BEARER_TOKEN'] ?? null,
    tls: tlsSettings(process.env),
  })
  const print = (value: unknown, text: string): void => console.log(values.json ? JSON.stringify(value) : text)
  try {
    switch (verb) {
      case 'dev': {
        const { dev } = await import('./dev.ts') // what a job needs to run is not needed otherwise
        return await dev(await bundleJob(needed(argument, 'JOB.ts'), parameters(values.set)), values.id)
      }
      case 'validate':
        return await validate([needed(argument, 'JOB.yaml'), ...positionals.slice(2)], parameters(values.set), print)
      case 'doctor': {
        const plan = argument === undefined ? null : (await bundleJob(argument, parameters(values.set))).plan.summary
        const { topic: topics, redis, kafka, profile } = values
        const { doctor } = await import('./doctor.ts') // clients of all servers are not needed otherwise
        return await doctor({ plan, topics, redis, kafka, profile, env: process.env }, print)
      }
      case 'ingest': {
        const brokers = values.kafka ?? process.env['WEIR_KAFKA_BROKERS']
        const token = process.env['WEIR_INGEST_TOKEN'] || null
        const { ingest } = await import('./ingest.ts')
        return await ingest({ topics: values.topic, brokers, listen: values.listen, token }, print)
      }
      case 'submit': {
        const bundle = await bundleJob(needed(argument, 'JOB.ts'), parameters(values.set))
        const signature = values.sign === undefined ? '' : await signed(bundle.digest, values.sign)
        const options = { id: values.id, wait: !values['no-wait'], start: startOptions(values), signature }
        const view = await submit(client, bundle, options, note)
        print(view, `${view.jobId} is ${view.state}`)
        return 0
      }
      case 'start': {
        const options = { wait: !values['no-wait'], start: startOptions(values) }
        const view = await start(client, needed(argument, 'JOB-ID'), options, note)
        print(view, `${view.jobId} is ${view.state}`)
        return 0
      }
      case 'jobs': {
        const jobs = await client.list()
        const rows = jobs.map((j) => `${j.jobId}\t${j.state}\tepoch ${j.finalEpoch}\t${j.recordsIn} records`)
        print(jobs, rows.join('\n') || 'no jobs')
        return 0
      }
      case 'get': {
        const job = await client.get(needed(argument, 'JOB-ID'))
        const error =
          job.error === '' ? '' : `\n${describe(JSON.parse(job.error) as { code: string; message: string })}`
        const restarts = job.restarts + job.regionRestarts
        const again = restarts === 0 ? '' : `, restarted ${restarts}×`
        const about = [
          `${job.jobId} is ${job.state}, epoch ${job.finalEpoch}, ${job.recordsIn} records${again}${error}`,
        ]
        for (const sink of JSON.parse(job.sinks) as SinkOutcome[]) if (sink.state !== 'CLEAN') about.push(outcome(sink))
        // Of a job-manager of an earlier version there are none.
        for (const { code, message } of JSON.parse(job.alerts || '[]') as Alert[]) about.push(`${code}: ${message}`)
        print(job, about.join('\n'))
        return 0
      }
      case 'cancel': {
        const job = await client.cancel(needed(argument, 'JOB-ID'))
        print(job, `${job.jobId} is ${job.state}`)
        return 0
      }
      case 'savepoint':
      case 'stop': {
        const of = { jobId: argument, name: object, stop: verb === 'stop', wait: !values['no-wait'] }
        return await takeSavepoint(client, of, print)
      }
      case 'savepoints': {
        const of =
          argument === 'delete'
            ? { verb: argument, jobId: object, name: others[0] }
            : { jobId: argument, verb: undefined, name: undefined }
        return await savepoints(client, of, print)
      }
      case 'rescale': {
        const job = await client.rescale(needed(argument, 'JOB-ID'), positive(needed(object, 'N'), 'N'))
        print(job, `${job.jobId} goes on with ${object} subtasks after its next checkpoint`)
        return 0
      }
      case 'rate': {
        const { min, source } = values
        return await rate(client, { jobId: argument, rate: object, min, source }, print)
      }
      case 'verify': {
        const brokers = values.kafka ?? process.env['WEIR_KAFKA_BROKERS']
        const { receipts: topic, shared } = values
        const { verify } = await import('./verify.ts') // Kafka's client is not needed otherwise
        return await verify({ jobId: argument, topic, brokers, shared }, print)
      }
      case 'dlq':
        return await dlq(
          client,
          { verb: argument, jobId: object, origins: others, all: values.all, limit: positive(values.limit, '--limit') },
          print,
        )
      case 'state': {
        const { at, split, 'allow-dropped-state': dropped } = values
        const count = !values['no-count']
        const [limit, params] = [positive(values.limit, '--limit'), parameters(values.set)]
        return await state(
          client,
          { verb: argument, args: [object, ...others], at, split, dropped, count, limit, params },
          print,
        )
      }
      case 'dtxid': {
        const ids = [object, ...others].filter((id) => id !== undefined)
        const { dtxid } = await import('./dtxid.ts') // etcd's client is not needed otherwise
        return dtxid({ verb: argument, ids, form: values.form }, print)
      }
      case 'txn':
        return await txn(client, { verb: argument, object }, print)
      default:
        throw usage(`there is no command "${verb}"`)
    }
  } finally {
    client.close()
  }
}

async function signed(of: Digest, keyFile: string): Promise<string> {
  const { signBundle } = await import('@weir/metadata') // an object store's client is not needed otherwise
  return signBundle(of, keyFile)
}
const note = (text: string): void => console.error(`note: ${text}`)
const startOptions = (values: {
  readonly from: string
  readonly 'allow-dropped-state': string[]
  readonly 'accept-repeated-output': boolean
}): StartOptions => ({
  from: values.from,
  allowDroppedState: values['allow-dropped-state'],
  acceptRepeatedOutput: values['accept-repeated-output'],
})

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

interface Alert {
  readonly code: string
  readonly message: string
}
interface SinkOutcome {
  readonly sink: string
  readonly subtask: number
  readonly state: string
  readonly facts: Readonly<Record<string, unknown>>
}
const outcome = ({ sink, subtask, state, facts }: SinkOutcome): string =>
  `sink ${sink}, subtask ${subtask}: ${state}${typeof facts['message'] === 'string' ? `: ${facts['message']}` : ''}`
const describe = (error: { code: string; message: string }): string => `${error.code}: ${error.message}`

try {
  process.exitCode = await main()
} catch (thrown) {
  const error = (thrown as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
    ? usage((thrown as Error).message)
    : asWeirError(thrown, 'INTERNAL')
  console.error(process.argv.includes('--json') ? JSON.stringify(error.toJSON()) : describe(error))
  process.exitCode = error.code === 'JOB_FAILED' ? 1 : error.kind === 'invalid' ? 2 : 3
}
