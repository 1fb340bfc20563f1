/** REST for people and tools; problems as RFC 9457. Who does not lead sends on to the leader. */
import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  Inject,
  Param,
  Patch,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common'
import { ApiBody, ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger'
import { REPLAYED_MAX, type Replay } from '@weir/dataflow'
import type { CheckpointView, JobView, LedgerEntry, SavepointView } from '@weir/job'
import { WeirError, asWeirError, jobId } from '@weir/model'
import { Metrics } from '@weir/telemetry'
import type { TaskManagerInfo } from '@weir/wire'
import type { DeadLetterPage } from './dead-letters.ts'
import { JOB_MANAGER } from './grpc.controller.ts'
import type { JobManager } from './job-manager.ts'
import {
  DIFF_CHANGES_MAX,
  type EpochDifference,
  type StateListing,
  type StateOverview,
  type StateValues,
} from './stored-states.ts'
import type { Term } from './term.ts'

export const METRICS = Symbol('metrics')

interface Reply {
  status(code: number): Reply
  header(name: string, value: string): Reply
  send(body: unknown): void
}
interface Request {
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export class JobDto {
  @ApiProperty() readonly jobId!: string
  @ApiProperty() readonly name!: string
  @ApiProperty({
    description:
      'CREATED DEPLOYING RECOVERING RUNNING RESTARTING STOPPING CANCELLING FAILING FINISHED FAILED CANCELLED STOPPED',
  })
  readonly state!: string
  @ApiProperty() readonly generation!: number
  @ApiProperty() readonly attempt!: number
  @ApiProperty() readonly parallelism!: number
  @ApiProperty({ type: Number, nullable: true, description: 'On its way to this parallelism; null: it is not' })
  readonly rescalingTo!: number | null
  @ApiProperty({ description: 'Highest published epoch; 0 = none' }) readonly publishedEpoch!: number
  @ApiProperty({ description: 'Highest epoch whose output is committed' }) readonly finalEpoch!: number
  @ApiProperty({ description: 'Of all slices' }) readonly restarts!: number
  @ApiProperty({ description: 'Of some slices, while the others went on' }) readonly regionRestarts!: number
  @ApiProperty({ type: Number, isArray: true, description: 'Slices that are away while the others run' })
  readonly recovering!: readonly number[]
  @ApiProperty({
    type: Object,
    description:
      'strategy: fixed exponential failure-rate none; failures: counted by it at present; nextAt: ms since 1970, null when no restart waits',
  })
  readonly restart!: object
  @ApiProperty({ description: 'Its checkpoints fail, or an arbiter is silent; see alerts' })
  readonly degraded!: boolean
  @ApiProperty({
    type: Object,
    description:
      'Of its checkpoints. state: closed, open (they come less often), half-open (one is being tried); failures: given up in a row; until: ms since 1970, null when nothing waits',
  })
  readonly circuit!: object
  @ApiProperty({ type: Number, nullable: true }) readonly lastRecoveryMs!: number | null
  @ApiProperty({ description: 'Transactions lost at the broker and written again from staged output, in this term' })
  readonly healedTransactions!: number
  @ApiProperty({ type: Object, isArray: true, description: 'What somebody should look at: code, since, message' })
  readonly alerts!: object[]
  @ApiProperty({
    type: Object,
    isArray: true,
    description:
      'Sources that went on behind a gap in their log, as outOfRange said: {source, topic, partition, offset, logStart, logEnd, policy, resumedAt, gapRecords, skippedRecords, epoch}',
  })
  readonly sourceGaps!: object[]
  @ApiProperty({
    type: Object,
    isArray: true,
    description:
      'How each sink subtask came out of its last recovery: {sink, subtask, epoch, state, facts}; state is CLEAN HEALED LOST UNKNOWN EPOCH_REGRESSION UNSETTLED',
  })
  readonly sinks!: object[]
  @ApiProperty() readonly recordsIn!: number
  @ApiProperty({ description: 'ms since 1970' }) readonly submittedAt!: number
  @ApiProperty({ type: Object, nullable: true }) readonly error!: object | null
  @ApiProperty({ type: Object, isArray: true }) readonly slices!: object[]
}
export class CheckpointDto {
  @ApiProperty() readonly epoch!: number
  @ApiProperty() readonly generation!: number
  @ApiProperty() readonly attempt!: number
  @ApiProperty({ enum: ['in-progress', 'published', 'final', 'given-up'] }) readonly status!: string
  @ApiProperty() readonly triggeredAt!: number
  @ApiProperty({ type: Number, nullable: true }) readonly durationMs!: number | null
  @ApiProperty({ type: String, nullable: true }) readonly reason!: string | null
  @ApiProperty({
    type: Object,
    description:
      'mode: watermark with its event time, or barrier with why (null: nothing else was asked for); idle, passed: splits that were not cut at the time, source/split',
  })
  readonly cut!: object
  @ApiProperty({
    type: Object,
    isArray: true,
    description:
      'Of one that timed out: what each slice had waited for, the first 16: {subtask, inputs, more}; an input is {cause: barrier, stage, from, fromSubtask}, {cause: cut, stage} or {cause: snapshot}',
  })
  readonly late!: object[]
}
export class TransactionDto {
  @ApiProperty({ type: String, nullable: true, description: 'Null: of no job of this cluster' })
  readonly jobId!: string | null
  @ApiProperty() readonly transactionalId!: string
  @ApiProperty({ description: 'Decimal int64' }) readonly producerId!: string
  @ApiProperty() readonly producerEpoch!: number
  @ApiProperty({ type: String, nullable: true }) readonly sink!: string | null
  @ApiProperty({ type: Number, nullable: true }) readonly subtask!: number | null
  @ApiProperty({ type: Number, nullable: true, description: 'Place in the order of its sink subtask; null while open' })
  readonly sequence!: number | null
  @ApiProperty({ type: Number, nullable: true, description: 'The published epoch that names it' })
  readonly epoch!: number | null
  @ApiProperty({ enum: ['open', 'prepared', 'published', 'committed', 'lost', 'foreign'] }) readonly state!: string
  @ApiProperty({ type: Number, nullable: true }) readonly records!: number | null
  @ApiProperty({ enum: ['open', 'committing', 'aborting'], nullable: true, description: 'Null: it has ended there' })
  readonly atServer!: string | null
  @ApiProperty({ type: Number, nullable: true, description: 'ms since 1970' }) readonly startedAt!: number | null
  @ApiProperty({ type: Number, nullable: true }) readonly timeoutMs!: number | null
  @ApiProperty({
    type: String,
    isArray: true,
    description: 'topic-partition: where read_committed readers wait for it',
  })
  readonly partitions!: string[]
}
export class DeadLetterDto {
  @ApiProperty({ description: 'Where it lies in the topic of the dead letters' }) readonly partition!: number
  @ApiProperty() readonly offset!: number
  @ApiProperty({ type: String, nullable: true, description: 'topic/partition/offset; null: the job made the record' })
  readonly origin!: string | null
  @ApiProperty({ type: String, nullable: true, description: 'Origin of the first try, of a record that was replayed' })
  readonly first!: string | null
  @ApiProperty() readonly operator!: string
  @ApiProperty({ description: 'Code' }) readonly error!: string
  @ApiProperty() readonly message!: string
  @ApiProperty({ description: 'Tries, from 1' }) readonly attempt!: number
  @ApiProperty({ type: String, nullable: true, description: 'Which output of a flatMap' })
  readonly ordinal!: string | null
  @ApiProperty({ enum: ['whole', 'partial'], nullable: true, description: 'partial: cannot be replayed' })
  readonly replay!: string | null
  @ApiProperty({ type: String, nullable: true, description: 'Id of its replay' }) readonly replayed!: string | null
  @ApiProperty({ description: 'ms since 1970' }) readonly timestamp!: number
  @ApiProperty({ type: String, nullable: true }) readonly key!: string | null
  @ApiProperty({ type: String, nullable: true, description: 'At most 1,024 characters' }) readonly value!: string | null
  @ApiProperty() readonly valueBytes!: number
}
export class DeadLetterPageDto {
  @ApiProperty({ type: [DeadLetterDto] }) readonly letters!: DeadLetterDto[]
  @ApiProperty({ type: String, nullable: true, description: '`from` of the next page; null: this is the last' })
  readonly next!: string | null
}
export class ReplayWishDto {
  @ApiProperty({ type: String, isArray: true, required: false, description: 'topic/partition/offset, at most 10,000' })
  readonly origins?: string[]
  @ApiProperty({ required: false, description: 'Everything that can be, instead of `origins`' }) readonly all?: boolean
}
export class RescaleDto {
  @ApiProperty({ description: 'From 1 to the maxParallelism of the job' }) readonly parallelism!: number
}
export class ReplayDto {
  @ApiProperty() readonly replayId!: string
  @ApiProperty() readonly replayed!: number
  @ApiProperty({ description: 'Replayed by this or an earlier call already' }) readonly before!: number
  @ApiProperty({ type: Object, isArray: true, description: '{origin, why}, at most 100' }) readonly refused!: object[]
  @ApiProperty({ description: 'Ask again: there are more' }) readonly more!: boolean
}
export class StartWishDto {
  @ApiProperty({
    required: false,
    description: 'EPOCH or NAME of a savepoint of the job, or the URL of a savepoint folder; default: its newest epoch',
  })
  readonly from?: string
  @ApiProperty({ type: String, isArray: true, required: false, description: 'Uids, or uid/state' })
  readonly allowDroppedState?: readonly string[]
  @ApiProperty({ required: false, description: 'Output behind an older epoch is there already, and is written again' })
  readonly acceptRepeatedOutput?: boolean
}
export class StartDto {
  @ApiProperty() readonly jobId!: string
  @ApiProperty({ type: String, isArray: true, description: 'What is empty, dropped, written again' })
  readonly notes!: string[]
}
export class SavepointWishDto {
  @ApiProperty({ description: 'a-z, 0-9, ".", "_", "-"; begins with a letter; at most 63' }) readonly name!: string
  @ApiProperty({ required: false, description: 'Stop the job with it: the sources stop at its barrier' })
  readonly stop?: boolean
}
export class SavepointDto {
  @ApiProperty() readonly jobId!: string
  @ApiProperty() readonly name!: string
  @ApiProperty({ enum: ['IN_PROGRESS', 'COMPLETE', 'FAILED'] }) readonly state!: string
  @ApiProperty({ type: Number, nullable: true, description: 'Null: no epoch yet' }) readonly epoch!: number | null
  @ApiProperty({ description: 'ms since 1970' }) readonly takenAt!: number
  @ApiProperty({ type: Number, nullable: true }) readonly parallelism!: number | null
  @ApiProperty({ type: Number, nullable: true, description: 'Of its segments' }) readonly bytes!: number | null
  @ApiProperty({ description: 'The sources stopped at its barrier' }) readonly stopped!: boolean
  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Everything that belongs to it lies under this key prefix, and names nothing else',
  })
  readonly folder!: string | null
  @ApiProperty({ type: Object, nullable: true }) readonly error!: object | null
}
export class StateViewDto {
  @ApiProperty() readonly operatorUid!: string
  @ApiProperty() readonly name!: string
  @ApiProperty() readonly stage!: number
  @ApiProperty({ type: Object, nullable: true, description: '{name, version}; null: version 1, without a name' })
  readonly schema!: object | null
  @ApiProperty({ description: 'Kept per split of the source' }) readonly bySplit!: boolean
  @ApiProperty({ type: Number, nullable: true, description: 'Exact; null: not counted' }) readonly keys!: number | null
}
export class StateOverviewDto {
  @ApiProperty() readonly jobId!: string
  @ApiProperty({ description: 'The final epoch this is from' }) readonly epoch!: number
  @ApiProperty({ type: String, nullable: true, description: 'Null: not of a savepoint' })
  readonly savepoint!: string | null
  @ApiProperty({ description: 'Its barrier, ms since 1970' }) readonly triggeredAt!: number
  @ApiProperty() readonly parallelism!: number
  @ApiProperty() readonly maxParallelism!: number
  @ApiProperty({ type: String, isArray: true }) readonly sources!: string[]
  @ApiProperty({ type: [StateViewDto] }) readonly states!: StateViewDto[]
  @ApiProperty({ type: Object, isArray: true, description: '{subtask, stage, segments, bytes}' })
  readonly chains!: object[]
}
export class StateEntryDto {
  @ApiProperty({ description: 'Text or number' }) readonly key!: string | number
  @ApiProperty({ description: 'Of a state with several rows per key (NAME[]): which one; else null' })
  readonly entry!: string | number | null
  @ApiProperty({ description: 'Of a window: its end, ms since 1970; else 0' }) readonly namespace!: number
  @ApiProperty() readonly keyGroup!: number
  @ApiProperty({ type: Number, nullable: true }) readonly split!: number | null
  @ApiProperty({ type: Object, description: 'What JSON does not have is tagged: {"$bigint":"1"}, {"$map":[[k,v]…]}' })
  readonly value!: unknown
}
export class StateValuesDto {
  @ApiProperty() readonly jobId!: string
  @ApiProperty({ description: 'The final epoch this is from' }) readonly epoch!: number
  @ApiProperty({ type: String, nullable: true, description: 'Null: not of a savepoint' })
  readonly savepoint!: string | null
  @ApiProperty() readonly triggeredAt!: number
  @ApiProperty() readonly operatorUid!: string
  @ApiProperty() readonly name!: string
  @ApiProperty({ type: [StateEntryDto], description: 'Empty: there is no such key' }) readonly entries!: StateEntryDto[]
}
export class StateListingDto extends StateValuesDto {
  @ApiProperty({
    type: String,
    nullable: true,
    description: '`cursor` of the next page, of the same epoch; null: the last',
  })
  readonly next!: string | null
}
export class TaskManagerDto {
  @ApiProperty() readonly id!: string
  @ApiProperty() readonly slots!: number
  @ApiProperty() readonly version!: string
  @ApiProperty() readonly httpAddress!: string
  @ApiProperty({ description: 'The same after every start on the same disk' }) readonly pod!: string
  @ApiProperty() readonly joinedAt!: number
  @ApiProperty() readonly draining!: boolean
}

