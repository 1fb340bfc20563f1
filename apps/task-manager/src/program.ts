/** A task-manager as a process. Says `{"ready":true,…}` on stdout when it listens; exit code 2: bad configuration. */
import 'reflect-metadata'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { asWeirError } from '@weir/model'
import { systemRandom } from '@weir/runtime/system'
import { podName } from '@weir/state'
import { Metrics, PoolMetrics, createLogger, openTracing, watchClaimTiers, type Tracing } from '@weir/telemetry'
import { AppModule, type TaskManagerRef } from './app.ts'
import { prepareThreads } from './collector.ts'
import { readConfig } from './config.ts'
import { unwritable } from './data-dir.ts'
import { openDtxIds, watchDtxIds } from './dtxid.ts'
import { openHealthPort } from './health.ts'
import { TaskManager } from './task-manager.ts'

prepareThreads()
try {
  const config = readConfig(process.env)
  let tracing: Tracing | null = null
  const log = createLogger('task-manager', config.logLevel, () => tracing?.ids() ?? {})
  tracing = await openTracing('task-manager', process.env, (problem) => log.warn({ problem }, 'traces'))
  const ref: TaskManagerRef = { current: null }
  const metrics = new Metrics('task-manager')
  const { host, httpPort, advertiseHost, token, tls } = config.listen
  const { dtxid, jobManagers } = config
  const dtxIds = dtxid && { ids: openDtxIds(dtxid, { jobManagers, token, tls }, log), form: dtxid.form, token }
  watchClaimTiers(metrics.registry)
  if (dtxIds !== null) watchDtxIds(metrics, dtxIds.ids)
  const module = AppModule.with(ref, metrics, dtxIds)
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), {
    logger: false,
    abortOnError: false,
  })
  await app.listen(httpPort, host)
  const { port } = app.getHttpServer().address() as { port: number }
  const http = `${advertiseHost}:${port}`
  const health = await openHealthPort(config.listen, () => (ref.current?.joined ?? null) !== null)
  const pod = await podName(config.dataDir, () => systemRandom.nonce()).catch((error: unknown) => {
    throw unwritable(config.dataDir, error)
  })
  const taskManager = new TaskManager(config, http, pod, log, tracing, new PoolMetrics(metrics.registry))
  ref.current = taskManager
  metrics.gauge('weir_slots', 'Slots of this task-manager', () => config.slots)
  metrics.gauge('weir_slots_busy', 'Slots that run a slice', () => taskManager.busySlots)
  metrics.gauge(
    'weir_restored_segments_local_total',
    'Segments of state restored from copies on this disk',
    () => taskManager.restoredFrom.local,
  )
  metrics.gauge(
    'weir_restored_segments_store_total',
    'Segments of state restored from the object store',
    () => taskManager.restoredFrom.store,
  )
  metrics.gauge(
    'weir_record_spans_total',
    'Parts of the way of sampled records that were traced',
    () => taskManager.recordSpans.told,
  )
  metrics.gauge(
    'weir_record_spans_dropped_total',
    'Parts of the way of sampled records for which there was no room',
    () => taskManager.recordSpans.dropped,
  )
  console.log(JSON.stringify({ ready: true, grpc: `${advertiseHost}:${health.port}`, http }))

  let stopping = false
  const stop = (signal: string): void => {
    if (stopping) process.exit(1) // asked twice
    stopping = true
    log.info({ signal }, 'draining')
    void taskManager
      .drainAndClose()
      .then(() => health.close())
      .then(() => Promise.all([app.close(), dtxIds?.ids.close(), tracing?.close()]))
      .then(() => process.exit(0))
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
  taskManager.run().catch((error: unknown) => {
    log.fatal({ error: asWeirError(error, 'JOIN_FAILED').toJSON() }, 'cannot join')
    process.exit(2)
  })
} catch (thrown) {
  const inUse = (thrown as NodeJS.ErrnoException).code === 'EADDRINUSE'
  const error = asWeirError(thrown, inUse ? 'PORT_IN_USE' : 'START_FAILED', 'invalid')
  const hint = inUse ? ' Choose another WEIR_HTTP_PORT, or 0 for any free one.' : ''
  console.error(`task-manager: ${error.code}: ${error.message}${hint}`)
  process.exit(2)
}
