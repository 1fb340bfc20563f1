/** Who has changed what. */
import { Controller, Get, Query, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger'
import { WeirError } from '@weir/model'
import type { AuditEntry } from '../audit/entry.ts'
import { type Reply, type Request, LeaderController, wholeIn } from './answer.ts'
import { PAGE_DEFAULT, PAGE_MAX, type PageWish } from './paging.ts'

export class AuditEntryDto {
  @ApiProperty({ description: 'Of the change: its entries have the same one' }) readonly id!: string
  @ApiProperty({ description: 'ms since 1970' }) readonly at!: number
  @ApiProperty({ enum: ['asked', 'done', 'refused', 'denied'] }) readonly step!: string
  @ApiProperty({ type: Object, description: '{name, role, from}' }) readonly who!: object
  @ApiProperty() readonly what!: string
  @ApiProperty() readonly target!: string
  @ApiProperty({ type: Object, required: false, description: 'What was asked for' }) readonly wish?: object
  @ApiProperty({ type: Object, required: false, nullable: true }) readonly before?: object | null
  @ApiProperty({ type: Object, required: false, nullable: true }) readonly after?: object | null
  @ApiProperty({ type: Object, required: false, description: '{code, message}' }) readonly error?: object
}

const CURSOR = /^\d{1,15}$/

@ApiTags('audit')
@Controller('api/v1')
export class AuditController extends LeaderController {
  @Get('audit')
  @ApiOperation({
    summary: 'Changes that were asked for and how they ended, newest first: of the job-manager that is asked',
  })
  @ApiQuery({
    name: 'limit',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT },
  })
  @ApiQuery({
    name: 'cursor',
    required: false,
    description: 'From the link with rel="next" of the page before',
    schema: { type: 'string', pattern: CURSOR.source },
  })
  @ApiOkResponse({ type: [AuditEntryDto] })
  audit(@Query() wish: PageWish, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.own(request, reply, async (headers): Promise<readonly AuditEntry[]> => {
      const limit = wish.limit === undefined ? PAGE_DEFAULT : wholeIn(wish.limit)
      const { cursor } = wish
      if (limit > PAGE_MAX || (cursor !== undefined && !CURSOR.test(cursor))) {
        throw new WeirError(
          { code: 'PAGE_INVALID', kind: 'invalid', limit },
          `give a limit of at most ${PAGE_MAX}, and as cursor that of the "next" link`,
        )
      }
      const { entries, next } = await this.manager.audit.read(cursor === undefined ? null : Number(cursor), limit)
      if (next !== null) headers['link'] = `</api/v1/audit?limit=${limit}&cursor=${next}>; rel="next"`
      return entries
    })
  }
}
