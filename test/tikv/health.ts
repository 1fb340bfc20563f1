/** grpc.health.v1, as stores serve it: client-go asks it whether a store that did not answer is alive. */
import type { sendUnaryData, ServiceDefinition } from '@grpc/grpc-js'

/** `HealthCheckResponse { status: SERVING }` */
const SERVING = Buffer.from([0x08, 0x01])

export const healthService: ServiceDefinition = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
}
export const healthServer = {
  check: (_: unknown, reply: sendUnaryData<Buffer>): void => reply(null, SERVING),
}
