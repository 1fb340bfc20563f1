/** One checkpoint, by the subtasks that took part. */
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiTags } from '@nestjs/swagger'
import { TASK_EPOCHS_MAX, type TaskCheckpointView } from '@weir/job'
import { WeirError, jobId } from '@weir/model'
import { type Reply, type Request, LeaderController } from './answer.ts'
import { ApiPaged, paged, type PageWish } from './paging.ts'

const MS = { type: Number, nullable: true } as const
const EPOCH = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const

export class CheckpointTaskDto {
  @ApiProperty() readonly subtask!: number
  @ApiProperty() readonly taskManagerId!: string
  @ApiProperty({
    enum: ['unanswered', 'acknowledged', 'declined', 'late'],
    description: 'late: the epoch was given up, and the subtask said what it had waited for',
  })
  readonly status!: string
  @ApiProperty({ ...MS, description: 'The longest wait of a stage between its first barrier and its last' })
  readonly alignMs!: number | null
  @ApiProperty({ ...MS, description: 'The longest that the loop of a stage stood still' })
  readonly syncMs!: number | null
  @ApiProperty({ ...MS, description: 'From the trigger until everything was durable' })
  readonly asyncMs!: number | null
  @ApiProperty({ ...MS, description: 'From the trigger until the last stage had taken its snapshot' })
  readonly cutMs!: number | null
  @ApiProperty({ ...MS, description: 'The longest of a stage from its snapshot until its sinks had prepared' })
  readonly prepareMs!: number | null
  @ApiProperty({
    ...MS,
    description: 'The longest of a stage from its snapshot until its state was durable, beside prepareMs',
  })
  readonly uploadMs!: number | null
  @ApiProperty({ type: String, nullable: true, description: 'Why it declined, or what it had waited for' })
  readonly reason!: string | null
}

@ApiTags('jobs')
@Controller('api/v1')
export class CheckpointTasksController extends LeaderController {
  @Get('jobs/:id/checkpoints/:epoch/tasks')
  @ApiOperation({ summary: `Each subtask in one of the last ${TASK_EPOCHS_MAX} checkpoints of this term, by subtask` })
  @ApiParam({ name: 'id' })
  @ApiParam({ name: 'epoch', schema: EPOCH })
  @ApiPaged()
  @ApiOkResponse({ type: [CheckpointTaskDto] })
  tasks(
    @Param('id') id: string,
    @Param('epoch') epoch: string,
    @Query() wish: PageWish,
    @Req() request: Request,
    @Res() reply: Reply,
  ): Promise<void> {
    const order = { key: ({ subtask }: TaskCheckpointView) => String(subtask).padStart(10, '0') }
    return this.answer(request, reply, (term, headers): readonly TaskCheckpointView[] =>
      paged(term.checkpointTasks(jobId(id), epochIn(epoch)), order, request, wish, headers),
    )
  }
}

function epochIn(text: string): number {
  const epoch = Number(text)
  if (/^[1-9]\d*$/.test(text) && Number.isSafeInteger(epoch)) return epoch
  throw new WeirError(
    { code: 'EPOCH_INVALID', kind: 'invalid', got: text.slice(0, 80) },
    'an epoch is a whole number above 0',
  )
}