const STATUS: Record<string, number> = {
  JOB_UNKNOWN: 404,
  JOB_EXISTS: 409,
  JOB_ENDING: 409,
  JOB_NOT_RUNNING: 409,
  JOB_RUNNING: 409,
  START_REFUSED: 409,
  EPOCH_NOT_KEPT: 404,
  SAVEPOINT_EXISTS: 409,
  SAVEPOINT_IN_PROGRESS: 409,
  SAVEPOINT_NEEDS_STOP: 409,
  SAVEPOINT_UNKNOWN: 404,
  STATE_EPOCH_GONE: 410,
  STATE_EPOCH_UNKNOWN: 404,
  STATE_NONE: 404,
  STATE_UNKNOWN: 404,
  RESCALE_CONTINUOUS_SCOPE: 409,
  RESCALE_JOB_ENDING: 409,
  RESCALE_NO_SLOTS: 409,
  TOKEN_REFUSED: 401,
  TRANSACTION_NOT_FOUND: 404,
  TRANSACTION_FOREIGN: 409,
  TRANSACTION_IN_USE: 409,
  TRANSACTION_LOST: 409,
  TRANSACTION_NOT_OPEN: 409,
  TRANSACTION_NOT_PUBLISHED: 409,
  TRANSACTION_PUBLISHED: 409,
  TRANSACTION_REFUSED: 409,
}
const BY_KIND = { invalid: 400, retry: 503, restart: 500, fenced: 409 } as const

