/** Savepoints of a job; stopping it with one. */
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common'
import {
  ApiAcceptedResponse,
  ApiBody,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProperty,
  ApiTags,
} from '@nestjs/swagger'
import { SAVEPOINT_NAME } from '@weir/checkpoint'
import type { SavepointView } from '@weir/job'
import { WeirError, jobId } from '@weir/model'
import type { Term } from '../term.ts'
import { type Reply, type Request, LeaderController, fieldsIn } from './answer.ts'
import { ApiIdempotent } from './headers.ts'

export class SavepointWishDto {
  @ApiProperty({ pattern: SAVEPOINT_NAME.source }) readonly name!: string
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

@ApiTags('savepoints')
@Controller('api/v1')
export class SavepointsController extends LeaderController {
  @Post('jobs/:id/savepoints')
  @HttpCode(202)
  @ApiOperation({ summary: 'Takes a savepoint, or stops the job with one; the list tells when it is complete' })
  @ApiParam({ name: 'id' })
  @ApiIdempotent()
  @ApiBody({ type: SavepointWishDto })
  @ApiAcceptedResponse({ type: SavepointDto })
  takeSavepoint(
    @Param('id') id: string,
    @Body() wish: unknown,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    const take = async (term: Term): Promise<SavepointView> => {
      const { name, stop } = savepointWish(wish)
      return stop ? term.savepoints.stop(jobId(id), name) : term.savepoints.take(jobId(id), name)
    }
    return this.answer(request, reply, take, 202)
  }

  @Get('jobs/:id/savepoints')
  @ApiOperation({ summary: 'Savepoints of a job, oldest first; those in progress and failed ones last' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: [SavepointDto] })
  savepoints(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term): Promise<readonly SavepointView[]> => term.savepoints.list(jobId(id)))
  }

  @Delete('jobs/:id/savepoints/:name')
  @HttpCode(204)
  @ApiNoContentResponse()
  @ApiOperation({ summary: 'Deletes a savepoint; jobs that were started from it have copies of their own' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'name' })
  deleteSavepoint(
    @Param('id') id: string,
    @Param('name') name: string,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term) => term.savepoints.delete(jobId(id), name), 204)
  }
}

function savepointWish(wish: unknown): { readonly name: string; readonly stop: boolean } {
  const { name, stop = false } = fieldsIn(wish, 'name', 'stop')
  if (typeof name === 'string' && typeof stop === 'boolean') return { name, stop }
  throw new WeirError(
    { code: 'SAVEPOINT_INVALID', kind: 'invalid' },
    'say which: {"name":"before-upgrade"}, and with "stop":true the job stops with it',
  )
}
