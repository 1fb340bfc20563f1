/** Jobs, Fleet and FleetTime of the .proto files. Errors travel as `weir-error` metadata. */
import type { Metadata, ServerReadableStream, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { Controller, Inject } from '@nestjs/common'
import { GrpcMethod, GrpcStreamCall, RpcException } from '@nestjs/microservices'
import type { DeadLetter, PlanSummary } from '@weir/dataflow'
import type { JobView, LedgerEntry, RateView, SavepointView } from '@weir/job'
import { WeirError, jobId, type JobId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { jobs, time } from '@weir/proto'
import { toServiceError, type JoinCall } from '@weir/wire'
import { GRPC_ACCESS, type Access, type GrpcMethodName } from './auth/access.ts'
import { BUNDLE_BYTES_MAX, tooLarge, type CallOf, type JobManager } from './job-manager.ts'
import type { StoredStates } from './stored-states.ts'

export const JOB_MANAGER = Symbol('job-manager')
/** Uploads at once: each is held in memory until it is whole. */
export const UPLOADS_MAX = 4

@Controller()
export class GrpcController {
  readonly #manager: JobManager
  #uploads = 0

  constructor(@Inject(JOB_MANAGER) manager: JobManager) {
    this.#manager = manager
  }

  @GrpcStreamCall('Fleet', 'join')
  join(call: JoinCall): void {
    this.#manager.join(call)
  }

  /** The leader's: clocks of two job-managers are not the same. */
  @GrpcMethod('FleetTime', 'now')
  now(_request: time.NowRequest, metadata: Metadata, call: Call): Promise<time.NowReply> {
    return this.#answer('now', metadata, call, async () => {
      await this.#manager.led()
      return { now: systemClock.now() }
    })
  }

  @GrpcStreamCall('Jobs', 'uploadBundle')
  uploadBundle(
    call: ServerReadableStream<jobs.BundleChunk, jobs.BundleStored>,
    reply: sendUnaryData<jobs.BundleStored>,
  ): void {
    void (async () => {
      const access = GRPC_ACCESS.uploadBundle
      const of = callOf('uploadBundle', call.metadata, call, {})
      const who = await this.#manager.enter(access, of)
      if (this.#uploads >= UPLOADS_MAX) throw uploadsBusy()
      this.#uploads++
      try {
        const { digest, bytes, signature } = await whole(call)
        const store = (): Promise<boolean> => this.#manager.storeBundle(digest, bytes, signature)
        const alreadyThere = await this.#manager.recorded(access, who, { ...of, target: digest }, store)
        reply(null, { digest, alreadyThere })
      } finally {
        this.#uploads--
      }
    })().catch((error: unknown) => reply(toServiceError(error)))
  }

  @GrpcMethod('Jobs', 'submit')
  submit(request: jobs.SubmitRequest, metadata: Metadata, call: Call): Promise<jobs.SubmitResponse> {
    return this.#answer('submit', metadata, call, async () => {
      const { allowDroppedState = [] } = request // absent on the wire when it is empty
      const { jobId: id, notes } = await this.#manager.submit({ ...request, allowDroppedState })
      return { jobId: id, notes: [...notes] }
    })
  }

  @GrpcMethod('Jobs', 'restart')
  restart(request: jobs.RestartRequest, metadata: Metadata, call: Call): Promise<jobs.SubmitResponse> {
    return this.#answer('restart', metadata, call, async () => {
      const { jobId: id, from, allowDroppedState: droppedState = [], acceptRepeatedOutput: repeatedOutput } = request
      const term = await this.#manager.term()
      const notes = await term.restart(jobId(id), { from: from || null, droppedState, repeatedOutput })
      return { jobId: id, notes: [...notes] }
    })
  }

  @GrpcMethod('Jobs', 'get')
  get(request: jobs.GetRequest, metadata: Metadata, call: Call): Promise<jobs.JobView> {
    return this.#answer('get', metadata, call, async () => view((await this.#manager.term()).get(jobId(request.jobId))))
  }

  @GrpcMethod('Jobs', 'list')
  list(_request: jobs.ListRequest, metadata: Metadata, call: Call): Promise<jobs.ListResponse> {
    return this.#answer('list', metadata, call, async () => ({ jobs: (await this.#manager.term()).list().map(view) }))
  }

  @GrpcMethod('Jobs', 'cancel')
  cancel(request: jobs.CancelRequest, metadata: Metadata, call: Call): Promise<jobs.JobView> {
    return this.#answer('cancel', metadata, call, async () =>
      view(await (await this.#manager.term()).changes.cancel(jobId(request.jobId))),
    )
  }

  @GrpcMethod('Jobs', 'rescale')
  rescale(request: jobs.RescaleRequest, metadata: Metadata, call: Call): Promise<jobs.JobView> {
    return this.#answer('rescale', metadata, call, async () => {
      const term = await this.#manager.term()
      return view(await term.changes.rescale(jobId(request.jobId), request.parallelism))
    })
  }

  @GrpcMethod('Jobs', 'adjustRate')
  adjustRate(request: jobs.AdjustRateRequest, metadata: Metadata, call: Call): Promise<jobs.RatesResponse> {
    const { jobId: id, source, recordsPerSecond = null, minRecordsPerSecond = null } = request
    return this.#answer('adjustRate', metadata, call, async () => {
      const term = await this.#manager.term()
      const of = { recordsPerSecond, minRecordsPerSecond }
      const rates = await term.changes.adjustRate(jobId(id), source === '' ? null : source, of)
      return { rates: rates.map(rateView) }
    })
  }

  @GrpcMethod('Jobs', 'degrade')
  degrade(request: jobs.DegradeRequest, metadata: Metadata, call: Call): Promise<jobs.JobView> {
    return this.#answer('degrade', metadata, call, async () => {
      const term = await this.#manager.term()
      return view(await term.changes.degrade(jobId(request.jobId), request.degraded))
    })
  }

  @GrpcMethod('Jobs', 'listTransactions')
  listTransactions(
    request: jobs.ListTransactionsRequest,
    metadata: Metadata,
    call: Call,
  ): Promise<jobs.ListTransactionsResponse> {
    return this.#answer('listTransactions', metadata, call, async () => {
      const term = await this.#manager.term()
      const entries = await term.transactions(request.jobId === '' ? null : jobId(request.jobId))
      return { transactions: entries.map(transactionView) }
    })
  }

  @GrpcMethod('Jobs', 'decideTransaction')
  decideTransaction(
    request: jobs.DecideTransactionRequest,
    metadata: Metadata,
    call: Call,
  ): Promise<jobs.TransactionView> {
    const { transactionalId, commit } = request
    return this.#answer('decideTransaction', metadata, call, async () => {
      const term = await this.#manager.term()
      return transactionView(await term.endTransaction(transactionalId, commit ? 'commit' : 'abort'))
    })
  }

  @GrpcMethod('Jobs', 'listDeadLetters')
  listDeadLetters(request: jobs.DeadLettersRequest, metadata: Metadata, call: Call): Promise<jobs.DeadLettersResponse> {
    return this.#answer('listDeadLetters', metadata, call, async () => {
      const term = await this.#manager.term()
      const { from, limit } = request
      const page = { ...(from !== '' && { from }), ...(limit !== 0 && { limit }) }
      const { letters, next } = await term.deadLetters.list(jobId(request.jobId), page)
      return { letters: letters.map(deadLetterView), next: next ?? '' }
    })
  }

  @GrpcMethod('Jobs', 'replayDeadLetters')
  replayDeadLetters(request: jobs.ReplayRequest, metadata: Metadata, call: Call): Promise<jobs.ReplayResponse> {
    const { jobId: id, origins, all } = request
    return this.#answer('replayDeadLetters', metadata, call, async () => {
      const term = await this.#manager.term()
      const replay = await term.deadLetters.replay(jobId(id), all ? null : (origins ?? []))
      return { ...replay, refused: [...replay.refused] }
    })
  }

  @GrpcMethod('Jobs', 'takeSavepoint')
  takeSavepoint(request: jobs.TakeSavepointRequest, metadata: Metadata, call: Call): Promise<jobs.SavepointView> {
    const { jobId: id, name, stop } = request
    return this.#answer('takeSavepoint', metadata, call, async () => {
      const term = await this.#manager.term()
      return savepointMessage(
        await (stop ? term.savepoints.stop(jobId(id), name) : term.savepoints.take(jobId(id), name)),
      )
    })
  }

  @GrpcMethod('Jobs', 'listSavepoints')
  listSavepoints(
    request: jobs.ListSavepointsRequest,
    metadata: Metadata,
    call: Call,
  ): Promise<jobs.ListSavepointsResponse> {
    return this.#answer('listSavepoints', metadata, call, async () => {
      const views = await (await this.#manager.term()).savepoints.list(jobId(request.jobId))
      return { savepoints: views.map(savepointMessage) }
    })
  }

  @GrpcMethod('Jobs', 'deleteSavepoint')
  deleteSavepoint(
    request: jobs.DeleteSavepointRequest,
    metadata: Metadata,
    call: Call,
  ): Promise<jobs.DeleteSavepointResponse> {
    return this.#answer('deleteSavepoint', metadata, call, async () => {
      await (await this.#manager.term()).savepoints.delete(jobId(request.jobId), request.name)
      return {}
    })
  }

  @GrpcMethod('Jobs', 'checkStart')
  checkStart(request: jobs.CheckStartRequest, metadata: Metadata, call: Call): Promise<jobs.CheckStartResponse> {
    return this.#answer('checkStart', metadata, call, async () => {
      const { allowDroppedState = [] } = request
      const { label, problems, notes } = await this.#manager.check({ ...request, allowDroppedState })
      return { label, notes: [...notes], problems: problems.map(({ uid = '', ...problem }) => ({ ...problem, uid })) }
    })
  }

  @GrpcMethod('Jobs', 'examine')
  examine(request: jobs.ExamineRequest, metadata: Metadata, call: Call): Promise<jobs.ExamineAnswer> {
    return this.#answer('examine', metadata, call, async () => {
      const term = await this.#manager.term()
      return { body: JSON.stringify(await term.examine(request)) }
    })
  }

  @GrpcMethod('Jobs', 'getGraph')
  getGraph(request: jobs.GetRequest, metadata: Metadata, call: Call): Promise<jobs.GraphAnswer> {
    return this.#answer('getGraph', metadata, call, async () => ({
      body: JSON.stringify((await this.#manager.term()).graph(jobId(request.jobId))),
    }))
  }

  @GrpcMethod('Jobs', 'getCanary')
  getCanary(request: jobs.GetCanaryRequest, metadata: Metadata, call: Call): Promise<jobs.CanaryAnswer> {
    return this.#answer('getCanary', metadata, call, async () => {
      const term = await this.#manager.term()
      return { body: JSON.stringify(await term.canary(jobId(request.jobId), request.savepoint || null)) }
    })
  }

  @GrpcMethod('Jobs', 'readState')
  readState({ jobId: id, at, what }: jobs.ReadStateRequest, metadata: Metadata, call: Call): Promise<jobs.StateAnswer> {
    return this.#answer('readState', metadata, call, async () => {
      const { state } = await this.#manager.term()
      return { body: JSON.stringify(await read(state, jobId(id), at, what)) }
    })
  }

  async #answer<T>(method: GrpcMethodName, metadata: Metadata, call: Call, make: () => Promise<T>): Promise<T> {
    try {
      const access: Access = GRPC_ACCESS[method]
      const of = callOf(method, metadata, call, call.request)
      const who = await this.#manager.enter(access, of)
      const recorded = (): Promise<T> => this.#manager.recorded(access, who, of, make)
      if (access.change === undefined || of.jobId === undefined) return await recorded()
      return await this.#manager.turns.run(of.jobId, recorded)
    } catch (error) {
      throw new RpcException(toServiceError(error))
    }
  }
}

