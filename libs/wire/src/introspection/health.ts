/** gRPC health (grpc.health.v1): asked when somebody asks, so that it never tells something else than `/readyz`. */
import { status, type Server, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js'
import type { Clock } from '@weir/model'
import { service } from 'grpc-health-check'

/** Whether it serves. A rejection counts as no. */
export type HealthCheck = () => boolean | Promise<boolean>

export interface HealthOptions {
  /** By full name of the service; `''` is the whole process. */
  readonly checks: Readonly<Record<string, HealthCheck>>
  readonly clock: Clock
  /** Between two looks for one who watches. */
  readonly watchIntervalMs?: number
}

/** Streams of `Watch` that are open at once in a server; the next one is refused. */
export const GRPC_WATCHES_MAX = 100
const WATCH_INTERVAL_MS = 1_000

interface Asked {
  readonly service: string
}
interface Told {
  readonly status: 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN'
}
type ListAnswer = Readonly<Record<'statuses', Readonly<Record<string, Told>>>>

/** Open to everybody who can connect, as `/readyz`. */
export function addHealth(server: Server, { checks, clock, watchIntervalMs = WATCH_INTERVAL_MS }: HealthOptions): void {
  const told = async (name: string): Promise<Told> => {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) return { status: 'SERVICE_UNKNOWN' }
    const serves = await Promise.resolve()
      .then(check)
      .catch(() => false)
    return { status: serves ? 'SERVING' : 'NOT_SERVING' }
  }
  let watches = 0

  server.addService(service as never, {
    check({ request }: ServerUnaryCall<Asked, Told>, reply: sendUnaryData<Told>): void {
      void told(request.service).then((answer) => {
        if (answer.status !== 'SERVICE_UNKNOWN') return reply(null, answer)
        const known = Object.keys(checks).map((name) => JSON.stringify(name))
        reply({
          code: status.NOT_FOUND,
          details: `there is no service ${JSON.stringify(request.service)} here; ask for one of ${known.join(', ')}`,
        })
      })
    },

    list(_: unknown, reply: sendUnaryData<ListAnswer>): void {
      const all = Object.keys(checks).map(async (name) => [name, await told(name)] as const)
      void Promise.all(all).then((entries) => reply(null, { statuses: Object.fromEntries(entries) }))
    },

    watch(call: ServerWritableStream<Asked, Told>): void {
      if (watches >= GRPC_WATCHES_MAX) {
        const details = `${GRPC_WATCHES_MAX} watch already; ask with Check instead`
        return void call.emit('error', { code: status.RESOURCE_EXHAUSTED, details })
      }
      watches++
      const end = new AbortController()
      call.once('cancelled', () => end.abort())
      void watch(call, end.signal).finally(() => {
        watches--
        call.end()
      })
    },
  })

  async function watch(call: ServerWritableStream<Asked, Told>, signal: AbortSignal): Promise<void> {
    let last: Told['status'] | null = null
    while (!signal.aborted) {
      const { status: now } = await told(call.request.service)
      if (now !== last && !signal.aborted) call.write({ status: now })
      last = now
      await clock.sleep(watchIntervalMs, signal).catch(() => undefined)
    }
  }
}
