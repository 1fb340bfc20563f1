/**
 * `npm run example -- NN [--kill]`: one job of the tour on a fleet of its own, from its begin to the end of its input, with what came
 * out of it. `--kill`: a task-manager is killed on the way. 10, the bank, is always killed, and audited from outside.
 */
import { LogClient, type TransactionalLog } from '@weir/connectors'
import type { JobView } from '@weir/job'
import { WeirError, asWeirError } from '@weir/model'
import { JobsClient } from '@weir/wire'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { balancesOf, booksOf, isSound, mustBalance } from './bank-audit.ts'
import { bundleJob, type Bundle } from './bundle.ts'
import { EmbeddedFleet } from './embedded-fleet.ts'
import { inputOf, type ExampleInput } from './example-input.ts'
import { readCommitted } from './read-log.ts'
import { failed, submit } from './submit.ts'

const TOUR = fileURLToPath(new URL('../../examples/src/', import.meta.url))
const LOG_PARTITIONS = 4
const LOOK_MS = 200
const SHOWN = 3
const SHOWN_CHARS = 160
const BANK = '10'
/** As in the job. */
const OPENING_MINOR = 100_000

type View = Pick<JobView, 'state' | 'recordsIn' | 'finalEpoch' | 'restarts' | 'regionRestarts' | 'error'>

const unknown = (got: string | undefined, files: readonly string[]): WeirError =>
  new WeirError(
    { code: 'USAGE', kind: 'invalid', got },
    `${got === undefined ? 'say which one' : `there is no ${got}`}: npm run example -- NN, of ${files.map((name) => name.slice(0, -3)).join(', ')}`,
  )

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { kill: { type: 'boolean', default: false } },
  })
  const number = (positionals[0] ?? '').padStart(2, '0')
  const files = (await readdir(TOUR)).filter((file) => /^\d\d-[a-z-]+\.ts$/.test(file)).sort()
  const file = files.find((name) => name.startsWith(`${number}-`))
  if (file === undefined) throw unknown(positionals[0], files)
  const input = inputOf(number)
  const bundle = await bundleJob(join(TOUR, file), input.params)
  const isKilled = values.kill || number === BANK
  const fleet = await EmbeddedFleet.start({ taskManagers: 2, slots: bundle.plan.job.settings.parallelism })
  const client = new JobsClient([fleet.manager.ready.grpc!], { token: null })
  const log = new LogClient(fleet.manager.ready.log!)
  try {
    const { sources, sinks } = topicsOf(bundle)
    for (const topic of [...sources, ...sinks]) await log.createTopic(topic, LOG_PARTITIONS)
    await feed(log, input)
    const { jobId } = await submit(client, bundle, { id: undefined, wait: true })
    const url = `http://${fleet.manager.ready.http}/api/v1/jobs/${jobId}`
    console.log(`${file}: job ${jobId} runs on two task-managers; ${url}`)
    const view = await toTheEnd(url, {
      look: number === BANK ? auditor(url) : async () => {},
      kill: isKilled ? async () => console.log(`kill -9 of a task-manager (pid ${await fleet.replace()})`) : null,
    })
    const { recordsIn, finalEpoch, restarts, regionRestarts } = view
    console.log(
      `${view.state}: ${recordsIn} records read, checkpoint ${finalEpoch}, restarted ${restarts + regionRestarts}×`,
    )
    for (const topic of sinks) await show(log, topic)
    for (const folder of foldersOf(bundle)) await list(folder)
    return number === BANK ? await close(log, view) : 0
  } finally {
    log.close()
    client.close()
    await fleet.stop()
  }
}

/** Topics of the embedded log that the job names. */
function topicsOf({ plan }: Bundle): { readonly sources: readonly string[]; readonly sinks: readonly string[] } {
  const named = (kind: 'source' | 'sink'): string[] =>
    plan.job.graph.nodes.flatMap((node) =>
      node.kind === kind && node.descriptor.connector === 'log' ? [String(node.descriptor['topic'])] : [],
    )
  const dead = plan.job.settings.deadLetters?.['topic']
  return { sources: named('source'), sinks: [...named('sink'), ...(dead === undefined ? [] : [String(dead)])] }
}

