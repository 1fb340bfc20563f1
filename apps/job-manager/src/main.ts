/** Starts a job-manager. Says `{"ready":true,…}` on stdout when it listens; exit code 2: bad configuration. */
import 'reflect-metadata'
import { Module, type DynamicModule } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Transport, type MicroserviceOptions } from '@nestjs/microservices'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { WeirError, asWeirError } from '@weir/model'
import { control, jobs, time } from '@weir/proto'
import { Metrics, createLogger } from '@weir/telemetry'
import { MESSAGE_BYTES_MAX } from '@weir/wire'
import net from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { readConfig } from './config.ts'
import { GrpcController, JOB_MANAGER } from './grpc.controller.ts'
import { JobManager } from './job-manager.ts'
import { openEmbeddedLog } from './embedded-log.ts'
import { openMetadata } from './metadata.ts'
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

/**
 * What is alive in a job-manager is small, and every epoch brings the acks of all subtasks, which are garbage with the next
 * one. V8 would let the heap grow to several times what is alive before it looks; so it does at this much more, in percent,
 * for some CPU of its own threads.
 */
const HEAP_GROWING_PERCENT = 40
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)

/** Characters of one part of a path: keys of state are parts. */
const PATH_PART_MAX = 4_096

/** Addresses are announced at the election, so ports must be known before anything listens. Throws `PORT_IN_USE`. */
function reservePort(host: string, wanted: number, variable: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.once('error', (error) =>
      reject(
        new WeirError(
          { code: 'PORT_IN_USE', kind: 'invalid', host, port: wanted, variable },
          `${host}:${wanted} cannot be used (${error.message}): choose another ${variable}, or 0 for any free port`,
        ),
      ),
    )
    probe.listen(wanted, host, () => {
      const { port } = probe.address() as net.AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

try {
  const config = readConfig(process.env)
  const log = createLogger('job-manager', config.logLevel)
  const { host, advertiseHost } = config.listen
  const grpcPort = await reservePort(host, config.listen.grpcPort, 'WEIR_GRPC_PORT')
  const httpPort = await reservePort(host, config.listen.httpPort, 'WEIR_HTTP_PORT')
  const [grpc, http] = [`${advertiseHost}:${grpcPort}`, `${advertiseHost}:${httpPort}`]
  const metadata = await openMetadata(config, process.env)
  const embedded = config.mode === 'embedded' ? await openEmbeddedLog(config.dataDir, log) : null
  const metrics = new Metrics('job-manager')
  const manager = new JobManager(config, metadata, { grpcAddress: grpc, restAddress: http }, log, metrics)
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
      packageDefinition: {
        'weir.v1.Jobs': jobs.JobsService,
        'weir.v1.Fleet': control.FleetService,
        'weir.v1.FleetTime': time.FleetTimeService,
      } as never,
      url: `${host}:${grpcPort}`,
      maxReceiveMessageLength: MESSAGE_BYTES_MAX,
      maxSendMessageLength: MESSAGE_BYTES_MAX,
    },
  })
  app.useGlobalFilters(new ProblemFilter())
  await describeApi(app)
  await app.startAllMicroservices()
  await app.listen(httpPort, host)
  console.log(JSON.stringify({ ready: true, grpc, http, log: embedded?.address }))

  let stopping = false
  const stop = (signal: string): void => {
    if (stopping) process.exit(1) // asked twice
    stopping = true
    log.info({ signal }, 'stopping')
    void manager
      .close()
      .then(() => app.close())
      .then(() => embedded?.close())
      .then(() => process.exit(0))
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
  manager.run().catch((error: unknown) => {
    log.fatal({ error: asWeirError(error, 'INTERNAL').toJSON() }, 'cannot lead')
    process.exit(2)
  })
} catch (thrown) {
  const error = asWeirError(thrown, 'START_FAILED', 'invalid')
  console.error(`job-manager: ${error.code}: ${error.message}`)
  process.exit(2)
}
