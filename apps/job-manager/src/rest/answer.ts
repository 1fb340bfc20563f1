/** Every answer of the API is the leader's; who does not lead sends on to it. */
import { Inject } from '@nestjs/common'
import { WeirError, asWeirError } from '@weir/model'
import type { HttpReply } from '@weir/wire'
import { JOB_MANAGER } from '../grpc.controller.ts'
import type { JobManager } from '../job-manager.ts'
import type { Term } from '../term.ts'
import { problem } from './problem.ts'

export type Reply = HttpReply
export interface Request {
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export abstract class LeaderController {
  protected readonly manager: JobManager

  constructor(@Inject(JOB_MANAGER) manager: JobManager) {
    this.manager = manager
  }

  protected async answer(request: Request, reply: Reply, call: (term: Term) => unknown, success = 200): Promise<void> {
    try {
      const token =
        request.headers['weir-token'] ?? String(request.headers['authorization'] ?? '').replace(/^Bearer /, '')
      this.manager.authorize(String(token))
      const body = await call(await this.manager.term())
      return reply.status(success).send(body)
    } catch (thrown) {
      const error = asWeirError(thrown, 'INTERNAL')
      if (error.code === 'NOT_LEADER') {
        const leader = await this.manager.leader().catch(() => null)
        if (leader) return reply.status(307).header('location', `http://${leader.restAddress}${request.url}`).send('')
      }
      return problem(reply, error)
    }
  }
}

/** A query parameter that is a whole number above 0. Throws `PAGE_INVALID` (invalid). */
export function wholeIn(limit: string): number {
  if (/^[1-9]\d{0,4}$/.test(limit)) return Number(limit)
  throw new WeirError(
    { code: 'PAGE_INVALID', kind: 'invalid', limit },
    `limit is "${limit}"; give a whole number above 0`,
  )
}

/** A body: an object with no other fields than these, or nothing. Throws `BODY_INVALID` (invalid). */
export function fieldsIn(body: unknown, ...names: readonly string[]): Readonly<Record<string, unknown>> {
  if (body === undefined) return {}
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new WeirError(
      { code: 'BODY_INVALID', kind: 'invalid' },
      `the body is no JSON object; it has ${names.join(', ')}`,
    )
  }
  const unknown = Object.keys(body).find((field) => !names.includes(field))
  if (unknown === undefined) return body as Readonly<Record<string, unknown>>
  throw new WeirError(
    { code: 'BODY_INVALID', kind: 'invalid', field: unknown },
    `"${unknown}" means nothing here; the body has ${names.join(', ')}`,
  )
}
