import type { Server, ServerCredentials } from '@grpc/grpc-js'

/** @param port 0: any @returns the port */
export const listen = (server: Server, port: number, credentials: ServerCredentials): Promise<number> =>
  new Promise((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
