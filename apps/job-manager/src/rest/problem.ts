/** Errors as RFC 9457 problems. */
import type { WeirError } from '@weir/model'
import type { Reply } from './answer.ts'

const STATUS: Record<string, number> = {
  JOB_UNKNOWN: 404,
  JOB_EXISTS: 409,
  JOB_ENDING: 409,
  JOB_NOT_RUNNING: 409,
  JOB_RUNNING: 409,
  START_REFUSED: 409,
  EPOCH_NOT_KEPT: 404,
  SAVEPOINT_EXISTS: 409,
  SAVEPOINT_IN_PROGRESS: 409,
  SAVEPOINT_NEEDS_STOP: 409,
  SAVEPOINT_UNKNOWN: 404,
  STATE_EPOCH_GONE: 410,
  STATE_EPOCH_UNKNOWN: 404,
  STATE_NONE: 404,
  STATE_UNKNOWN: 404,
  RESCALE_CONTINUOUS_SCOPE: 409,
  RESCALE_JOB_ENDING: 409,
  RESCALE_NO_SLOTS: 409,
  TOKEN_REFUSED: 401,
  TRANSACTION_NOT_FOUND: 404,
  TRANSACTION_FOREIGN: 409,
  TRANSACTION_IN_USE: 409,
  TRANSACTION_LOST: 409,
  TRANSACTION_NOT_OPEN: 409,
  TRANSACTION_NOT_PUBLISHED: 409,
  TRANSACTION_PUBLISHED: 409,
  TRANSACTION_REFUSED: 409,
}
const BY_KIND = { invalid: 400, retry: 503, restart: 500, fenced: 409 } as const

export function problem(reply: Reply, error: WeirError): void {
  const status = STATUS[error.code] ?? BY_KIND[error.kind]
  const { code, kind, message, facts } = error.toJSON()
  reply
    .status(status)
    .header('content-type', 'application/problem+json')
    .send({ type: `urn:weir:error:${code}`, title: code, status, detail: message, code, kind, facts })
}
