/** The degrade switch of a job: turned while it runs, seen by its user code from the next barrier on. */
import { Body, Controller, HttpCode, Param, Patch, Req, Res } from '@nestjs/common'
import { ApiAcceptedResponse, ApiBody, ApiOperation, ApiParam, ApiProperty, ApiTags } from '@nestjs/swagger'
import { jobId } from '@weir/model'
import { type Reply, type Request, fieldsIn } from './answer.ts'
import { ApiEtag, ApiIfMatch } from './headers.ts'
import { JobChangeController } from './job-change.ts'
import { JobDto } from './jobs.controller.ts'

export class DegradeDto {
  @ApiProperty({ description: 'true: user code is to leave out what it may' }) readonly degraded!: boolean
}

@ApiTags('jobs')
@Controller('api/v1')
export class DegradeController extends JobChangeController {
  @Patch('jobs/:id/degrade-switch')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Turns the degrade switch of a job; 202: recorded, and its user code sees it from the next barrier on',
  })
  @ApiParam({ name: 'id' })
  @ApiIfMatch(false)
  @ApiBody({ type: DegradeDto })
  @ApiAcceptedResponse({ type: JobDto, headers: ApiEtag })
  turn(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.change(request, reply, id, false, (term) =>
      term.changes.degrade(jobId(id), fieldsIn(wish, 'degraded')['degraded']),
    )
  }
}