@ApiTags('jobs')
@Controller('api/v1')
export class RestController {
  readonly #manager: JobManager

  constructor(@Inject(JOB_MANAGER) manager: JobManager) {
    this.#manager = manager
  }

  @Get('jobs')
  @ApiOperation({ summary: 'All jobs' })
  @ApiOkResponse({ type: [JobDto] })
  jobs(@Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): readonly JobView[] => term.list())
  }

  @Get('jobs/:id')
  @ApiOperation({ summary: 'One job with its slices' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: JobDto })
  job(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term) => term.get(jobId(id)))
  }

  @Get('jobs/:id/checkpoints')
  @ApiOperation({ summary: 'The last 100 checkpoints of this term, newest first' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: [CheckpointDto] })
  checkpoints(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): readonly CheckpointView[] => term.checkpoints(jobId(id)))
  }

  @Post('jobs/:id/cancel')
  @HttpCode(202)
  @ApiOperation({ summary: 'Cancels a job: what is published is committed, nothing is left open' })
  @ApiParam({ name: 'id' })
  cancel(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term) => term.cancel(jobId(id)), 202)
  }

  @Post('jobs/:id/start')
  @HttpCode(202)
  @ApiOperation({ summary: 'A job that has ended goes on under its id, with the bundle it had' })
  @ApiParam({ name: 'id' })
  @ApiBody({ type: StartWishDto })
  @ApiOkResponse({ type: StartDto })
  start(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    const start = async (term: Term): Promise<StartDto> => {
      return { jobId: id, notes: [...(await term.restart(jobId(id), startWish(wish)))] }
    }
    return this.#answer(request, reply, start, 202)
  }

  @Post('jobs/:id/savepoints')
  @HttpCode(202)
  @ApiOperation({ summary: 'Takes a savepoint, or stops the job with one; the list tells when it is complete' })
  @ApiParam({ name: 'id' })
  @ApiBody({ type: SavepointWishDto })
  @ApiOkResponse({ type: SavepointDto })
  takeSavepoint(
    @Param('id') id: string,
    @Body() wish: unknown,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    const take = async (term: Term): Promise<SavepointView> => {
      const { name, stop } = savepointWish(wish)
      return stop ? term.stop(jobId(id), name) : term.savepoint(jobId(id), name)
    }
    return this.#answer(request, reply, take, 202)
  }

  @Get('jobs/:id/savepoints')
  @ApiOperation({ summary: 'Savepoints of a job, oldest first; those in progress and failed ones last' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: [SavepointDto] })
  savepoints(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): Promise<readonly SavepointView[]> => term.savepoints(jobId(id)))
  }

  @Delete('jobs/:id/savepoints/:name')
  @HttpCode(204)
  @ApiOperation({ summary: 'Deletes a savepoint; jobs that were started from it have copies of their own' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'name' })
  deleteSavepoint(
    @Param('id') id: string,
    @Param('name') name: string,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#answer(request, reply, (term) => term.deleteSavepoint(jobId(id), name), 204)
  }

  @Patch('jobs/:id')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Changes the parallelism of a job, at a checkpoint taken for it; 202: the wish is recorded',
  })
  @ApiParam({ name: 'id' })
  @ApiBody({ type: RescaleDto })
  @ApiOkResponse({ type: JobDto })
  rescale(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    const { parallelism } = (wish ?? {}) as { readonly parallelism?: unknown }
    return this.#answer(request, reply, (term): Promise<JobView> => term.rescale(jobId(id), parallelism), 202)
  }

  @Get('transactions')
  @ApiOperation({
    summary: 'Transactions of all jobs that have not ended, and foreign ones under the names Weir gives',
  })
  @ApiOkResponse({ type: [TransactionDto] })
  transactions(@Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): Promise<readonly LedgerEntry[]> => term.transactions(null))
  }

  @Get('jobs/:id/transactions')
  @ApiOperation({ summary: 'Transactions of one job: open, prepared, and those its published epoch names' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: [TransactionDto] })
  jobTransactions(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): Promise<readonly LedgerEntry[]> => term.transactions(jobId(id)))
  }

  @Post(['transactions/:transactionalId/commit', 'jobs/:id/transactions/:transactionalId/commit'])
  @HttpCode(200)
  @ApiOperation({ summary: 'Commits what a published epoch names, and what is before it; everything else is refused' })
  @ApiParam({ name: 'transactionalId' })
  @ApiOkResponse({ type: TransactionDto })
  commit(@Param('transactionalId') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): Promise<LedgerEntry> => term.endTransaction(id, 'commit'))
  }

  @Post(['transactions/:transactionalId/abort', 'jobs/:id/transactions/:transactionalId/abort'])
  @HttpCode(200)
  @ApiOperation({ summary: 'Aborts what no published epoch names, of a job that does not run' })
  @ApiParam({ name: 'transactionalId' })
  @ApiOkResponse({ type: TransactionDto })
  abort(@Param('transactionalId') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): Promise<LedgerEntry> => term.endTransaction(id, 'abort'))
  }

  @Get('jobs/:id/dead-letters')
  @ApiOperation({ summary: 'Dead letters of a job, oldest first in each partition' })
  @ApiParam({ name: 'id' })
  @ApiQuery({ name: 'from', required: false, description: '`next` of the page before' })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: 'At most 200; default 100' })
  @ApiOkResponse({ type: DeadLetterPageDto })
  deadLetters(
    @Param('id') id: string,
    @Query('from') from: string | undefined,
    @Query('limit') limit: string | undefined,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#answer(request, reply, (term): Promise<DeadLetterPage> => {
      return term.deadLetters.list(jobId(id), { ...(from && { from }), ...(limit && { limit: wholeIn(limit) }) })
    })
  }

  @Post('jobs/:id/dead-letters/replay')
  @HttpCode(200)
  @ApiOperation({ summary: 'Puts records back where they were read: each once, however often it is asked for' })
  @ApiParam({ name: 'id' })
  @ApiBody({ type: ReplayWishDto })
  @ApiOkResponse({ type: ReplayDto })
  replay(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (term): Promise<Replay> => term.deadLetters.replay(jobId(id), originsIn(wish)))
  }

  @Get('jobs/:id/state')
  @ApiOperation({ summary: 'States of a job as of its last final epoch: schema versions, bytes per chain' })
  @ApiParam({ name: 'id' })
  @ApiQuery({ name: 'at', required: false, description: 'Another kept epoch, or a savepoint' })
  @ApiQuery({ name: 'count', required: false, description: '`true`: count keys, which reads everything' })
  @ApiOkResponse({ type: StateOverviewDto })
  states(
    @Param('id') id: string,
    @Query('at') at: string | undefined,
    @Query('count') count: string | undefined,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#answer(request, reply, (term): Promise<StateOverview> => {
      return term.state.overview(jobId(id), at ?? '', count === 'true')
    })
  }

  @Get('jobs/:id/state-diff')
  @ApiOperation({ summary: 'Keys that two kept epochs have differently, by state' })
  @ApiParam({ name: 'id' })
  @ApiQuery({ name: 'before' })
  @ApiQuery({ name: 'after' })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: 'Changes per state; default 100' })
  stateDiff(
    @Param('id') id: string,
    @Query() of: { readonly before?: string; readonly after?: string; readonly limit?: string },
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#answer(request, reply, (term): Promise<EpochDifference> => {
      const limit = of.limit ? wholeIn(of.limit) : Math.min(100, DIFF_CHANGES_MAX)
      return term.state.diff(jobId(id), of.before ?? '', of.after ?? '', limit)
    })
  }

  @Get('jobs/:id/state/:operator/:state')
  @ApiOperation({ summary: 'Entries of a state as of the last final epoch, by key group and then by key' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'operator' })
  @ApiParam({ name: 'state' })
  @ApiQuery({ name: 'at', required: false, description: 'Another kept epoch, or a savepoint' })
  @ApiQuery({ name: 'cursor', required: false, description: '`next` of the page before' })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: 'At most 1,000; default 100' })
  @ApiOkResponse({ type: StateListingDto })
  stateEntries(
    @Param() { id, operator, state }: StateParams,
    @Query() { at = '', cursor, limit }: { readonly at?: string; readonly cursor?: string; readonly limit?: string },
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#answer(request, reply, (term): Promise<StateListing> => {
      const of = { operatorUid: operator, name: state }
      return term.state.page(jobId(id), at, of, { cursor, limit: limit ? wholeIn(limit) : undefined })
    })
  }

  @Get('jobs/:id/state/:operator/:state/:key')
  @ApiOperation({ summary: 'What is stored for a key as of the last final epoch: in every window, in every split' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'operator' })
  @ApiParam({ name: 'state' })
  @ApiParam({ name: 'key', description: 'A number stands for the text too' })
  @ApiQuery({ name: 'at', required: false, description: 'Another kept epoch, or a savepoint' })
  @ApiQuery({ name: 'split', required: false, type: Number, description: 'Of state that is kept per split' })
  @ApiOkResponse({ type: StateValuesDto })
  stateValue(
    @Param() { id, operator, state, key }: StateParams & { readonly key: string },
    @Query() { at = '', split }: { readonly at?: string; readonly split?: string },
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#answer(request, reply, (term): Promise<StateValues> => {
      const of = { operatorUid: operator, name: state }
      return term.state.get(jobId(id), at, of, key, split ? splitIn(split) : null)
    })
  }

  @Get('task-managers')
  @ApiOperation({ summary: 'The fleet' })
  @ApiOkResponse({ type: [TaskManagerDto] })
  taskManagers(@Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#answer(request, reply, (): readonly TaskManagerInfo[] => this.#manager.fleet.list())
  }

  async #answer(request: Request, reply: Reply, call: (term: Term) => unknown, success = 200): Promise<void> {
    try {
      const token =
        request.headers['weir-token'] ?? String(request.headers['authorization'] ?? '').replace(/^Bearer /, '')
      this.#manager.authorize(String(token))
      const body = await call(await this.#manager.term())
      return reply.status(success).send(body)
    } catch (thrown) {
      const error = asWeirError(thrown, 'INTERNAL')
      if (error.code === 'NOT_LEADER') {
        const leader = await this.#manager.leader().catch(() => null)
        if (leader) return reply.status(307).header('location', `http://${leader.restAddress}${request.url}`).send('')
      }
      return problem(reply, error)
    }
  }
}