/** Throws `BUNDLE_TOO_LARGE` (invalid) as soon as it is. */
async function whole(
  call: ServerReadableStream<jobs.BundleChunk, jobs.BundleStored>,
): Promise<{ readonly digest: string; readonly bytes: Buffer; readonly signature: string }> {
  const chunks: Buffer[] = []
  let bytes = 0
  let digest = ''
  let signature = ''
  for await (const chunk of call as AsyncIterable<jobs.BundleChunk>) {
    digest ||= chunk.digest
    signature ||= chunk.signature ?? ''
    bytes += chunk.data.byteLength
    if (bytes > BUNDLE_BYTES_MAX) throw tooLarge(bytes)
    chunks.push(chunk.data)
  }
  return { digest, bytes: Buffer.concat(chunks), signature }
}

const uploadsBusy = (): WeirError =>
  new WeirError(
    { code: 'UPLOADS_BUSY', kind: 'retry', uploadsMax: UPLOADS_MAX },
    `${UPLOADS_MAX} bundles are being uploaded; submit again when one has come`,
  )

type Call = Pick<ServerUnaryCall<object, unknown>, 'request' | 'getPeer'>

function callOf(name: string, metadata: Metadata, call: Pick<Call, 'getPeer'>, request: object): CallOf {
  const text = (key: string): string | undefined => metadata.get(key)[0]?.toString()
  const { jobId: id, name: named, transactionalId } = request as Record<string, string | undefined>
  const parts = [id, named, transactionalId].filter((part) => part !== undefined && part !== '')
  return {
    credentials: { token: text('weir-token'), authorization: text('authorization') },
    name,
    from: call.getPeer(),
    target: parts.join('/'),
    jobId: id || undefined,
    wish: { ...request, ...acceptedBy(request) },
  }
}

