/** The Nest shell: health and metrics over HTTP. Data and control do not pass through it. */
import {
  Controller,
  Get,
  Header,
  HttpCode,
  Inject,
  Module,
  ServiceUnavailableException,
  type DynamicModule,
} from '@nestjs/common'
import { Metrics } from '@weir/telemetry'
import { DTX_IDS, DtxIdController, type DtxIdRef } from './dtxid.controller.ts'
import type { TaskManager } from './task-manager.ts'

export const TASK_MANAGER = Symbol('task-manager')
export const METRICS = Symbol('metrics')
/** The task-manager is made after the HTTP port is known. */
export interface TaskManagerRef {
  current: TaskManager | null
}

@Controller()
export class HealthController {
  readonly #ref: TaskManagerRef
  readonly #metrics: Metrics
  readonly #dtxIds: DtxIdRef | null

  constructor(
    @Inject(TASK_MANAGER) ref: TaskManagerRef,
    @Inject(METRICS) metrics: Metrics,
    @Inject(DTX_IDS) dtxIds: DtxIdRef | null,
  ) {
    this.#ref = ref
    this.#metrics = metrics
    this.#dtxIds = dtxIds
  }

  /** The process answers. */
  @Get('livez')
  @HttpCode(200)
  live(): { status: string } {
    return { status: 'ok' }
  }

  /** It belongs to a fleet and can be given work. */
  @Get('readyz')
  ready(): { status: string } {
    const joined = this.#ref.current?.joined
    if (!joined)
      throw new ServiceUnavailableException('no job-manager has this task-manager: is one running and leading?')
    return { status: 'ok' }
  }

  @Get('healthz')
  health(): object {
    const tm = this.#ref.current
    const dtxid = this.#dtxIds === null ? {} : { dtxid: this.#dtxIds.ids.status }
    const status = tm?.joined ? 'ok' : 'not joined'
    return { status, joined: tm?.joined ?? null, busySlots: tm?.busySlots ?? 0, ...dtxid }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4')
  metrics(): Promise<string> {
    return this.#metrics.registry.metrics()
  }
}

@Module({})
export class AppModule {
  /** `dtxIds` null: there is no such service here. */
  static with(ref: TaskManagerRef, metrics: Metrics, dtxIds: DtxIdRef | null): DynamicModule {
    return {
      module: AppModule,
      controllers: dtxIds === null ? [HealthController] : [HealthController, DtxIdController],
      providers: [
        { provide: TASK_MANAGER, useValue: ref },
        { provide: METRICS, useValue: metrics },
        { provide: DTX_IDS, useValue: dtxIds },
      ],
    }
  }
}
