/** Describes the headers that make changes safe. */
import { ApiHeader } from '@nestjs/swagger'
import { IDEMPOTENCY_KEY } from './idempotency.ts'

/** Of an answer. */
export const ApiEtag = {
  ETag: {
    description: 'Version of the job, for If-Match. Progress makes no other version: it says nothing about caches',
    schema: { type: 'string' as const },
  },
}

export const ApiIfMatch = (required: boolean): MethodDecorator =>
  ApiHeader({
    name: 'If-Match',
    required,
    description: 'ETag of the job on which the change was decided, or *; another version by now: 412',
    schema: { type: 'string' },
  })

export const ApiIdempotent = (): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'For 24 hours the same key with the same request gives the same answer; with another request: 422',
    schema: { type: 'string', pattern: IDEMPOTENCY_KEY.source },
  })
