/** Which error is which status; also of those that Nest and Fastify find before a controller is asked. */
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common'
import { WeirError, asWeirError } from '@weir/model'
import { sendProblem, type HttpReply } from '@weir/wire'

const STATUS: Record<string, number> = {
  IDEMPOTENCY_IN_PROGRESS: 409,
  IDEMPOTENCY_KEY_REUSED: 422,
  PRECONDITION_FAILED: 412,
  PRECONDITION_REQUIRED: 428,
  METHOD_NOT_ALLOWED: 405,
  PATH_UNKNOWN: 404,
  PAGE_UNKNOWN: 404,
  BODY_TOO_LARGE: 413,
  MEDIA_TYPE_UNKNOWN: 415,
  JOB_UNKNOWN: 404,
  JOB_EXISTS: 409,
  JOB_ENDING: 409,
  JOB_NOT_DEGRADABLE: 409,
  JOB_NOT_RUNNING: 409,
  JOB_RUNNING: 409,
  START_REFUSED: 409,
  EPOCH_NOT_KEPT: 404,
  CHECKPOINT_UNKNOWN: 404,
  SOURCE_UNKNOWN: 404,
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
  RESCALE_TOO_WIDE: 409,
  DEAD_LETTERS_OFF: 409,
  AUDIT_OFF: 404,
  REMEDIATION_OFF: 404,
  BEARER_REFUSED: 401,
  ROLE_REFUSED: 403,
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

const RETRY_AFTER_SECONDS = '1'

export function problem(reply: HttpReply, error: WeirError): void {
  const status = STATUS[error.code] ?? BY_KIND[error.kind]
  if (status === 503) reply.header('retry-after', RETRY_AFTER_SECONDS)
  sendProblem(reply, error, status)
}

/** Of what `problem` sends. */
export const problemSchema = {
  type: 'object' as const,
  required: ['type', 'title', 'status', 'detail', 'code', 'kind', 'facts'],
  properties: {
    type: { type: 'string' as const, description: 'urn:weir:error:CODE' },
    title: { type: 'string' as const },
    status: { type: 'integer' as const },
    detail: { type: 'string' as const, description: 'What is wrong, and what to do' },
    code: { type: 'string' as const },
    kind: { type: 'string' as const, enum: ['invalid', 'retry', 'restart', 'fenced'] },
    facts: { type: 'object' as const, description: 'What the detail speaks of, by name' },
  },
}

const BY_STATUS: Record<number, string> = { 404: 'PATH_UNKNOWN', 413: 'BODY_TOO_LARGE', 415: 'MEDIA_TYPE_UNKNOWN' }

@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(thrown: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<HttpReply>()
    const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { statusCode?: number }).statusCode
    if (status === undefined || status >= 500) return problem(reply, asWeirError(thrown, 'INTERNAL'))
    const { message } = thrown as Error
    problem(reply, new WeirError({ code: BY_STATUS[status] ?? 'REQUEST_INVALID', kind: 'invalid' }, message))
  }
}