interface StateParams {
  readonly id: string
  readonly operator: string
  readonly state: string
}

function splitIn(split: string): number {
  if (/^\d{1,9}$/.test(split)) return Number(split)
  throw new WeirError({ code: 'PAGE_INVALID', kind: 'invalid', split }, `split is "${split}"; give a whole number`)
}

function wholeIn(limit: string): number {
  if (/^[1-9]\d{0,4}$/.test(limit)) return Number(limit)
  throw new WeirError(
    { code: 'PAGE_INVALID', kind: 'invalid', limit },
    `limit is "${limit}"; give a whole number above 0`,
  )
}

function startWish(wish: unknown): Parameters<Term['restart']>[1] {
  const { from = null, allowDroppedState = [], acceptRepeatedOutput = false } = (wish ?? {}) as Record<string, unknown>
  const named = Array.isArray(allowDroppedState) && allowDroppedState.every((uid) => typeof uid === 'string')
  if ((from === null || typeof from === 'string') && named && typeof acceptRepeatedOutput === 'boolean') {
    return { from, droppedState: allowDroppedState as string[], repeatedOutput: acceptRepeatedOutput }
  }
  throw new WeirError(
    { code: 'START_INVALID', kind: 'invalid' },
    'say from where, if not the newest epoch: {"from":"41"} or {"from":"before-upgrade"}; allowDroppedState is a list of uids, acceptRepeatedOutput true or false',
  )
}

