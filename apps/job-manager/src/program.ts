/** A job-manager as a process. Says `{"ready":true,…}` on stdout when it listens; exit code 2: bad configuration. */
import 'reflect-metadata'
import { WeirError, asWeirError } from '@weir/model'
import { Metrics, PoolMetrics, createLogger, openTracing, type Tracing } from '@weir/telemetry'
import net from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { openAudit } from './audit/open.ts'
import { createApp } from './app.ts'
import { readConfig } from './config.ts'
import { JobManager } from './job-manager.ts'
import { openEmbeddedLog } from './embedded-log.ts'
import { openMetadata } from './metadata.ts'

/**
 * What is alive in a job-manager is small, and every epoch brings the acks of all subtasks, which are garbage with the next
 * one. V8 would let the heap grow to several times what is alive before it looks; so it does at this much more, in percent,
 * for some CPU of its own threads.
 */
const HEAP_GROWING_PERCENT = 40
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)

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
  let tracing: Tracing | null = null
  const log = createLogger('job-manager', config.logLevel, () => tracing?.ids() ?? {})
  tracing = await openTracing('job-manager', process.env, (problem) => log.warn({ problem }, 'traces'))
  const { host, advertiseHost } = config.listen
  const grpcPort = await reservePort(host, config.listen.grpcPort, 'WEIR_GRPC_PORT')
  const httpPort = await reservePort(host, config.listen.httpPort, 'WEIR_HTTP_PORT')
  const [grpc, http] = [`${advertiseHost}:${grpcPort}`, `${advertiseHost}:${httpPort}`]
  const metadata = await openMetadata(config, process.env)
  const embedded = config.mode === 'embedded' ? await openEmbeddedLog(config.dataDir, log) : null
  const metrics = new Metrics('job-manager')
  new PoolMetrics(metrics.registry)
  const audit = await openAudit(config, grpc, { log, metrics })
  const manager = new JobManager(
    config,
    metadata,
    { grpcAddress: grpc, restAddress: http },
    log,
    metrics,
    audit,
    tracing,
  )
  const app = await createApp(manager, metrics, `${host}:${grpcPort}`, config.listen.tls)
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
      .then(() => tracing?.close())
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
