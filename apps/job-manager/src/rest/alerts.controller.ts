/** Where Alertmanager posts what fires: docs/REMEDIATION.md. */
import { Body, Controller, HttpCode, Post, Req, Res } from '@nestjs/common'
import { ApiBody, ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger'
import { WeirError } from '@weir/model'
import { alertsIn } from '../remediation/alertmanager.ts'
import type { Remediation, Remedy } from '../remediation/remediation.ts'
import { type Reply, type Request, LeaderController } from './answer.ts'
import { ApiIdempotent } from './headers.ts'

export class RemedyDto {
  @ApiProperty({ description: 'Name of the alert' }) readonly alert!: string
  @ApiProperty() readonly jobId!: string
  @ApiProperty({ enum: ['done', 'dry-run', 'passed', 'refused'] }) readonly outcome!: string
  @ApiProperty({
    type: String,
    nullable: true,
    enum: ['rescale', 'limit', 'degrade-switch', 'restart-region'],
    description: 'null: nothing was to be done',
  })
  readonly change!: string | null
  @ApiProperty() readonly why!: string
}

const ALERT = {
  type: 'object',
  required: ['status', 'labels'],
  properties: {
    status: { enum: ['firing', 'resolved'] },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
  },
}

@ApiTags('fleet')
@Controller('api/v1')
export class AlertsController extends LeaderController {
  @Post('alerts')
  @HttpCode(200)
  @ApiOperation({ summary: 'Takes what Alertmanager posts to a webhook, and does what the policies say' })
  @ApiIdempotent()
  @ApiBody({
    schema: {
      type: 'object',
      description: 'Version 4 of the payload of Alertmanager: other fields mean nothing here',
      required: ['version', 'alerts'],
      properties: { version: { const: '4' }, alerts: { type: 'array', maxItems: 1_000, items: ALERT } },
    } as never,
  })
  @ApiOkResponse({ type: [RemedyDto] })
  alerts(@Body() body: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term, _headers, who): Promise<readonly Remedy[]> =>
      this.#configured().alerts(term, alertsIn(body), who, request.ip),
    )
  }

  #configured(): Remediation {
    const { remediation } = this.manager
    if (remediation !== null) return remediation
    throw new WeirError(
      { code: 'REMEDIATION_OFF', kind: 'invalid' },
      'this job-manager has no policies, so alerts change nothing: set WEIR_REMEDIATION (docs/REMEDIATION.md)',
    )
  }
}