function savepointWish(wish: unknown): { readonly name: string; readonly stop: boolean } {
  const { name, stop = false } = (wish ?? {}) as { readonly name?: unknown; readonly stop?: unknown }
  if (typeof name === 'string' && typeof stop === 'boolean') return { name, stop }
  throw new WeirError(
    { code: 'SAVEPOINT_INVALID', kind: 'invalid' },
    'say which: {"name":"before-upgrade"}, and with "stop":true the job stops with it',
  )
}

/** Null: all. */
function originsIn(wish: unknown): readonly string[] | null {
  const { origins, all } = (wish ?? {}) as { readonly origins?: unknown; readonly all?: unknown }
  if (all === true && origins === undefined) return null
  const named = Array.isArray(origins) && origins.length <= REPLAYED_MAX && origins.every((o) => typeof o === 'string')
  if (named && (all === undefined || all === false)) return origins as string[]
  throw new WeirError(
    { code: 'REPLAY_INVALID', kind: 'invalid' },
    `say which: {"origins":["topic/partition/offset",…]} with at most ${REPLAYED_MAX}, or {"all":true}`,
  )
}

function problem(reply: Reply, error: WeirError): void {
  const status = STATUS[error.code] ?? BY_KIND[error.kind]
  const { code, kind, message, facts } = error.toJSON()
  reply
    .status(status)
    .header('content-type', 'application/problem+json')
    .send({ type: `urn:weir:error:${code}`, title: code, status, detail: message, code, kind, facts })
}

