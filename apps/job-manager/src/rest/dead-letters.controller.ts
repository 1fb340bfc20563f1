/** Dead letters of a job and their replay. */
import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common'
import { ApiBody, ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger'
import { LISTED_LETTERS_MAX, REPLAYED_MAX, type Replay } from '@weir/dataflow'
import { WeirError, jobId } from '@weir/model'
import type { DeadLetterPage } from '../dead-letters.ts'
import { type Reply, type Request, LeaderController, fieldsIn, wholeIn } from './answer.ts'
import { ApiIdempotent } from './headers.ts'

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
type ApiBodySchema = Extract<Parameters<typeof ApiBody>[0], { schema: unknown }>['schema']
const REPLAY_WISH: ApiBodySchema = {
  oneOf: [
    {
      type: 'object',
      required: ['origins'],
      properties: {
        origins: {
          type: 'array',
          maxItems: REPLAYED_MAX,
          items: { type: 'string', description: 'topic/partition/offset' },
        },
      },
      additionalProperties: false,
    },
    {
      type: 'object',
      required: ['all'],
      properties: { all: { enum: [true], description: 'Everything that can be' } },
      additionalProperties: false,
    },
  ],
}
export class ReplayDto {
  @ApiProperty() readonly replayId!: string
  @ApiProperty() readonly replayed!: number
  @ApiProperty({ description: 'Replayed by this or an earlier call already' }) readonly before!: number
  @ApiProperty({ type: Object, isArray: true, description: '{origin, why}, at most 100' }) readonly refused!: object[]
  @ApiProperty({ description: 'Ask again: there are more' }) readonly more!: boolean
}

@ApiTags('dead-letters')
@Controller('api/v1')
export class DeadLettersController extends LeaderController {
  @Get('jobs/:id/dead-letters')
  @ApiOperation({ summary: 'Dead letters of a job, oldest first in each partition' })
  @ApiParam({ name: 'id' })
  @ApiQuery({
    name: 'from',
    required: false,
    description: '`next` of the page before',
    schema: { type: 'string', pattern: '^\\d{1,7}:\\d{1,16}$' },
  })
  @ApiQuery({
    name: 'limit',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: LISTED_LETTERS_MAX, default: 100 },
  })
  @ApiOkResponse({ type: DeadLetterPageDto })
  deadLetters(
    @Param('id') id: string,
    @Query('from') from: string | undefined,
    @Query('limit') limit: string | undefined,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term): Promise<DeadLetterPage> => {
      return term.deadLetters.list(jobId(id), {
        ...(from !== undefined && { from }),
        ...(limit !== undefined && { limit: wholeIn(limit) }),
      })
    })
  }

  @Post('jobs/:id/dead-letters/replay')
  @HttpCode(200)
  @ApiOperation({ summary: 'Puts records back where they were read: each once, however often it is asked for' })
  @ApiParam({ name: 'id' })
  @ApiIdempotent()
  @ApiBody({ schema: REPLAY_WISH })
  @ApiOkResponse({ type: ReplayDto })
  replay(@Param('id') id: string, @Body() wish: unknown, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term): Promise<Replay> => term.deadLetters.replay(jobId(id), originsIn(wish)))
  }
}

/** Null: all. */
function originsIn(wish: unknown): readonly string[] | null {
  const { origins, all } = fieldsIn(wish, 'origins', 'all')
  if (all === true && origins === undefined) return null
  const named = Array.isArray(origins) && origins.length <= REPLAYED_MAX && origins.every((o) => typeof o === 'string')
  if (named && (all === undefined || all === false)) return origins as string[]
  throw new WeirError(
    { code: 'REPLAY_INVALID', kind: 'invalid' },
    `say which: {"origins":["topic/partition/offset",…]} with at most ${REPLAYED_MAX}, or {"all":true}`,
  )
}
