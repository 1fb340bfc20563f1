/** State of a job, read only, as of final epochs. */
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiQuery, ApiTags } from '@nestjs/swagger'
import { WeirError, jobId } from '@weir/model'
import { PAGE_ENTRIES_MAX } from '@weir/state/reading'
import {
  DIFF_CHANGES_MAX,
  STATE_CURSOR,
  type EpochDifference,
  type StateListing,
  type StateOverview,
  type StateValues,
} from '../stored-states.ts'
import { type Reply, type Request, LeaderController, wholeIn } from './answer.ts'

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
const DIFF_CHANGES = 100

/** What Nest makes of a union is an object. */
const KEY = { oneOf: [{ type: 'string' }, { type: 'number' }] }
const JSON_VALUE = { anyOf: ['string', 'number', 'boolean', 'object', 'array'].map((type) => ({ type })) }

export class StateEntryDto {
  @ApiProperty(KEY) readonly key!: string | number
  @ApiProperty({
    ...KEY,
    nullable: true,
    description: 'Of a state with several rows per key (NAME[]): which one; else null',
  })
  readonly entry!: string | number | null
  @ApiProperty({ description: 'Of a window: its end, ms since 1970; else 0' }) readonly namespace!: number
  @ApiProperty() readonly keyGroup!: number
  @ApiProperty({ type: Number, nullable: true }) readonly split!: number | null
  @ApiProperty({
    ...JSON_VALUE,
    nullable: true,
    description: 'What JSON does not have is tagged: {"$bigint":"1"}, {"$map":[[k,v]…]}',
  })
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

@ApiTags('state')
@Controller('api/v1')
export class StateController extends LeaderController {
  @Get('jobs/:id/state')
  @ApiOperation({ summary: 'States of a job as of its last final epoch: schema versions, bytes per chain' })
  @ApiParam({ name: 'id' })
  @ApiQuery({ name: 'at', required: false, description: 'Another kept epoch, or a savepoint' })
  @ApiQuery({ name: 'count', required: false, type: Boolean, description: 'Count keys, which reads everything' })
  @ApiOkResponse({ type: StateOverviewDto })
  states(
    @Param('id') id: string,
    @Query('at') at: string | undefined,
    @Query('count') count: string | undefined,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term): Promise<StateOverview> => {
      return term.state.overview(jobId(id), at ?? '', count !== undefined && flagIn('count', count))
    })
  }

  @Get('jobs/:id/state-diff')
  @ApiOperation({ summary: 'Keys that two kept epochs have differently, by state' })
  @ApiParam({ name: 'id' })
  @ApiQuery({ name: 'before' })
  @ApiQuery({ name: 'after' })
  @ApiQuery({
    name: 'limit',
    required: false,
    description: 'Changes per state',
    schema: { type: 'integer', minimum: 1, maximum: DIFF_CHANGES_MAX, default: DIFF_CHANGES },
  })
  stateDiff(
    @Param('id') id: string,
    @Query() of: { readonly before?: string; readonly after?: string; readonly limit?: string },
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term): Promise<EpochDifference> => {
      const limit = of.limit === undefined ? DIFF_CHANGES : wholeIn(of.limit)
      return term.state.diff(jobId(id), of.before ?? '', of.after ?? '', limit)
    })
  }

  @Get('jobs/:id/state/:operator/:state')
  @ApiOperation({ summary: 'Entries of a state as of the last final epoch, by key group and then by key' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'operator' })
  @ApiParam({ name: 'state' })
  @ApiQuery({ name: 'at', required: false, description: 'Another kept epoch, or a savepoint' })
  @ApiQuery({
    name: 'cursor',
    required: false,
    description: '`next` of the page before',
    schema: { type: 'string', pattern: STATE_CURSOR.source },
  })
  @ApiQuery({
    name: 'limit',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: PAGE_ENTRIES_MAX, default: 100 },
  })
  @ApiOkResponse({ type: StateListingDto })
  stateEntries(
    @Param() { id, operator, state }: StateParams,
    @Query() { at = '', cursor, limit }: { readonly at?: string; readonly cursor?: string; readonly limit?: string },
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term): Promise<StateListing> => {
      const of = { operatorUid: operator, name: state }
      return term.state.page(jobId(id), at, of, { cursor, limit: limit === undefined ? undefined : wholeIn(limit) })
    })
  }

  @Get('jobs/:id/state/:operator/:state/:key')
  @ApiOperation({ summary: 'What is stored for a key as of the last final epoch: in every window, in every split' })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'operator' })
  @ApiParam({ name: 'state' })
  @ApiParam({ name: 'key', description: 'A number stands for the text too' })
  @ApiQuery({ name: 'at', required: false, description: 'Another kept epoch, or a savepoint' })
  @ApiQuery({
    name: 'split',
    required: false,
    description: 'Of state that is kept per split',
    schema: { type: 'integer', minimum: 0, maximum: 999_999_999 },
  })
  @ApiOkResponse({ type: StateValuesDto })
  stateValue(
    @Param() { id, operator, state, key }: StateParams & { readonly key: string },
    @Query() { at = '', split }: { readonly at?: string; readonly split?: string },
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, (term): Promise<StateValues> => {
      const of = { operatorUid: operator, name: state }
      return term.state.get(jobId(id), at, of, key, split === undefined ? null : splitIn(split))
    })
  }
}

interface StateParams {
  readonly id: string
  readonly operator: string
  readonly state: string
}

function flagIn(name: string, flag: string): boolean {
  if (flag === 'true' || flag === 'false') return flag === 'true'
  throw new WeirError(
    { code: 'QUERY_INVALID', kind: 'invalid', name, flag },
    `${name} is "${flag}"; give true or false`,
  )
}

function splitIn(split: string): number {
  if (/^\d{1,9}$/.test(split)) return Number(split)
  throw new WeirError({ code: 'PAGE_INVALID', kind: 'invalid', split }, `split is "${split}"; give a whole number`)
}
