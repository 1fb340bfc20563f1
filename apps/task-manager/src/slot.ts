/**
 * A slot: one worker thread that runs one slice of one job, from its deploy to its stop, and ends. User code, decoding,
 * Kafka and LevelDB live here, so that nothing in them can hold up the heartbeat of the process.
 */
import { atParallelism, packedIn, schemasIn, statesOf, type Plan } from '@weir/dataflow'
import { redacted } from '@weir/connectors'
import type { TierSums } from '@weir/idempotency'
import { kafkaSecurity } from '@weir/kafka'
import {
  InFlightObjects,
  ObjectStagedOutput,
  PatientUpload,
  openElsewhere,
  openObjectStore,
  segmentKey,
  trustedKeys,
} from '@weir/metadata'
import { keyGroupRange, samplePools, splitRange, asWeirError, type PoolSample, type WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Slice, type SliceReport } from '@weir/runtime'
import { LocalCopies, dropCopies, openStateStore } from '@weir/state'
import {
  GrpcExchange,
  SlotExchange,
  ThreadExchange,
  type LinkIntroduced,
  type ListenSettings,
  type SliceCommand,
  type SliceId,
  type SliceReportMessage,
} from '@weir/wire'
import { rm } from 'node:fs/promises'
import { flushCompileCache } from 'node:module'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { Adapters } from './adapters.ts'
import { loadPlan } from './bundle.ts'
import { RecordSpans } from './record-spans.ts'
import type { SlotClaims } from './slot-claims.ts'

export interface SlotData {
  /** Slices with the same one live in this process. */
  readonly taskManagerId: string
  readonly listen: ListenSettings
  /** Belongs to this slot alone. */
  readonly stateDir: string
  readonly dataDir: string
  readonly copyBytesMax: number
  /** Of state values in memory: this slot's part. */
  readonly stateCacheBytes: number
  readonly freeze: boolean
  /** Null: the process sends no traces. `sampleRate` null: of jobs that say nothing no record is traced. */
  readonly recordTraces: { readonly sampleRate: number | null } | null
}

/** To the process: where a segment was read that a slice was restored from. */
export interface RestoredFrom {
  readonly kind: 'restored-from'
  readonly source: 'local' | 'store'
}

/** To the process, with its progress: what the claims outside of state told since the last time. */
export interface TiersTold {
  readonly kind: 'claim-tiers'
  readonly sums: TierSums
}

/** To the process, about once a second: connections of this thread. */
export interface PoolsTold {
  readonly kind: 'pools'
  readonly pools: readonly PoolSample[]
}

const POOLS_EVERY_MS = 1_000
const CHAIN_LENGTH_MAX = 8
/** Deltas together as large as their base: a restore reads at most about twice the state. */
const CHAIN_RATIO_MAX = 1

const data = workerData as SlotData
const port = parentPort!
const objects = openObjectStore(process.env)
const brokers = (process.env['WEIR_KAFKA_BROKERS'] ?? '').split(',').filter((b) => b !== '')
const trusted = trustedKeys(process.env['WEIR_BUNDLE_KEYS'])
const copies = join(data.dataDir, 'copies')
const localClaims = join(data.dataDir, 'claims')
const adapters = new Adapters(
  {
    kafkaBrokers: brokers,
    kafkaSecurity: kafkaSecurity(process.env),
    log: process.env['WEIR_LOG'] || null,
    staged: (context) => new ObjectStagedOutput(context, { objects, clock: systemClock }),
    folder: (url) => openElsewhere(url, process.env),
  },
  systemClock,
)

const threads = new ThreadExchange((request) => port.postMessage(request))

let running: { readonly id: SliceId; readonly slice: Slice; readonly exchange: GrpcExchange } | null = null
/** Null: no claims outside of state. */
let claims: SlotClaims | null = null
/** Null: no records are traced. */
let spans: RecordSpans | null = null
let poolsToldMs = 0
/** The slot stops: nothing is waited for any more. */
const ended = new AbortController()
let failed = false
/** Commands of one slice follow each other; those that must not wait (trigger, commit, …) are not put in here. */
let turn: Promise<void> = Promise.resolve()

