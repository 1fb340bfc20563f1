/** Jobs, their checkpoints, and what is done to them: cancel, start again, rescale. */
import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, Req, Res } from '@nestjs/common'
import {
  ApiAcceptedResponse,
  ApiBody,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProperty,
  ApiTags,
} from '@nestjs/swagger'
import type { CheckpointView, JobView } from '@weir/job'
import { WeirError, jobId } from '@weir/model'
import { START_FROM } from '../starts.ts'
import type { Term } from '../term.ts'
import { type Reply, type Request, fieldsIn } from './answer.ts'
import { ApiEtag, ApiIdempotent, ApiIfMatch } from './headers.ts'
import { ApiPaged, paged, type PageWish } from './paging.ts'
import { JobChangeController } from './job-change.ts'
import { versionOf } from './precondition.ts'
import { RateDto } from './rate.controller.ts'

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
  @ApiProperty({
    description: 'Its checkpoints fail, an arbiter is silent, or claims are decided without their store; see alerts',
  })
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
  @ApiProperty({ type: [RateDto], description: 'How fast each source is read' }) readonly rates!: RateDto[]
  @ApiProperty({
    type: String,
    nullable: true,
    enum: ['on', 'off'],
    description: 'As it was turned last, which its user code sees from the next barrier on; null: the job has none',
  })
  readonly degradeSwitch!: string | null
  @ApiProperty() readonly recordsIn!: number
  @ApiProperty({
    type: Object,
    nullable: true,
    description:
      'Age of records when their output was committed, since they were written to their log, in this term: records, sumMs, and counts by boundsMs, the last beyond them; null: nothing is known',
  })
  readonly latency!: object | null
  @ApiProperty({ description: 'ms since 1970' }) readonly submittedAt!: number
  @ApiProperty({ type: Object, nullable: true }) readonly error!: object | null
  @ApiProperty({
    type: Object,
    isArray: true,
    description:
      'By subtask. stages: busyMsPerSecond, idleMsPerSecond, backPressuredMsPerSecond of each, by the operator at its head; operators: recordsIn, recordsOut; splits: watermark, state, and lag in records where it is known',
  })
  readonly slices!: object[]
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
  @ApiProperty({ type: Number, nullable: true, description: 'Stored objects it names, whichever epoch wrote them' })
  readonly bytes!: number | null
  @ApiProperty({ type: Number, nullable: true, description: 'Part of bytes: records that barriers have overtaken' })
  readonly inFlightBytes!: number | null
  @ApiProperty({ description: 'The longest wait for barriers in a slice' }) readonly alignMs!: number
  @ApiProperty({ description: 'The longest that a loop stood still for it' }) readonly syncMs!: number
  @ApiProperty({ description: 'The longest from trigger to durable in a slice' }) readonly asyncMs!: number
}
export class RescaleDto {
  @ApiProperty({ type: 'integer', minimum: 1, description: 'At most the maxParallelism of the job' })
  readonly parallelism!: number
}
export class StartWishDto {
  @ApiProperty({
    required: false,
    type: String,
    nullable: true,
    pattern: START_FROM.source,
    description: 'EPOCH or NAME of a savepoint of the job, or the URL of a savepoint folder; default: its newest epoch',
  })
  readonly from?: string | null
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

@ApiTags('jobs')
@Controller('api/v1')
export class JobsController extends JobChangeController {
  @Get('jobs')
  @ApiOperation({ summary: 'All jobs, by id' })
  @ApiPaged()
  @ApiOkResponse({ type: [JobDto] })
  jobs(@Query() wish: PageWish, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term, headers): readonly JobView[] =>
      paged(term.list(), { key: (job) => job.jobId }, request, wish, headers),
    )
  }

  @Get('jobs/:id')
  @ApiOperation({ summary: 'One job with its slices' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: JobDto, headers: ApiEtag })
  job(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term, headers): JobView => {
      const view = term.get(jobId(id))
      headers['etag'] = versionOf(view)
      return view
    })
  }

  @Get('jobs/:id/checkpoints')
  @ApiOperation({ summary: 'The last 100 checkpoints of this term, newest first' })
  @ApiParam({ name: 'id' })
  @ApiPaged()
  @ApiOkResponse({ type: [CheckpointDto] })
  checkpoints(
    @Param('id') id: string,
    @Query() wish: PageWish,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    const order = { key: ({ epoch }: CheckpointView) => String(epoch).padStart(16, '0'), newestFirst: true }
    return this.answer(request, reply, (term, headers): readonly CheckpointView[] =>
      paged(term.checkpoints(jobId(id)), order, request, wish, headers),
    )
  }

  @Post('jobs/:id/cancel')
  @HttpCode(202)
  @ApiOperation({ summary: 'Cancels a job: what is published is committed, nothing is left open' })
  @ApiParam({ name: 'id' })
  @ApiIfMatch(false)
  @ApiIdempotent()
  @ApiAcceptedResponse({ type: JobDto, headers: ApiEtag })
  cancel(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.change(request, reply, id, false, (term) => term.changes.cancel(jobId(id)))
  }

  @Post('jobs/:id/start')
  @HttpCode(202)
  @ApiOperation({ summary: 'A job that has ended goes on under its id, with the bundle it had' })
  @ApiParam({ name: 'id' })
  @ApiIfMatch(false)
  @ApiIdempotent()
  @ApiBody({ type: StartWishDto, required: false })
  @ApiAcceptedResponse({ type: StartDto })
  start(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    const start = async (term: Term): Promise<StartDto> => {
      return { jobId: id, notes: [...(await term.restart(jobId(id), startWish(wish)))] }
    }
    return this.change(request, reply, id, false, start)
  }

  @Patch('jobs/:id')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Changes the parallelism of a job, at a checkpoint taken for it; 202: the wish is recorded',
  })
  @ApiParam({ name: 'id' })
  @ApiIfMatch(true)
  @ApiBody({ type: RescaleDto })
  @ApiAcceptedResponse({ type: JobDto, headers: ApiEtag })
  rescale(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.change(request, reply, id, true, (term): Promise<JobView> =>
      term.changes.rescale(jobId(id), fieldsIn(wish, 'parallelism')['parallelism']),
    )
  }
}

function startWish(wish: unknown): Parameters<Term['restart']>[1] {
  const {
    from = null,
    allowDroppedState = [],
    acceptRepeatedOutput = false,
  } = fieldsIn(wish, 'from', 'allowDroppedState', 'acceptRepeatedOutput')
  const named = Array.isArray(allowDroppedState) && allowDroppedState.every((uid) => typeof uid === 'string')
  if ((from === null || typeof from === 'string') && named && typeof acceptRepeatedOutput === 'boolean') {
    return { from, droppedState: allowDroppedState as string[], repeatedOutput: acceptRepeatedOutput }
  }
  throw new WeirError(
    { code: 'START_INVALID', kind: 'invalid' },
    'say from where, if not the newest epoch: {"from":"41"} or {"from":"before-upgrade"}; allowDroppedState is a list of uids, acceptRepeatedOutput true or false',
  )
}
