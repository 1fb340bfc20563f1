/** What happens, as it happens: server-sent events. docs/REST.md has their shapes. */
import { Controller, Get, Param, Req, Res } from '@nestjs/common'
import { ApiHeader, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger'
import { jobId, type JobId } from '@weir/model'
import { type Reply, type Request, LeaderController } from './answer.ts'

const STREAM = {
  description: 'A snapshot, then what changes; ends when another job-manager leads, or this one stops',
  content: { 'text/event-stream': { schema: { type: 'string' as const } } },
}
const LAST_EVENT_ID = {
  name: 'Last-Event-ID',
  required: false,
  description: 'Of the stream this one continues: notices since then are sent again',
  schema: { type: 'string' as const, pattern: '^[\\w-]{1,40}$' },
}

@ApiTags('events')
@Controller('api/v1')
export class EventsController extends LeaderController {
  @Get('events')
  @ApiOperation({ summary: 'All jobs in short, the fleet, and what happens to them' })
  @ApiHeader(LAST_EVENT_ID)
  @ApiOkResponse(STREAM)
  events(@Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#open(request, reply, () => null)
  }

  @Get('jobs/:id/events')
  @ApiOperation({ summary: 'One job with its slices, its checkpoints, and what happens to it' })
  @ApiParam({ name: 'id' })
  @ApiHeader(LAST_EVENT_ID)
  @ApiOkResponse(STREAM)
  jobEvents(@Param('id') id: string, @Req() request: Request, @Res() reply: Reply): Promise<void> {
    return this.#open(request, reply, () => jobId(id))
  }

  #open(request: Request, reply: Reply, of: () => JobId | null): Promise<void> {
    return this.leading(request, reply, (term) => {
      const id = of()
      if (request.method === 'HEAD') {
        if (id !== null) term.get(id)
        return reply.header('content-type', 'text/event-stream; charset=utf-8').send('')
      }
      const last = request.headers['last-event-id']
      this.manager.live.open(term, id, last === undefined ? undefined : String(last), () => {
        reply.hijack()
        const { raw } = reply
        raw.writeHead(200, {
          'content-type': 'text/event-stream; charset=utf-8',
          'cache-control': 'no-store',
          'x-accel-buffering': 'no', // some proxies would keep events back
        })
        return raw.on('error', () => raw.destroy())
      })
    })
  }
}