type Body<T> = T extends unknown ? Omit<T, 'slice'> : never
const tell = (slice: SliceId, report: Body<SliceReportMessage>): void =>
  port.postMessage({ ...report, slice } satisfies SliceReportMessage)
/** It goes into logs, the job's record and answers: drivers and servers may have put a secret of the job into it. */
const failureOf = (error: WeirError): ReturnType<WeirError['toJSON']> => redacted(error.toJSON())

function tellOfTiers(): void {
  const sums = claims?.take() ?? null
  if (sums !== null) port.postMessage({ kind: 'claim-tiers', sums } satisfies TiersTold)
}

function tellOfPools(): void {
  const nowMs = systemClock.monotonic()
  if (nowMs - poolsToldMs < POOLS_EVERY_MS) return
  poolsToldMs = nowMs
  port.postMessage({ kind: 'pools', pools: samplePools() } satisfies PoolsTold)
}

function tellOfRecords(): void {
  const told = spans?.take() ?? null
  if (told !== null) port.postMessage(told)
}

/** Of the job, else of the process; null: none is traced. */
function recordSpans({ job }: Plan): RecordSpans | null {
  const sampleRate = data.recordTraces && (job.settings.traces?.sampleRate ?? data.recordTraces.sampleRate)
  return sampleRate === null ? null : new RecordSpans(sampleRate)
}

function fail(id: SliceId, error: WeirError): void {
  if (failed) return
  failed = true
  tell(id, { type: 'failed', failure: failureOf(error) })
}

async function deploy(command: Extract<SliceCommand, { type: 'deploy' }>): Promise<void> {
  const { slice: id, bundleDigest, graphHash } = command
  const submitted = await loadPlan(objects, data.dataDir, bundleDigest, graphHash, trusted)
  const plan = atParallelism(submitted, command.parallelism)
  if (plan.job.graph.nodes.some(({ kind }) => kind === 'idempotent')) {
    const { SlotClaims } = await import('./slot-claims.ts')
    claims = new SlotClaims(localClaims)
  }
  const exchange = await GrpcExchange.listen(data.listen)
  running = { id, slice: sliceOf(id, plan, new SlotExchange(data.taskManagerId, threads, exchange)), exchange }
  tell(id, { type: 'deployed', exchangeAddress: exchange.address })
}

/** That keep state, at least 1. */
const statefulStages = ({ job, stages }: Plan): number =>
  Math.max(1, stages.filter(({ nodes }) => nodes.some((i) => statesOf(job.graph.nodes[i]!).length > 0)).length)

