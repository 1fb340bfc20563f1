/** The canary of a job: a new version of it, running beside it on topics of its own. Started and judged by `weir canary`. */
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger'
import type { CanaryView } from '@weir/job'
import { jobId } from '@weir/model'
import { type Reply, type Request, LeaderController } from './answer.ts'

export class ReadUpToDto {
  @ApiProperty({ description: 'A published epoch' }) readonly epoch!: number
  @ApiProperty({ type: Object, description: 'By source and split: the next offset, decimal' })
  readonly positions!: object
  @ApiProperty({ description: 'Records in front of these positions are stored with it, their output is not there yet' })
  readonly inFlight!: boolean
}
export class CanarySideDto {
  @ApiProperty() readonly jobId!: string
  @ApiProperty() readonly state!: string
  @ApiProperty() readonly finalEpoch!: number
  @ApiProperty({ type: ReadUpToDto, nullable: true }) readonly read!: ReadUpToDto | null
  @ApiProperty({ type: Object, nullable: true }) readonly error!: object | null
}
export class CanaryJobDto extends CanarySideDto {
  @ApiProperty({ type: Object, description: 'What it started from, which keys it processes, how it is compared' })
  readonly settings!: object
}
export class CanarySavepointDto {
  @ApiProperty() readonly name!: string
  @ApiProperty() readonly epoch!: number
  @ApiProperty({
    type: Object,
    nullable: true,
    description: '{after, transactions}: those that hold its output and had not ended with epoch `after`',
  })
  readonly output!: object | null
}
export class CanaryDto {
  @ApiProperty({ type: CanarySideDto }) readonly live!: CanarySideDto
  @ApiProperty({ type: CanaryJobDto, nullable: true, description: 'The newest; null: there never was one' })
  readonly canary!: CanaryJobDto | null
  @ApiProperty({
    type: CanarySavepointDto,
    nullable: true,
    description: 'Null: none was asked for, or it is not complete',
  })
  readonly savepoint!: CanarySavepointDto | null
}

@ApiTags('jobs')
@Controller('api/v1')
export class CanaryController extends LeaderController {
  @Get('jobs/:id/canary')
  @ApiOperation({ summary: 'The newest canary of a job, and how far both have read' })
  @ApiParam({ name: 'id', description: 'Of the job that is to be replaced' })
  @ApiQuery({ name: 'savepoint', required: false, description: 'One of the job: where its output lies in a log' })
  @ApiOkResponse({ type: CanaryDto })
  canary(
    @Param('id') id: string,
    @Query('savepoint') savepoint: string | undefined,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term): Promise<CanaryView> => term.canary(jobId(id), savepoint || null))
  }
}
