/** How the process is, for probes and scrapers: answered by whoever is asked. */
import { Controller, Get, Header, Inject, Res } from '@nestjs/common'
import { ApiOperation, ApiTags } from '@nestjs/swagger'
import { WeirError, asWeirError } from '@weir/model'
import type { Metrics } from '@weir/telemetry'
import { JOB_MANAGER } from '../grpc.controller.ts'
import type { JobManager } from '../job-manager.ts'
import type { Reply } from './answer.ts'
import { problem } from './problem.ts'

export const METRICS = Symbol('metrics')

@ApiTags('health')
@Controller()
export class HealthController {
  readonly #manager: JobManager
  readonly #metrics: Metrics

  constructor(@Inject(JOB_MANAGER) manager: JobManager, @Inject(METRICS) metrics: Metrics) {
    this.#manager = manager
    this.#metrics = metrics
  }

  @Get('livez')
  @ApiOperation({ summary: 'The process answers' })
  live(): { status: string } {
    return { status: 'ok' }
  }

  @Get('readyz')
  @ApiOperation({ summary: 'It leads, or knows who does' })
  async ready(@Res() reply: Reply): Promise<void> {
    try {
      if (await this.#manager.ready()) return reply.status(200).send({ status: 'ok' })
      throw new WeirError({ code: 'NO_LEADER', kind: 'retry' }, 'no job-manager leads at present')
    } catch (error) {
      return problem(reply, asWeirError(error, 'INTERNAL'))
    }
  }

  @Get('healthz')
  @ApiOperation({ summary: 'What it is and whom it sees' })
  async health(): Promise<object> {
    const leader = await this.#manager.leader().catch((error: unknown) => ({ error: String(error) }))
    const { leading, arbiters, fleet } = this.#manager
    return { status: 'ok', leading, leader, arbiters, taskManagers: fleet.list().length }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  metrics(): Promise<string> {
    return this.#metrics.registry.metrics()
  }
}