@ApiTags('health')
@Controller()
export class HealthController {
  readonly #manager: JobManager
  readonly #metrics: Metrics

  constructor(@Inject(JOB_MANAGER) manager: JobManager, @Inject(METRICS) metrics: Metrics) {
    this.#manager = manager
    this.#metrics = metrics
  }

  @Get('livez')
  @ApiOperation({ summary: 'The process answers' })
  live(): { status: string } {
    return { status: 'ok' }
  }

  @Get('readyz')
  @ApiOperation({ summary: 'It leads, or knows who does' })
  async ready(@Res() reply: Reply): Promise<void> {
    try {
      if (this.#manager.leading || (await this.#manager.leader()) !== null)
        return reply.status(200).send({ status: 'ok' })
      throw new WeirError({ code: 'NO_LEADER', kind: 'retry' }, 'no job-manager leads at present')
    } catch (error) {
      return problem(reply, asWeirError(error, 'INTERNAL'))
    }
  }

  @Get('healthz')
  @ApiOperation({ summary: 'What it is and whom it sees' })
  async health(): Promise<object> {
    const leader = await this.#manager.leader().catch((error: unknown) => ({ error: String(error) }))
    const { leading, arbiters, fleet } = this.#manager
    return { status: 'ok', leading, leader, arbiters, taskManagers: fleet.list().length }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  metrics(): Promise<string> {
    return this.#metrics.registry.metrics()
  }
}
