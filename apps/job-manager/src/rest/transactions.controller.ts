/** The ledger: transactions that have not ended, ended by hand. */
import { Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiTags } from '@nestjs/swagger'
import type { LedgerEntry } from '@weir/job'
import { jobId } from '@weir/model'
import { type Reply, type Request, LeaderController } from './answer.ts'
import { ApiIdempotent } from './headers.ts'
import { ApiPaged, paged, type PageWish } from './paging.ts'

/** Unique: a producer epoch has one transaction open. */
const ORDER = { key: (t: LedgerEntry) => `${t.transactionalId}/${t.producerId}/${t.producerEpoch}/${t.sequence}` }

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

@ApiTags('transactions')
@Controller('api/v1')
export class TransactionsController extends LeaderController {
  @Get('transactions')
  @ApiOperation({
    summary: 'Transactions of all jobs that have not ended, and foreign ones under the names Weir gives',
  })
  @ApiPaged()
  @ApiOkResponse({ type: [TransactionDto] })
  transactions(@Query() wish: PageWish, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, async (term, headers): Promise<readonly LedgerEntry[]> =>
      paged(await term.transactions(null), ORDER, request, wish, headers),
    )
  }

  @Get('jobs/:id/transactions')
  @ApiOperation({ summary: 'Transactions of one job: open, prepared, and those its published epoch names' })
  @ApiParam({ name: 'id' })
  @ApiPaged()
  @ApiOkResponse({ type: [TransactionDto] })
  jobTransactions(
    @Param('id') id: string,
    @Query() wish: PageWish,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    return this.answer(request, reply, async (term, headers): Promise<readonly LedgerEntry[]> =>
      paged(await term.transactions(jobId(id)), ORDER, request, wish, headers),
    )
  }

  @Post('transactions/:transactionalId/commit')
  @HttpCode(200)
  @ApiOperation({ summary: 'Commits what a published epoch names, and what is before it; everything else is refused' })
  @ApiIdempotent()
  @ApiParam({ name: 'transactionalId' })
  @ApiOkResponse({ type: TransactionDto })
  commit(@Param('transactionalId') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term): Promise<LedgerEntry> => term.endTransaction(id, 'commit'))
  }

  @Post('transactions/:transactionalId/abort')
  @HttpCode(200)
  @ApiOperation({ summary: 'Aborts what no published epoch names, of a job that does not run' })
  @ApiIdempotent()
  @ApiParam({ name: 'transactionalId' })
  @ApiOkResponse({ type: TransactionDto })
  abort(@Param('transactionalId') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term): Promise<LedgerEntry> => term.endTransaction(id, 'abort'))
  }
}
