/** The gRPC port of the process: health and reflection, for probes and tools. Data passes through ports of the slots. */
import { Server } from '@grpc/grpc-js'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { serverCredentials, type ListenSettings } from '@weir/wire'
import { addHealth, addReflection } from '@weir/wire/introspection'

export interface HealthPort {
  readonly port: number
  close(): void
}

/** @param joined whether a job-manager has this process. Throws `PORT_IN_USE`, `TLS_FILES_UNUSABLE` (invalid). */
export async function openHealthPort(listen: ListenSettings, joined: () => boolean): Promise<HealthPort> {
  const server = new Server()
  addHealth(server, { checks: { '': joined }, clock: systemClock })
  addReflection(server, [])
  const at = `${listen.host}:${listen.grpcPort}`
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(at, serverCredentials(listen.tls), (error, bound) => {
      if (error === null) return resolve(bound)
      const facts = { code: 'PORT_IN_USE', kind: 'invalid', variable: 'WEIR_GRPC_PORT' } as const
      const help = 'choose another WEIR_GRPC_PORT, or 0 for any free port'
      reject(new WeirError(facts, `${at} cannot be used (${error.message}): ${help}`))
    })
  })
  return { port, close: () => server.forceShutdown() }
}
