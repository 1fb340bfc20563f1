/** What a job consists of. */
import { Controller, Get, Param, Req, Res } from '@nestjs/common'
import { ApiOkResponse, ApiOperation, ApiParam, ApiProperty, ApiTags } from '@nestjs/swagger'
import type { GraphView } from '@weir/job'
import { jobId } from '@weir/model'
import { type Reply, type Request, LeaderController } from './answer.ts'

export class GraphNodeDto {
  @ApiProperty() readonly uid!: string
  @ApiProperty() readonly kind!: string
  @ApiProperty({ type: String, nullable: true, description: 'Of a source or a sink: kafka, postgres, files…' })
  readonly connector!: string | null
  @ApiProperty({ type: String, nullable: true, description: 'Its topic, table, publication or folder' })
  readonly place!: string | null
  @ApiProperty({ description: 'Nodes of one stage run as one chain in each subtask' }) readonly stage!: number
  @ApiProperty({ type: String, isArray: true, description: 'States it keeps by key' }) readonly states!: string[]
}
export class GraphEdgeDto {
  @ApiProperty({ description: 'Uid' }) readonly from!: string
  @ApiProperty({ description: 'Uid' }) readonly to!: string
  @ApiProperty({
    enum: ['chained', 'exchange'],
    description: 'exchange: records go to the subtask of their key, or to all',
  })
  readonly by!: string
}
export class GraphDto {
  @ApiProperty() readonly name!: string
  @ApiProperty() readonly parallelism!: number
  @ApiProperty({ type: [GraphNodeDto], description: 'In topological order' }) readonly nodes!: GraphNodeDto[]
  @ApiProperty({ type: [GraphEdgeDto] }) readonly edges!: GraphEdgeDto[]
  @ApiProperty({ description: 'SHA-256 of its bundle, hex' }) readonly bundleDigest!: string
}

@ApiTags('jobs')
@Controller('api/v1')
export class GraphController extends LeaderController {
  @Get('jobs/:id/graph')
  @ApiOperation({ summary: 'Sources, operators and sinks of a job, and how records go between them' })
  @ApiParam({ name: 'id' })
  @ApiOkResponse({ type: GraphDto })
  graph(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.answer(request, reply, (term): GraphView => term.graph(jobId(id)))
  }
}
