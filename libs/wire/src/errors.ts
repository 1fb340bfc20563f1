/** WeirError on gRPC: the status is for generic tools, metadata `weir-error` carries the whole error. */
import { Metadata, status, type ServiceError } from '@grpc/grpc-js'
import { WeirError, asWeirError, type ErrorKind } from '@weir/model'

const KEY = 'weir-error'
const BY_KIND: Record<ErrorKind, status> = {
  retry: status.UNAVAILABLE,
  restart: status.ABORTED,
  fenced: status.FAILED_PRECONDITION,
  invalid: status.INVALID_ARGUMENT,
}
const BY_CODE: Record<string, status> = {
  JOB_UNKNOWN: status.NOT_FOUND,
  JOB_EXISTS: status.ALREADY_EXISTS,
  TRANSACTION_NOT_FOUND: status.NOT_FOUND,
  TOKEN_REFUSED: status.UNAUTHENTICATED,
  BEARER_REFUSED: status.UNAUTHENTICATED,
  ROLE_REFUSED: status.PERMISSION_DENIED,
}

/** gRPC metadata is ASCII. */
const ascii = (text: string): string =>
  text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** @returns what grpc-js takes as an error of a handler. */
export function toServiceError(
  thrown: unknown,
): Pick<ServiceError, 'code' | 'details' | 'metadata' | 'message' | 'name'> {
  const error = asWeirError(thrown, 'INTERNAL', 'restart')
  const metadata = new Metadata()
  metadata.set(KEY, ascii(JSON.stringify(error.toJSON())))
  const code = BY_CODE[error.code] ?? BY_KIND[error.kind]
  return { name: error.code, message: error.message, code, details: error.message, metadata }
}

/** Of what gRPC says about a connection, the part that somebody can do something about. */
const told = (details: string): string =>
  /Last error: (?:Error: )?(.+?)\.? Resolution note:/.exec(details)?.[1] ?? details

/** `peer`: who was asked, for the message of an unreachable one (`UNREACHABLE`, kind retry). */
export function fromServiceError(thrown: unknown, peer: string): WeirError {
  if (thrown instanceof WeirError) return thrown
  const error = thrown as Partial<ServiceError>
  const [packed] = error.metadata?.get(KEY) ?? []
  if (typeof packed === 'string')
    return WeirError.fromJSON(JSON.parse(packed) as Parameters<typeof WeirError.fromJSON>[0])
  if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED || error.code === status.CANCELLED) {
    return new WeirError(
      { code: 'UNREACHABLE', kind: 'retry', peer },
      `${peer} did not answer (${told(error.details ?? error.message ?? '')}). Is it running, and is the address right?`,
      { cause: thrown },
    )
  }
  return asWeirError(thrown, 'GRPC_FAILED', 'restart')
}
