/** gRPC server reflection, v1 and v1alpha: what `grpcurl list` and `describe` ask. It tells what the .proto files tell, and no more. */
import type { Server } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { descriptors } from '@weir/proto/descriptors'

/** @param services full names of what this server has besides health: others of the same files are not listed */
export function addReflection(server: Server, services: readonly string[]): void {
  const fileDescriptorProtos = descriptors.map((file) => Buffer.from(file, 'base64'))
  const listed = { services: [...services, 'grpc.health.v1.Health'] }
  // It reads nothing else of a definition made by proto-loader.
  new ReflectionService({ all: { fileDescriptorProtos } } as never, listed).addToServer(server)
}