/** A plan is named by a digest in the audit log; what its job accepts although it is unsafe is told in so many words. */
function acceptedBy(request: object): object {
  if (!('plan' in request) || !(request.plan instanceof Uint8Array)) return {}
  try {
    const plan = JSON.parse(Buffer.from(request.plan).toString()) as Partial<PlanSummary> | null
    const { acceptUnsafe } = plan?.settings ?? {}
    return acceptUnsafe === undefined ? {} : { acceptUnsafe }
  } catch {
    return {} // the answer says what is wrong with it
  }
}

function read(state: StoredStates, id: JobId, at: string, what: jobs.ReadStateRequest['what']): Promise<object> {
  switch (what?.$case) {
    case 'key': {
      const { operator, state: name, key, split } = what.value
      return state.get(id, at, { operatorUid: operator, name }, key, split ?? null)
    }
    case 'diff':
      return state.diff(id, at, what.value.after, what.value.limit)
    default:
      return state.overview(id, at, what?.value.count ?? false)
  }
}

const view = (v: JobView): jobs.JobView => ({
  jobId: v.jobId,
  name: v.name,
  state: v.state,
  generation: v.generation,
  attempt: v.attempt,
  publishedEpoch: v.publishedEpoch,
  finalEpoch: v.finalEpoch,
  restarts: v.restarts,
  regionRestarts: v.regionRestarts,
  recovering: [...v.recovering],
  recordsIn: v.recordsIn,
  healedTransactions: v.healedTransactions,
  sinks: JSON.stringify(v.sinks),
  alerts: JSON.stringify(v.alerts),
  error: v.error === null ? '' : JSON.stringify(v.error),
  submittedAt: v.submittedAt,
  parallelism: v.parallelism,
  degradeSwitch: v.degradeSwitch ?? '',
})

