/** How fast sources are read: changed while a job runs. */
import { Body, Controller, Get, HttpCode, Param, Patch, Req, Res } from '@nestjs/common'
import {
  ApiAcceptedResponse,
  ApiBody,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProperty,
  ApiTags,
} from '@nestjs/swagger'
import type { RateView } from '@weir/job'
import { jobId } from '@weir/model'
import { type Reply, type Request, fieldsIn } from './answer.ts'
import { ApiEtag, ApiIfMatch } from './headers.ts'
import { JobChangeController } from './job-change.ts'

const LIMIT = { type: Number, nullable: true } as const
const ABOVE_0 = { ...LIMIT, minimum: 0, exclusiveMinimum: true } as const

export class RateDto {
  @ApiProperty({ description: 'Uid of the source' }) readonly source!: string
  @ApiProperty({ ...LIMIT, description: 'Limit over all subtasks; null: none' })
  readonly recordsPerSecond!: number | null
  @ApiProperty({
    ...LIMIT,
    description: 'As far as the rate may be lowered while what lies behind cannot follow; null: never',
  })
  readonly minRecordsPerSecond!: number | null
  @ApiProperty({ ...LIMIT, description: 'At present, over all subtasks; null: not limited, or none has told yet' })
  readonly current!: number | null
  @ApiProperty({
    type: String,
    nullable: true,
    enum: ['slow-reads', 'failed-reservations', 'event-loop-lag'],
    description: 'Why it is below its limit; null: it is not',
  })
  readonly reason!: string | null
}
export class RateWishDto {
  @ApiProperty({ ...ABOVE_0, description: 'Over all subtasks; null: no limit' })
  readonly recordsPerSecond!: number | null
  @ApiProperty({
    ...ABOVE_0,
    required: false,
    description: 'At most recordsPerSecond, and only with one; null or absent: a fixed rate',
  })
  readonly minRecordsPerSecond?: number | null
}

@ApiTags('jobs')
@Controller('api/v1')
export class RateController extends JobChangeController {
  @Get('jobs/:id/rate')
  @ApiOperation({ summary: 'How fast each source of a job is read' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: [RateDto] })
  rates(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term): readonly RateView[] => term.get(jobId(id)).rates)
  }

  @Patch('jobs/:id/rate')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Limits every source of a job, at once and without a restart; 202: recorded and on its way',
  })
  @ApiParam({ name: 'id' })
  @ApiIfMatch(false)
  @ApiBody({ type: RateWishDto })
  @ApiAcceptedResponse({ type: [RateDto], headers: ApiEtag })
  all(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#adjust(id, null, wish, request, reply)
  }

  @Patch('jobs/:id/operators/:uid/rate')
  @HttpCode(202)
  @ApiOperation({ summary: 'Limits one source of a job, at once and without a restart; 202: recorded and on its way' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'uid', description: 'Uid of the source' })
  @ApiIfMatch(false)
  @ApiBody({ type: RateWishDto })
  @ApiAcceptedResponse({ type: [RateDto], headers: ApiEtag })
  one(
    @Param('id') id: string,
    @Param('uid') uid: string,
    @Body() wish: unknown,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.#adjust(id, uid, wish, request, reply)
  }

  #adjust(id: string, source: string | null, wish: unknown, request: Request, reply: Reply): Promise<void> {
    return this.change(request, reply, id, false, (term): Promise<readonly RateView[]> =>
      term.changes.adjustRate(jobId(id), source, fieldsIn(wish, 'recordsPerSecond', 'minRecordsPerSecond')),
    )
  }
}