/** What others would write into the topics the job reads. */
async function feed(log: TransactionalLog, { records }: ExampleInput): Promise<void> {
  for (const [topic, values] of Object.entries(records)) {
    const producer = { transactionalId: `feed-${topic}`, ...(await log.initProducer(`feed-${topic}`, 60_000)) }
    for (let partition = 0; partition < LOG_PARTITIONS; partition++) {
      const own = values.filter((_, i) => i % LOG_PARTITIONS === partition)
      const of = own.map((value, i) => ({ key: null, value: Buffer.from(JSON.stringify(value)), timestamp: i }))
      if (of.length > 0) await log.append({ ...producer, topic, partition, baseSequence: 0, records: of })
    }
    await log.end(producer, true)
  }
}

interface Watch {
  readonly look: () => Promise<void>
  /** Null: nobody is killed. */
  readonly kill: (() => Promise<void>) | null
}

async function toTheEnd(url: string, { look, kill }: Watch): Promise<View> {
  let pending = kill
  for (;;) {
    const view = (await (await fetch(url)).json()) as View
    await look()
    if (view.state === 'FINISHED') return view
    if (view.state === 'FAILED' || view.state === 'CANCELLED')
      throw failed({ jobId: url, state: view.state, error: JSON.stringify(view.error) } as Parameters<typeof failed>[0])
    // Something is committed, and something is not.
    if (pending !== null && view.finalEpoch >= 2) {
      await pending()
      pending = null
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

/** Looks at the balances of every checkpoint it comes by. */
function auditor(url: string): () => Promise<void> {
  let seen = 0
  return async () => {
    const balances = await balancesOf(url)
    if (balances === null || balances.epoch === seen) return
    seen = balances.epoch
    mustBalance(balances, OPENING_MINOR)
    console.log(`checkpoint ${balances.epoch}: ${balances.accounts} accounts, ${balances.sumMinor} together: balanced`)
  }
}

/** Local ones that sinks write files into. */
const foldersOf = ({ plan }: Bundle): string[] =>
  plan.job.graph.nodes.flatMap((node) => {
    const folder = node.kind === 'sink' ? node.descriptor['folder'] : undefined
    return typeof folder === 'string' && folder.startsWith('file:') ? [fileURLToPath(folder)] : []
  })

async function list(folder: string): Promise<void> {
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ndjson')).sort()
  console.log(`${folder}: ${files.length} files`)
  for (const name of files.slice(-SHOWN)) console.log(`  ${name}`)
}

async function show(log: TransactionalLog, topic: string): Promise<void> {
  const records = await readCommitted(log, topic)
  console.log(`${topic}: ${records.length} records`)
  const text = (bytes: Uint8Array | null): string => (bytes === null ? '–' : Buffer.from(bytes).toString())
  for (const { key, value } of records.slice(-SHOWN))
    console.log(`  ${text(key)}\t${text(value).slice(0, SHOWN_CHARS)}`)
}

async function close(log: TransactionalLog, view: View): Promise<number> {
  const statements = await readCommitted(log, 'statements')
  const books = booksOf(
    statements.map(({ value }) => JSON.parse(Buffer.from(value!).toString()) as Parameters<typeof booksOf>[0][number]),
    OPENING_MINOR,
  )
  // Of every transfer there are two sides, or some of the input was lost.
  const sound = isSound(books) && books.statements === view.recordsIn * 2
  console.log(JSON.stringify({ ...books, transfers: view.recordsIn, restarts: view.restarts, sound }))
  return sound ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (thrown) {
  const error: WeirError = asWeirError(thrown, 'EXAMPLE_FAILED')
  console.error(`example: ${error.code}: ${error.message}`)
  process.exitCode = error.code === 'BANK_OUT_OF_BALANCE' ? 1 : 2
}
