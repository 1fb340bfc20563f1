/** Who is there. */
import { Controller, Get, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger'
import type { TaskManagerInfo } from '@weir/wire'
import { type Reply, type Request, LeaderController } from './answer.ts'

export class TaskManagerDto {
  @ApiProperty() readonly id!: string
  @ApiProperty() readonly slots!: number
  @ApiProperty() readonly version!: string
  @ApiProperty() readonly httpAddress!: string
  @ApiProperty({ description: 'The same after every start on the same disk' }) readonly pod!: string
  @ApiProperty() readonly joinedAt!: number
  @ApiProperty() readonly draining!: boolean
}

@ApiTags('fleet')
@Controller('api/v1')
export class FleetController extends LeaderController {
  @Get('task-managers')
  @ApiOperation({ summary: 'The fleet' })
  @ApiOkResponse({ type: [TaskManagerDto] })
  taskManagers(@Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (): readonly TaskManagerInfo[] => this.manager.fleet.list())
  }
}