const rateView = (v: RateView): jobs.RateView => ({
  source: v.source,
  recordsPerSecond: v.recordsPerSecond ?? undefined,
  minRecordsPerSecond: v.minRecordsPerSecond ?? undefined,
  current: v.current ?? undefined,
  reason: v.reason ?? '',
})

const savepointMessage = (v: SavepointView): jobs.SavepointView => ({
  ...v,
  epoch: v.epoch ?? undefined,
  parallelism: v.parallelism ?? undefined,
  bytes: v.bytes ?? undefined,
  folder: v.folder ?? undefined,
  error: v.error === null ? '' : JSON.stringify(v.error),
})

/** Absent where the ledger says null. */
const transactionView = (e: LedgerEntry): jobs.TransactionView => ({
  jobId: e.jobId ?? '',
  transactionalId: e.transactionalId,
  producerId: e.producerId,
  producerEpoch: e.producerEpoch,
  sink: e.sink ?? undefined,
  subtask: e.subtask ?? undefined,
  sequence: e.sequence ?? undefined,
  epoch: e.epoch ?? undefined,
  state: e.state,
  records: e.records ?? undefined,
  atServer: e.atServer ?? undefined,
  startedAt: e.startedAt ?? undefined,
  timeoutMs: e.timeoutMs ?? undefined,
  partitions: [...e.partitions],
})

const deadLetterView = (l: DeadLetter): jobs.DeadLetterView => ({
  ...l,
  origin: l.origin ?? undefined,
  first: l.first ?? undefined,
  ordinal: l.ordinal ?? undefined,
  replay: l.replay ?? undefined,
  replayed: l.replayed ?? undefined,
  key: l.key ?? undefined,
  value: l.value ?? undefined,
})