function sliceOf(id: SliceId, plan: Plan, exchange: SlotExchange): Slice {
  const { settings } = plan.job
  const { jobId, attempt, subtask } = id
  spans = recordSpans(plan)
  return new Slice(
    { jobId, attempt, subtask, plan, freeze: data.freeze },
    {
      clock: systemClock,
      exchange,
      createSource: (node, context) => adapters.source(node, context),
      createSink: (node, context, asides) => adapters.sink(node, context, settings, asides),
      createContinuousSink: (source, sinks, context) => adapters.continuousSink(source, sinks, context, settings),
      createClaims: (...of) => claims!.open(...of),
      schemaRegistry: (settings, signal) => adapters.schemaRegistry(settings, signal),
      openState: (stage, { signal }) =>
        openStateStore(
          {
            dir: join(data.stateDir, `stage-${stage}`),
            keyGroups:
              plan.stages[stage]!.inputs.length === 0
                ? splitRange(subtask, settings.parallelism)
                : keyGroupRange(subtask, settings.parallelism, settings.maxParallelism),
            maxParallelism: settings.maxParallelism,
            hotBytesMax: Math.floor(data.stateCacheBytes / statefulStages(plan)),
            writer: `${subtask}/${settings.parallelism}`,
            chainLengthMax: CHAIN_LENGTH_MAX,
            chainRatioMax: CHAIN_RATIO_MAX,
            freeze: data.freeze,
            schemas: schemasIn(plan),
            packed: packedIn(plan),
          },
          {
            objects,
            // An outage shorter than the alignment time costs no epoch.
            upload: (key) =>
              new PatientUpload(objects, key, {
                clock: systemClock,
                signal,
                budgetMs: settings.checkpoint.alignTimeoutMs,
              }),
            segmentKey: (checkpoint, kind) => segmentKey(jobId, checkpoint, subtask, stage, kind),
            copies: new LocalCopies({
              ...{ root: copies, jobId, attempt: `${attempt.generation}-${attempt.attempt}` },
              bytesMax: data.copyBytesMax,
            }),
            restoredFrom: (source) => port.postMessage({ kind: 'restored-from', source } satisfies RestoredFrom),
          },
        ),
      inFlight: new InFlightObjects({ jobId, subtask }, objects, {
        ...{ clock: systemClock, signal: ended.signal },
        budgetMs: settings.checkpoint.alignTimeoutMs,
      }),
      ...(spans && { traces: spans }),
      report: (report) => reported(id, report),
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    },
  )
}

function reported(id: SliceId, report: SliceReport): void {
  switch (report.type) {
    case 'failed':
      return fail(id, report.error)
    case 'declined':
      return tell(id, { type: 'declined', checkpoint: report.checkpoint, failure: failureOf(report.error) })
    case 'progress':
      tellOfTiers()
      tellOfRecords()
      tellOfPools()
      return tell(id, report)
    default:
      return tell(id, report)
  }
}

async function stop(id: SliceId, mode: 'leave' | 'abort'): Promise<void> {
  ended.abort()
  await running?.slice.stop(mode)
  await running?.exchange.close()
  await adapters.close()
  await rm(data.stateDir, { recursive: true, force: true })
  if (mode === 'abort') {
    // The job is over.
    await dropCopies(copies, id.jobId)
    await claims?.forget()
  }
  tellOfTiers()
  tellOfRecords()
  tell(id, { type: 'stopped' })
  // Posted messages are delivered before the thread ends.
  setImmediate(() => process.exit(0))
}

function inTurn(id: SliceId, code: string, call: () => Promise<void>): void {
  turn = turn.then(call).catch((error: unknown) => fail(id, asWeirError(error, code)))
}

port.on('message', (command: SliceCommand | LinkIntroduced) => {
  if ('kind' in command) return threads.introduced(command)
  const id = command.slice
  const slice = running?.slice
  switch (command.type) {
    case 'deploy':
      return inTurn(id, 'DEPLOY_FAILED', () => deploy(command))
    case 'recover':
      return inTurn(id, 'RECOVER_FAILED', async () => {
        const proofs = await running!.slice.recover(command.snapshot, command.poison)
        tell(id, { type: 'recovered', proofs: proofs.map(({ proof, ...of }) => ({ ...of, ...proof })) })
      })
    case 'run':
      return inTurn(id, 'RUN_FAILED', () => running!.slice.run(command.peers))
    case 'trigger':
      return slice?.trigger(command.checkpoint, command.last, command.cut, command.degraded)
    case 'give-up':
      return slice?.giveUp(command.checkpoint, command.timedOut)
    case 'commit':
      return slice?.commit(command.epoch, command.upTo, command.traceparent)
    case 'align':
      return slice?.align(command.bounds)
    case 'rates':
      return slice?.adjustRates(command.limits)
    case 'stop':
      // Not in turn: it ends what the turn may be waiting for.
      void stop(id, command.mode).catch((error: unknown) => {
        fail(id, asWeirError(error, 'STOP_FAILED'))
        process.exit(1)
      })
  }
})

// The next slot does not compile it again.
flushCompileCache()
