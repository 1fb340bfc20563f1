/** The Nest shell around a job-manager: gRPC for the fleet and its tools, REST for people. */
import 'reflect-metadata'
import type { Server } from '@grpc/grpc-js'
import { Module, type DynamicModule } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Transport, type MicroserviceOptions } from '@nestjs/microservices'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { systemClock } from '@weir/runtime/system'
import { control, jobs, time } from '@weir/proto'
import type { Metrics } from '@weir/telemetry'
import { MESSAGE_BYTES_MAX, serverCredentials, type TlsSettings } from '@weir/wire'
import { addHealth, addReflection } from '@weir/wire/introspection'
import { serveDashboard } from './dashboard.ts'
import { GrpcController, JOB_MANAGER } from './grpc.controller.ts'
import type { JobManager } from './job-manager.ts'
import { METRICS, ProblemFilter, describeApi, restControllers } from './rest/index.ts'

@Module({})
class AppModule {
  static with(manager: JobManager, metrics: Metrics): DynamicModule {
    return {
      module: AppModule,
      controllers: [GrpcController, ...restControllers],
      providers: [
        { provide: JOB_MANAGER, useValue: manager },
        { provide: METRICS, useValue: metrics },
      ],
    }
  }
}

/** Characters of one part of a path: keys of state are parts. */
const PATH_PART_MAX = 4_096

const SERVICES = {
  'weir.v1.Jobs': jobs.JobsService,
  'weir.v1.Fleet': control.FleetService,
  'weir.v1.FleetTime': time.FleetTimeService,
}
/** Of one connection, whatever it calls: the fleet and its tools have a few each. */
const CALLS_MAX = 1_000

/** The process as `/readyz`; its services while it leads, since another one only names the leader. */
function introspect(server: Server, manager: JobManager): void {
  const names = Object.keys(SERVICES)
  const leading = Object.fromEntries(names.map((name) => [name, () => manager.leading]))
  addHealth(server, { checks: { '': () => manager.ready(), ...leading }, clock: systemClock })
  addReflection(server, names)
}

/** Nothing listens yet. @param grpcUrl host:port. Throws `TLS_FILES_UNUSABLE` (invalid). */
export async function createApp(
  manager: JobManager,
  metrics: Metrics,
  grpcUrl: string,
  tls: TlsSettings | null,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({ routerOptions: { maxParamLength: PATH_PART_MAX } })
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(manager, metrics), adapter, {
    logger: false,
    abortOnError: false,
  })
  adapter.getInstance().addHook('onResponse', (request, reply, done) => {
    metrics.request(request.method, request.routeOptions.url ?? 'none', reply.statusCode, reply.elapsedTime)
    done()
  })
  app.connectMicroservice<MicroserviceOptions>({
    transport: Transport.GRPC,
    options: {
      package: 'weir.v1',
      packageDefinition: SERVICES as never,
      onLoadPackageDefinition: (_: unknown, server: Server) => introspect(server, manager),
      url: grpcUrl,
      credentials: serverCredentials(tls),
      maxReceiveMessageLength: MESSAGE_BYTES_MAX,
      maxSendMessageLength: MESSAGE_BYTES_MAX,
      channelOptions: { 'grpc.max_concurrent_streams': CALLS_MAX },
    },
  })
  app.useGlobalFilters(new ProblemFilter())
  await describeApi(app)
  await serveDashboard(app)
  return app
}
